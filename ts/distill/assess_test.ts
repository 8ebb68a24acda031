import { expect } from "expect";
import fc from "fast-check";
import { parseVerdict } from "../cor/mod.ts";
import type { AnswerEnd } from "../endpoint/mod.ts";
import { assess, qualityOf, type Rejection, REJECTIONS } from "./assess.ts";

const A = "<eval>A is better.</eval>\n<answer>[[A]]</answer>";

Deno.test("a text is kept for its verdict, and each reason against it is told", () => {
  const cases: [string, AnswerEnd, Rejection][] = [
    [A, "length", "cut"],
    [A, "refusal", "refused"],
    [A.replace("[[A]]", "[[B]]"), "stop", "wrong-verdict"],
    [`The correct verdict is A. ${A}`, "stop", "hint-leak"],
    ["", "stop", "unreadable: empty"],
    ["<think>hm", "stop", "unreadable: unfinished-thinking"],
    ["A, I think", "stop", "unreadable: no-answer"],
    ["[[A]]", "stop", "unreadable: malformed"],
    [`${A}<answer>[[B]]</answer>`, "stop", "unreadable: both"],
  ];
  for (const [text, end, rejection] of cases) {
    expect([text, assess(text, end, { gold: "A" })]).toMatchObject([text, { kept: false, rejection }]);
  }
  expect(new Set(cases.map(([, , rejection]) => rejection))).toEqual(new Set(REJECTIONS));
  expect(assess(` ${A}\n`, "stop", { gold: "A" })).toEqual({ kept: true, trace: A });
});

Deno.test("thinking is no part of a trace, whatever it says", () => {
  const text = `<think>The correct verdict is given: <answer>[[B]]</answer></think>\n\n${A}`;
  expect(assess(text, "stop", { gold: "A" })).toEqual({ kept: true, trace: A });
});

Deno.test("whatever is kept reads as the right verdict", () => {
  const part = fc.constantFrom(
    "<answer>",
    "</answer>",
    "[[A]]",
    "[[B]]",
    "<think>",
    "</think>",
    "<quote_A>",
    "x",
    A,
  );
  fc.assert(fc.property(fc.array(part), fc.constantFrom("A" as const, "B" as const), (parts, gold) => {
    const assessed = assess(parts.join(""), "stop", { gold });
    if (assessed.kept) expect(parseVerdict(assessed.trace)).toEqual({ kind: gold });
  }));
});

Deno.test("quotes and form are looked at, and decide nothing", () => {
  const quality = qualityOf(
    "<type>Chat</type><eval><quote_A>one  TWO</quote_A><quote_B>three</quote_B></eval><answer>[[A]]</answer>",
    { a: "One two.", b: "four" },
  );
  expect(quality.quotes).toEqual({ exact: 0, normalised: 1, missing: 1, empty: 0 });
  expect(quality.problems).toEqual(["missing-rubric"]);
});
