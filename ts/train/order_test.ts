import { expect } from "expect";
import fc from "fast-check";
import { ExampleOrder } from "./order.ts";

const options = { seed: 3, name: "stage1" };

Deno.test("every example has its turn once an epoch", () => {
  fc.assert(fc.property(fc.integer({ min: 1, max: 60 }), fc.integer({ min: 1, max: 4 }), (count, epochs) => {
    const turns = new ExampleOrder(count, options).turns(0, count * epochs);
    for (let epoch = 0; epoch < epochs; epoch++) {
      const own = turns.slice(epoch * count, (epoch + 1) * count);
      expect(own.map(({ index }) => index).sort((x, y) => x - y)).toEqual([...Array(count).keys()]);
      expect(own.every((turn) => turn.epoch === epoch)).toBe(true);
    }
  }));
});

Deno.test("turns are a function of their position: cutting them into steps, in whatever order, changes nothing", () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 30 }), fc.array(fc.nat(90), { maxLength: 6 }), (count, cuts) => {
      const whole = new ExampleOrder(count, options).turns(0, 90);
      const order = new ExampleOrder(count, options);
      const ends = [0, ...cuts.sort((x, y) => x - y), 90];
      const parts = ends.slice(1).map((end, index) => [ends[index]!, end] as const);
      const later = parts.toReversed().map(([from, to]) => order.turns(from, to));
      expect(later.toReversed().flat()).toEqual(whole);
    }),
  );
});

Deno.test("epochs, seeds and stages have orders of their own", () => {
  const of = (seed: number, name: string, epoch: number): string =>
    new ExampleOrder(40, { seed, name }).turns(40 * epoch, 40 * (epoch + 1)).map(({ index }) => index).join();
  const orders = [of(3, "stage1", 0), of(3, "stage1", 1), of(4, "stage1", 0), of(3, "stage2", 0)];
  expect(new Set(orders).size).toBe(4);
});
