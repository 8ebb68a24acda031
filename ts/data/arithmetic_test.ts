import { expect } from "expect";
import fc from "fast-check";
import { evaluate, findEquations, findNumbers, writeNumber } from "./arithmetic.ts";

Deno.test("expressions are evaluated with precedence, brackets and the forms of worded maths", () => {
  const cases: [string, number | null][] = [
    ["2 + 3 * 4", 14],
    ["(2 + 3) * 4", 20],
    ["10 - 4 - 3", 3],
    ["16 / 4 / 2", 2],
    ["1,200 + 34", 1234],
    ["$1,200.50 − $0.50", 1200],
    ["3 x 5", 15],
    ["3x5", 15],
    ["3 × 5 ÷ 2", 7.5],
    ["20% * 50", 10],
    ["20% of 50", 10],
    ["2(3 + 4)", 14],
    [".5 * 8", 4],
    ["-3 + 5", 2],
    ["2 * -3", -6],
    ["4 / 0", null],
    ["4 +", null],
    ["(4", null],
    ["4 5", null],
    ["2x", null],
    ["", null],
  ];
  for (const [text, value] of cases) expect([text, evaluate(text)]).toEqual([text, value]);
});

Deno.test("the evaluator agrees with an independent reading of random expressions", () => {
  const { tree } = fc.letrec<{ tree: { text: string; value: number } }>((tie) => ({
    tree: fc.oneof(
      { maxDepth: 4, withCrossShrink: true },
      fc.integer({ min: 0, max: 99_999 }).map((value) => ({ text: value.toLocaleString("en-US"), value })),
      fc.tuple(tie("tree"), fc.constantFrom("+", "-", "*", "/"), tie("tree")).map((
        [left, operator, right],
      ) => ({
        text: `(${left.text}) ${operator} (${right.text})`,
        value: operator === "+"
          ? left.value + right.value
          : operator === "-"
          ? left.value - right.value
          : operator === "*"
          ? left.value * right.value
          : left.value / right.value,
      })),
    ),
  }));
  fc.assert(fc.property(tree, ({ text, value }) => {
    expect(evaluate(text)).toEqual(Number.isFinite(value) ? value : null);
  }));
});

const read = (line: string): [string, number, number, boolean][] =>
  findEquations(line).map(({ text, value, stated, holds }) => [text, value, stated, holds]);

Deno.test("equations are found in words, with their units", () => {
  const cases: [string, [string, number, number, boolean][]][] = [
    ["So he has 4 + 5 = 9 pens.", [["4 + 5 = 9", 9, 9, true]]],
    ["It weighs 3 bags * 20 pounds/bag=60 pounds", [["3 bags * 20 pounds/bag=60", 60, 60, true]]],
    ["A 95-minute film - 7-minute break = 88 minutes", [[
      "95-minute film - 7-minute break = 88",
      88,
      88,
      true,
    ]]],
    ["That is $1,000 x 20% = $200.", [["$1,000 x 20% = $200", 200, 200, true]]],
    ["That is 3/4 = 75%", [["3/4 = 75%", 0.75, 0.75, true]]],
    ["They are 5 * 20 cents = $1", [["5 * 20 cents = $1", 100, 1, true]]],
    ["Each gets 10 / 3 = 3.33 or so", [["10 / 3 = 3.33", 10 / 3, 3.33, true]]],
    ["He needs 10 / 4 = 3 boxes", [["10 / 4 = 3", 2.5, 3, true]]],
    ["He needs 10 / 4 = 4 boxes", [["10 / 4 = 4", 2.5, 4, false]]],
    ["He has 8 + 2 = 11", [["8 + 2 = 11", 10, 11, false]]],
    ["She owes 70 - 95 = 25", [["70 - 95 = 25", -25, 25, false]]],
    ["2*3 = 3*2 = 6", [["2*3 = 3*2", 6, 6, true], ["3*2 = 6", 6, 6, true]]],
    ["He rows 28 / 4 = 7 days * 9 oars = 63", [["28 / 4 = 7 days * 9", 7, 63, true], [
      "7 days * 9 oars = 63",
      63,
      63,
      true,
    ]]],
    ["(he has 3 * 4 = 12)", [["3 * 4 = 12", 12, 12, true]]],
  ];
  for (const [line, expected] of cases) expect([line, read(line)]).toEqual([line, expected]);
});

Deno.test("what cannot be read with certainty is left out", () => {
  const lines = [
    "x + 5 = 10",
    "x - 5 = 10",
    "2x + 3 = 9",
    "2 + x = 5",
    "9 / 4 = 18 / Y",
    "70/7 = 7A/7",
    "3 + 4 = 2x",
    "9 / 1/3 = 27",
    "3 and 1/2 + 4 = 7.5",
    "She owns 6 crates of 7 pears * 3 = 126",
    "He counts 11 cats + his 2 dogs + 3 = 16",
    "7 * 3 = 21 thousand",
    "It is 3:40 + 35 = 4:15",
    "1/3 of Sue = 66",
    "There are 12 = 12",
    "=",
    "",
  ];
  for (const line of lines) expect([line, read(line)]).toEqual([line, []]);
});

Deno.test("a right equation holds and one that is off by one does not", () => {
  const integer = fc.integer({ min: 1, max: 9_999 });
  fc.assert(
    fc.property(integer, integer, fc.constantFrom("+", "-", "*"), integer, (left, right, operator, n) => {
      const value = operator === "+" ? left + right : operator === "-" ? left - right : left * right;
      const expression = `${left} apples ${operator} $${right.toLocaleString("en-US")}`;
      expect(read(`In ${n} words, ${expression} = ${value} in all`).map(([, , , holds]) => holds)).toEqual([
        true,
      ]);
      expect(read(`So ${expression}=${value + 1}.`).map(([, , , holds]) => holds)).toEqual([false]);
    }),
  );
});

Deno.test("any text is read without throwing, and what is found stands in it", () => {
  const parts = fc.constantFrom(
    "1",
    "2.5",
    "1,000",
    "$",
    "%",
    "(",
    ")",
    "+",
    "-",
    "x",
    "/",
    "=",
    " ",
    "of",
    "kg",
    ",",
  );
  fc.assert(
    fc.property(
      fc.array(fc.oneof(parts, fc.string({ unit: "binary" }))).map((all) => all.join("")),
      (line) => {
        for (const { expression, equals, text, value } of findEquations(line)) {
          expect(line).toContain(text);
          expect(text.startsWith(expression + equals)).toBe(true);
          expect(Number.isFinite(value)).toBe(true);
        }
        expect(findNumbers(line).every(Number.isFinite)).toBe(true);
      },
    ),
    { numRuns: 500 },
  );
});

Deno.test("numbers are written with at most two decimals", () => {
  expect([writeNumber(3), writeNumber(2.5), writeNumber(10 / 3), writeNumber(-0.126)]).toEqual(
    ["3", "2.5", "3.33", "-0.13"],
  );
});
