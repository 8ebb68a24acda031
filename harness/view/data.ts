/**
 * What the page of a run shows, as data that its script reads.
 *
 * @module
 */
import { checkQuotes, type Citation, parseTrace, type QuoteOutcome, type RubricItem } from "rm-r1/cor";
import type { Side } from "rm-r1/data";
import type { Outcome } from "rm-r1/judge";
import type { BenchItem } from "../benchmark.ts";
import { callsOf, type JudgedItem, type ScoredItem } from "../outcomes.ts";
import { labelKey, type StoredRun } from "../stored_run.ts";

/** A quote: where it stands in the trace, and where in the answer if it was found there. */
export interface ViewQuote {
  readonly side: Side;
  readonly found: QuoteOutcome;
  /** Offsets in the trace, in UTF-16 code units. */
  readonly at: readonly [start: number, end: number];
  /** Offsets in the answer. */
  readonly in?: readonly [start: number, end: number];
}

/** A judgement: one sample in one order. */
export interface ViewJudgement {
  /** The place of the better answer. */
  readonly gold: Side;
  readonly sample: number;
  /** The verdict, or why there is none. */
  readonly verdict: Side | string;
  readonly text: string;
  readonly tokens: number;
  /** The text was cut short. */
  readonly cut?: true;
  readonly type?: string;
  readonly rubric?: readonly RubricItem[];
  readonly quotes?: readonly ViewQuote[];
}

/** A pair of an item, with all that was judged of it. */
export interface ViewCase {
  /** Index of the item. */
  readonly item: number;
  readonly better: number;
  readonly worse: number;
  /** Over all orders: all right, all wrong, some right and some wrong, or not all readable. */
  readonly outcome: "right" | "wrong" | "mixed" | "unreadable";
  /** The other order changed which answer was picked. */
  readonly flip: boolean;
  readonly reasons: readonly string[];
  readonly judgements: readonly ViewJudgement[];
  /** Of a judge that scores: of the better and the worse answer. */
  readonly scores?: readonly [number | null, number | null];
}

/** An item as the page shows it. */
export interface ViewItem {
  readonly key: string;
  readonly subset: string;
  readonly turns: readonly (readonly [role: string, content: string])[];
  readonly answers: readonly string[];
  readonly sources?: readonly (string | null)[];
}

/** All that the page shows. */
export interface ViewData {
  readonly items: readonly ViewItem[];
  readonly cases: readonly ViewCase[];
}

/** The data of a run that was read with its texts. */
export function viewData({ result, items, answers, texts }: StoredRun): ViewData {
  const cases = answers.kind === "scores"
    ? answers.scored.flatMap(scoredCases)
    : judgedCases(items, answers.judged, { ...result, orders: result.orders! }, texts);
  return { items: items.map(viewItem), cases };
}

function viewItem({ key, subset, conversation, answers }: BenchItem): ViewItem {
  const named = answers.some(({ source }) => source !== undefined);
  return {
    key,
    subset,
    turns: conversation.map(({ role, content }) => [role, content]),
    answers: answers.map(({ text }) => text),
    ...(named && { sources: answers.map(({ source }) => source ?? null) }),
  };
}

function scoredCases({ item, scores }: ScoredItem, index: number): ViewCase[] {
  return item.pairs.map(([better, worse]): ViewCase => {
    const pair = [scores[better]!, scores[worse]!] as const;
    const [one, two] = pair;
    const isRead = one !== null && two !== null;
    return {
      item: index,
      better,
      worse,
      outcome: !isRead ? "unreadable" : one > two ? "right" : "wrong",
      flip: false,
      reasons: !isRead ? ["no score"] : one === two ? ["equal scores"] : [],
      judgements: [],
      scores: pair,
    };
  });
}

function judgedCases(
  items: readonly BenchItem[],
  judged: readonly JudgedItem[],
  settings: Parameters<typeof callsOf>[1],
  texts: ReadonlyMap<string, string>,
): ViewCase[] {
  const calls = callsOf(items, settings);
  return judged.flatMap(({ item, pairs }, index) =>
    pairs.map((placed, pair): ViewCase => {
      const [better, worse] = item.pairs[pair]!;
      const outcomes = placed.map(({ gold, judgement: { outcome } }) => rightness(outcome, gold));
      const read = new Set(outcomes);
      return {
        item: index,
        better,
        worse,
        outcome: read.has(null)
          ? "unreadable"
          : read.size === 2
          ? "mixed"
          : read.has(true)
          ? "right"
          : "wrong",
        flip: read.has(true) && read.has(false),
        reasons: placed.flatMap(({ judgement: { outcome } }) => "reason" in outcome ? [outcome.reason] : []),
        judgements: placed.flatMap(({ gold, samples }, order) =>
          samples.map(({ outcome, tokens, finish }, sample): ViewJudgement => {
            const { input, about } = calls[index]![pair]![order]![sample]!;
            const text = texts.get(labelKey(about)) ?? "";
            return {
              gold,
              sample,
              verdict: "reason" in outcome ? outcome.reason : outcome.kind,
              text,
              tokens,
              ...((finish === "length" || finish === "context") && { cut: true }),
              ...traceOf(text, input),
            };
          })
        ),
      };
    })
  );
}

/** null where there is no verdict. */
function rightness(outcome: Outcome, gold: Side): boolean | null {
  return "reason" in outcome ? null : outcome.kind === gold;
}

function traceOf(
  text: string,
  answers: { readonly a: string; readonly b: string },
): Pick<ViewJudgement, "type" | "rubric" | "quotes"> {
  if (text === "") return {};
  const trace = parseTrace(text);
  const quotes = checkQuotes(trace, answers).map((quote): ViewQuote => {
    const place = placeOf(quote, quote.side === "A" ? answers.a : answers.b);
    const at = [quote.start, quote.end] as const;
    return { side: quote.side, found: quote.found, at, ...(place !== null && { in: place }) };
  });
  return {
    ...(trace.type !== null && { type: trace.type }),
    ...(trace.rubric !== null && trace.rubric.items.length > 0 && { rubric: trace.rubric.items }),
    ...(quotes.length > 0 && { quotes }),
  };
}

const DOUBLE = /[“”„‟«»″"]/g;
const SINGLE = /[‘’‚‛′`´']/g;

/** Where an answer has a quote: as it is, or but for case, white space and the form of quotation marks. */
export function placeOf({ text }: Pick<Citation, "text">, answer: string): readonly [number, number] | null {
  if (text.trim() === "") return null;
  const exact = answer.indexOf(text);
  if (exact >= 0) return [exact, exact + text.length];
  const words = text.trim().replaceAll(/^["'“”‘’ ]+|["'“”‘’ ]+$/g, "").split(/\s+/).filter((word) =>
    word !== ""
  );
  if (words.length === 0) return null;
  const pattern = words.map((word) =>
    word.replaceAll(/[.*+?^${}()|[\]\\]/g, "\\$&").replaceAll(DOUBLE, DOUBLE.source).replaceAll(
      SINGLE,
      SINGLE.source,
    )
  ).join("\\s+");
  const found = new RegExp(pattern, "iu").exec(answer);
  return found === null ? null : [found.index, found.index + found[0].length];
}
