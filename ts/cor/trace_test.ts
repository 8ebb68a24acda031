import { expect } from "expect";
import fc from "fast-check";
import { formatTrace, quote, summary, type TraceParts } from "./format.ts";
import { checkQuotes, parseTrace, type ProblemKind } from "./trace.ts";
import { parseRubricItems } from "./rubric.ts";
import { structureOf } from "./tags.ts";

const kinds = (text: string): ProblemKind[] => parseTrace(text).problems.map(({ kind }) => kind);

Deno.test("a reasoning trace is read into its parts", () => {
  const text = `<think>
hm
</think>

<type>Reasoning</type>

<solution>
2 + 2 = 4
</solution>

<eval>
A says <quote_A>2 + 2 = 5</quote_A>, <summary_B>B is right</summary_B> with <quote_B> 2 + 2 = 4 </quote_B>
</eval>

<answer>[[B]]</answer>`;
  const trace = parseTrace(text);
  expect(trace).toMatchObject({
    thinking: "hm",
    type: "Reasoning",
    rubric: null,
    solution: "2 + 2 = 4",
    verdict: { kind: "B" },
    problems: [],
  });
  expect(trace.quotes.map(({ side, text: quoted }) => [side, quoted])).toEqual([
    ["A", "2 + 2 = 5"],
    ["B", "2 + 2 = 4"],
  ]);
  for (const cited of [...trace.quotes, ...trace.summaries]) {
    expect(text.slice(cited.start, cited.end)).toBe(cited.text);
  }
});

Deno.test("a chat trace is read with its weights", () => {
  const trace = parseTrace(`<type>Chat</type>
<rubric>
1. Accuracy (60%): facts are right

2. **Tone** (40%)
<justify>
Facts matter most.
</justify>
</rubric>
<eval>fine</eval>
<answer>[[A]]</answer>`);
  expect(trace.rubric).toEqual({
    items: [{ text: "Accuracy: facts are right", weight: 0.6 }, { text: "**Tone**", weight: 0.4 }],
    justify: "Facts matter most.",
  });
  expect(trace.problems).toEqual([]);
});

Deno.test("weights are read from the forms that judges write", () => {
  const forms: [string, string, number | null][] = [
    ["1. Accuracy (40%)", "Accuracy", 0.4],
    ["2) Accuracy (40 %): is it right", "Accuracy: is it right", 0.4],
    ["- Clarity: 20%", "Clarity", 0.2],
    ["* Clarity — 12.5%", "Clarity", 0.125],
    ["- Clarity (weight: 0.3)", "Clarity", 0.3],
    ["- Clarity [Weight = 30%]", "Clarity", 0.3],
    ["- Clarity, weight: .3", "Clarity", 0.3],
    ["- **Clarity (25%)**: words", "**Clarity**: words", 0.25],
    ["- Clarity (30% weight)", "Clarity", 0.3],
    ["- Depth (weight 5)", "Depth", 5],
    ["- Depth", "Depth", null],
    ["- Is 90% of it covered", "Is 90% of it covered", null],
    ["Accuracy (40%)", "Accuracy", 0.4],
  ];
  for (const [line, text, weight] of forms) {
    expect(parseRubricItems(line)).toEqual([{ text, weight }]);
  }
  expect(parseRubricItems("Criteria:\n1. One (50%)\n   - detail\n   more\n2. Two (50%)")).toEqual([
    { text: "One - detail more", weight: 0.5 },
    { text: "Two", weight: 0.5 },
  ]);
});

Deno.test("what is wrong with a trace's form is listed", () => {
  const end = "<eval>e</eval><answer>[[A]]</answer>";
  const reasoning = "<type>Reasoning</type><solution>s</solution>";
  const cases: [string, ProblemKind[]][] = [
    ["", ["missing-type", "missing-eval"]],
    [`<type>Poetry</type>${end}`, ["unknown-type"]],
    [`<type>Reasoning</type>${end}`, ["missing-solution"]],
    [`<type>Chat</type>${end}`, ["missing-rubric"]],
    [`<type>Chat</type><rubric>1. x (100%)</rubric>${end}`, ["missing-justify"]],
    [`<type>Chat</type><rubric><justify>j</justify></rubric>${end}`, ["no-rubric-items"]],
    [`<type>Chat</type><rubric>1. x\n<justify>j</justify></rubric>${end}`, ["missing-weight"]],
    [`<type>Chat</type><rubric>1. x (70%)\n<justify>j</justify></rubric>${end}`, ["weight-sum"]],
    [`${reasoning}<rubric>1. x (100%)<justify>j</justify></rubric>${end}`, ["unexpected-section"]],
    [`${reasoning}<solution>t</solution>${end}`, ["repeated-section"]],
    [`${reasoning}<eval>cut`, ["unclosed-tag", "missing-eval"]],
    [`${reasoning}</rubric>${end}`, ["stray-tag"]],
    [`${reasoning}<justify>j</justify>${end}`, ["stray-tag"]],
    [`${reasoning}${end}<quote_A>x</quote_A>`, ["citation-outside-eval"]],
    [`${reasoning}${end}`, []],
  ];
  for (const [text, expected] of cases) expect([text, kinds(text)]).toEqual([text, expected]);
});

Deno.test("tags inside a quote are the answer's words", () => {
  const trace = parseTrace(
    "<type>Reasoning</type><solution>s</solution><eval><quote_A></eval><solution>x</solution><quote_B></quote_A></eval>" +
      "<answer>[[A]]</answer>",
  );
  expect(trace.problems).toEqual([]);
  expect(trace.solution).toBe("s");
  expect(trace.quotes.map(({ text }) => text)).toEqual(["</eval><solution>x</solution><quote_B>"]);
});

Deno.test("unfinished thinking has no sections", () => {
  const trace = parseTrace("<think>so <type>Chat</type>");
  expect(trace).toMatchObject({
    thinking: "so <type>Chat</type>",
    type: null,
    verdict: { kind: "unparsable", reason: "unfinished-thinking" },
  });
});

Deno.test("quotes are checked against the answer of their side", () => {
  const trace = parseTrace(
    `<eval><quote_A>It is “Red”</quote_A><quote_A>it  is "red"</quote_A><quote_A>'is Red'</quote_A>` +
      `<quote_A>blue</quote_A><quote_A> "" </quote_A><quote_A></quote_A><quote_B>blue</quote_B></eval>`,
  );
  expect(checkQuotes(trace, { a: "Well, it is.\nIt is “Red”.", b: "It is blue" }).map(({ found }) => found))
    .toEqual(
      ["exact", "normalised", "missing", "missing", "empty", "empty", "exact"],
    );
});

const fragment = fc.constantFrom(
  ...["type", "solution", "rubric", "justify", "eval", "answer", "think", "quote_A", "quote_B", "summary_A"]
    .flatMap((name) => [`<${name}>`, `</${name}>`]),
  "[[A]]",
  "1. Accuracy (40%)",
  "- Clarity: 20%",
  "\n",
);
const anyText = fc.array(fc.oneof(fragment, fc.string({ unit: "binary" })), { maxLength: 40 })
  .map((parts) => parts.join(""));

Deno.test("any text is read without throwing, and citations stand where they say", () => {
  fc.assert(
    fc.property(anyText, fc.constantFrom("optional", "required"), (text, thinking) => {
      const trace = parseTrace(text, { thinking: thinking as "optional" | "required" });
      for (const cited of [...trace.quotes, ...trace.summaries]) {
        expect(text.slice(cited.start, cited.end)).toBe(cited.text);
      }
      checkQuotes(trace, { a: text, b: "" })
        .filter(({ side }) => side === "A")
        .forEach(({ found }) => expect(["exact", "empty"]).toContain(found));
    }),
    { numRuns: 500 },
  );
});

Deno.test("every tag is part of an element, unclosed, stray or quoted", () => {
  fc.assert(fc.property(anyText, (text) => {
    const { elements, unclosed, stray } = structureOf(text);
    for (const { start, end } of [...unclosed, ...stray]) {
      expect(elements.some((element) => element.outerStart === start || element.outerEnd === end)).toBe(
        false,
      );
    }
    for (const element of elements) expect(element.start).toBeLessThanOrEqual(element.end);
  }));
});

Deno.test("a long text of opening tags is read in linear time", () => {
  const started = performance.now();
  for (const tag of ["<quote_A>", "<quote_A><quote_B>", "<eval>", "<think>", "<answer>[["]) {
    parseTrace(tag.repeat(20_000));
  }
  expect(performance.now() - started).toBeLessThan(5_000);
});

const words = fc.stringMatching(/^[a-z=+.,'" ]{0,20}[a-z]$/).map((text) => text.trim());
const lines = fc.array(words, { minLength: 1, maxLength: 4 }).map((parts) => parts.join("\n"));
const side = fc.constantFrom("A" as const, "B" as const);
const evaluation = fc.array(
  fc.oneof(
    lines,
    fc.tuple(side, lines).map(([s, t]) => quote(s, t)),
    fc.tuple(side, lines).map(([s, t]) => summary(s, t)),
  ),
  { minLength: 1, maxLength: 5 },
).map((parts) => parts.join(" "));
const weights = fc.array(fc.integer({ min: 1, max: 1000 }), { minLength: 1, maxLength: 5 })
  .map((parts) => parts.map((part) => part / parts.reduce((sum, value) => sum + value, 0)));
const common = { eval: evaluation, verdict: side };
const traceParts: fc.Arbitrary<TraceParts> = fc.oneof(
  fc.record({ ...common, type: fc.constant("Reasoning" as const), solution: lines, thinking: lines }),
  fc.record({ ...common, type: fc.constant("Reasoning" as const), solution: lines }),
  fc.record({
    ...common,
    type: fc.constant("Chat" as const),
    rubric: fc.record({
      items: weights.chain((shares) =>
        fc.tuple(
          ...shares.map((weight) => words.map((text) => ({ text, weight: Number(weight.toFixed(9)) }))),
        )
      ),
      justify: lines,
    }),
  }),
);

Deno.test("a trace that is written is read back as it was", () => {
  fc.assert(
    fc.property(traceParts, (parts) => {
      const trace = parseTrace(formatTrace(parts));
      expect(trace.problems).toEqual([]);
      expect(trace.type).toBe(parts.type);
      expect(trace.verdict).toEqual({ kind: parts.verdict });
      expect(trace.eval).toBe(parts.eval.trim());
      expect(trace.thinking).toBe(parts.thinking ?? null);
      if (parts.type === "Reasoning") {
        expect(trace.solution).toBe(parts.solution);
      } else {
        expect(trace.rubric?.justify).toBe(parts.rubric.justify);
        expect(trace.rubric?.items.map(({ text }) => text)).toEqual(
          parts.rubric.items.map(({ text }) => text),
        );
        trace.rubric?.items.forEach(({ weight }, index) =>
          expect(weight).toBeCloseTo(parts.rubric.items[index]!.weight!, 8)
        );
      }
    }),
    { numRuns: 300 },
  );
});

Deno.test("a trace that could not be read back is not written", () => {
  const parts = { type: "Reasoning", solution: "s", eval: "e", verdict: "A" } as const;
  const chat = { type: "Chat", eval: "e", verdict: "A" } as const;
  expect(() => formatTrace({ ...parts, solution: "</solution>" })).toThrow(RangeError);
  expect(() => formatTrace({ ...parts, solution: "<answer>[[B]]</answer>" })).toThrow("verdict");
  expect(() => formatTrace({ ...parts, eval: "</think>" })).toThrow(RangeError);
  expect(() => formatTrace({ ...parts, eval: "<quote_A>" })).toThrow('unclosed-tag "<quote_A>"');
  expect(() => formatTrace({ ...chat, rubric: { items: [], justify: "j" } })).toThrow("no-rubric-items");
  expect(() => formatTrace({ ...chat, rubric: { items: [{ text: "x", weight: null }], justify: "j" } }))
    .toThrow(
      "missing-weight",
    );
  expect(() => formatTrace({ ...chat, rubric: { items: [{ text: "x (20%)", weight: 1 }], justify: "j" } }))
    .toThrow(
      RangeError,
    );
  expect(() => quote("A", "x</quote_A>")).toThrow('found "</quote_A>"');
});
