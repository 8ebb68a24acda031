import { expect } from "expect";
import fc from "fast-check";
import { Draws, philox } from "./draws.ts";

Deno.test("philox gives the known answers of its authors' test vectors", () => {
  expect(philox([0, 0, 0, 0], [0, 0])).toEqual([0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8]);
  const ones = 0xffffffff;
  expect(philox([ones, ones, ones, ones], [ones, ones])).toEqual([
    0x408f276d,
    0x41c83b0e,
    0xa20bc7c6,
    0x6d5451fd,
  ]);
});

Deno.test("draws depend on their names alone", () => {
  const name = fc.nat(0xffffffff);
  fc.assert(fc.property(name, name, fc.nat(1e6), fc.nat(100), (seed, stream, item, attempt) => {
    const take = (): number[] => {
      const draws = new Draws(seed, stream, item, attempt);
      return Array.from({ length: 9 }, () => draws.word());
    };
    expect(take()).toEqual(take());
    const other = new Draws(seed, stream, item + 1, attempt);
    expect(Array.from({ length: 9 }, () => other.word())).not.toEqual(take());
  }));
});

Deno.test("integers fill their range evenly", () => {
  const counts = new Array<number>(7).fill(0);
  for (let item = 0; item < 7000; item++) counts[new Draws(1, 2, item, 0).between(3, 9) - 3]!++;
  for (const count of counts) expect(Math.abs(count - 1000)).toBeLessThan(150);
});

Deno.test("an empty list cannot be picked from", () => {
  expect(() => new Draws(0, 0, 0, 0).pick([])).toThrow("the list is empty");
});
