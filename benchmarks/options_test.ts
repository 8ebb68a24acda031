import { expect } from "expect";
import { parseOptions } from "./options.ts";

const LIST = { name: "rows", ids: ["a", "b", "c"], repetitions: 5 };

Deno.test("without options all rows are measured", () => {
  expect(parseOptions([], LIST)).toEqual({
    chosen: ["a", "b", "c"],
    repetitions: 5,
    threads: 2,
    json: false,
    evenIfBusy: false,
    writeDocs: false,
    precision: "f32",
  });
});

Deno.test("chosen rows keep the table's order", () => {
  expect(parseOptions(["--rows", "c, a", "--repetitions", "3", "--json"], LIST)).toMatchObject({
    chosen: ["a", "c"],
    repetitions: 3,
    json: true,
  });
});

Deno.test("what is not expected is refused with its value", () => {
  expect(() => parseOptions(["--rows", "a,d"], LIST)).toThrow('names "d", expected some of "a", "b", "c"');
  for (const value of ["0", "1.5", "many", " 2"]) {
    expect(() => parseOptions(["--repetitions", value], LIST)).toThrow(`--repetitions is "${value}"`);
  }
  expect(() => parseOptions(["--precision", "f16"], LIST)).toThrow('"f16", expected "f32" or "bf16"');
  expect(() => parseOptions(["--studies", "a"], LIST)).toThrow(TypeError);
});

Deno.test("figures of a busy machine are not kept", () => {
  expect(() => parseOptions(["--write-docs", "--even-if-busy"], LIST)).toThrow(RangeError);
});
