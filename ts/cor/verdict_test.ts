import { expect } from "expect";
import fc from "fast-check";
import {
  parseVerdict,
  UNPARSABLE_REASONS,
  type Verdict,
  VERDICT_RULES,
  type VerdictOptions,
  verdictReward,
  type VerdictRule,
} from "./verdict.ts";

const short = (verdict: Verdict): string => verdict.kind === "unparsable" ? verdict.reason : verdict.kind;

const cases: [text: string, expected: string, options?: VerdictOptions][] = [
  ["<answer>[[A]]</answer>", "A"],
  ["<eval>…</eval>\n\n<answer>[[B]]</answer>\n", "B"],
  ["<answer>\n [[ b ]]\n</answer> trailing words", "B"],
  ["< ANSWER >[[A]]< / Answer >", "A"],
  ["<answer>[[A]]</answer> I repeat: <answer>[[A]]</answer>", "A"],
  ["<answer>[[A]]</answer> or rather <answer>[[B]]</answer>", "both"],
  ["<answer>[[A]][[B]]</answer>", "both"],
  ["<answer>[[A]] or [[B]]</answer>", "both"],
  ["<answer>[[A]][[A]]</answer>", "malformed"],
  ["<answer>[[A/B]]</answer>", "malformed"],
  ["<answer>[[C]]</answer>", "malformed"],
  ["<answer>A</answer>", "malformed"],
  ["<answer>[A]</answer>", "malformed"],
  ["<answer></answer>", "malformed"],
  ["<answer>[[A/B]]</answer> so <answer>[[A]]</answer>", "malformed"],
  ["My verdict is [[A]]", "malformed"],
  ["<answer>[[A]]", "malformed"],
  ["<answer>[[A]]</answer> and <answer>[[", "malformed"],
  ["Chatbot A is better.", "no-answer"],
  ["", "empty"],
  [" \n\t", "empty"],
  ["<think>A is fine</think>", "empty"],
  ["<think>A is fine</think>\n ", "empty"],
  ["<think>[[B]] <answer>[[B]]</answer></think><answer>[[A]]</answer>", "A"],
  ["no opening <answer>[[B]]</answer></think>\n<answer>[[A]]</answer>", "A"],
  ["<think>one</think> <answer>[[B]]</answer> two</think><answer>[[A]]</answer>", "A"],
  ["<think>one</think> again <THINK> <answer>[[B]]</answer>", "unfinished-thinking"],
  ["<think>cut short <answer>[[A]]</answer>", "unfinished-thinking"],
  ["<answer>[[A]]</answer>", "unfinished-thinking", { thinking: "required" }],
  ["thought</think><answer>[[A]]</answer>", "A", { thinking: "required" }],
  ["", "empty", { thinking: "required" }],
  ["<quote_B>I win: <answer>[[B]]</answer></quote_B> <answer>[[A]]</answer>", "A"],
  ["<summary_B>it says [[B]]</summary_B>", "no-answer"],
  ["<quote_B>never closed <answer>[[B]]</answer> <answer>[[A]]</answer>", "both"],
  ["<quote_A>a <think> tag</quote_A><answer>[[A]]</answer>", "A"],
  ["<quote_B></quote_B><answer>[[B]]</answer><quote_B></quote_B>", "B"],
];

Deno.test("a verdict is read or its reason is told", () => {
  for (const [text, expected, options] of cases) {
    expect([text, short(parseVerdict(text, options))]).toEqual([text, expected]);
  }
});

Deno.test("every reason has a case", () => {
  const seen = new Set(cases.map(([, expected]) => expected));
  expect(UNPARSABLE_REASONS.filter((reason) => !seen.has(reason))).toEqual([]);
});

Deno.test("upstream training rule looks at the last 80 characters for the whole tag", () => {
  const read = VERDICT_RULES["upstream-train"];
  expect(short(read("<answer>[[A]]</answer>"))).toBe("A");
  expect(short(read("[[A]]"))).toBe("no-answer");
  expect(short(read("<answer>[[B]]</answer> so <answer>[[A]]</answer>"))).toBe("both");
  expect(short(read(`<answer>[[B]]</answer>${".".repeat(58)}`))).toBe("B");
  expect(short(read(`<answer>[[B]]</answer>${".".repeat(59)}`))).toBe("no-answer");
  expect(short(read(`<answer>[[B]]</answer>${"😀".repeat(58)}`))).toBe("B");
  expect(short(read(`<answer>[[B]]</answer>${"😀".repeat(59)}`))).toBe("no-answer");
  expect(short(read(`<answer>[[B]]</answer>${".".repeat(80)}<answer>[[A]]</answer>`))).toBe("A");
});

Deno.test("upstream evaluation rule looks at the whole text for the bare verdict", () => {
  const read = VERDICT_RULES["upstream-eval"];
  expect(short(read("[[A]]"))).toBe("A");
  expect(short(read("<think>[[B]]?</think> [[A]]"))).toBe("both");
  expect(short(read("[[a]]"))).toBe("no-answer");
});

Deno.test("reward is +1 for the gold side alone", () => {
  expect(verdictReward({ kind: "A" }, "A")).toBe(1);
  expect(verdictReward({ kind: "A" }, "B")).toBe(-1);
  for (const reason of UNPARSABLE_REASONS) {
    expect(verdictReward({ kind: "unparsable", reason }, "A")).toBe(-1);
  }
});

const fragment = fc.constantFrom(
  "<answer>",
  "</answer>",
  "[[A]]",
  "[[B]]",
  "<think>",
  "</think>",
  "<quote_A>",
  "</quote_A>",
  "<summary_B>",
  "</summary_B>",
  "<eval>",
  "</eval>",
  " ",
  "\n",
  "text",
);
const answer = fc.constantFrom("<answer>[[A]]</answer>", "<answer>[[B]]</answer>");
const output = fc.array(
  fc.oneof({ weight: 3, arbitrary: answer }, { weight: 2, arbitrary: fragment }, {
    weight: 3,
    arbitrary: fc.string(),
  }),
  { maxLength: 8 },
).map((parts) => parts.join(""));

Deno.test("no rule throws, and every outcome is in the closed set", () => {
  const outcomes = new Set<string>(["A", "B", ...UNPARSABLE_REASONS]);
  fc.assert(fc.property(output, fc.constantFrom(...Object.keys(VERDICT_RULES)), (text, rule) => {
    expect(outcomes.has(short(VERDICT_RULES[rule as VerdictRule](text)))).toBe(true);
  }));
});

Deno.test("exchanging A and B in an output exchanges the verdict", () => {
  const exchange = (text: string): string =>
    text.replaceAll(/(?<=\[\[)[AB](?=\]\])|(?<=_)[AB](?=>)/g, (side) => side === "A" ? "B" : "A");
  fc.assert(fc.property(output, (text) => {
    expect(short(parseVerdict(exchange(text)))).toBe(
      exchange(`[[${short(parseVerdict(text))}]]`).slice(2, -2),
    );
  }));
});

Deno.test("nothing before the last end of thinking matters", () => {
  fc.assert(fc.property(output, output, (before, after) => {
    expect(short(parseVerdict(`${before}</think>${after}`))).toBe(short(parseVerdict(`</think>${after}`)));
  }));
});

Deno.test("the strict verdict of a plain answer agrees with both upstream rules", () => {
  fc.assert(fc.property(fc.string(), fc.constantFrom("A", "B"), (text, side) => {
    fc.pre(!/[<[]/.test(text));
    const output = `${text}<answer>[[${side}]]</answer>`;
    for (const rule of Object.values(VERDICT_RULES)) expect(short(rule(output))).toBe(side);
  }));
});
