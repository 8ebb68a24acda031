/**
 * How far a judge's verdicts rest on the rationales that it writes.
 *
 * @module
 */
import { checkQuotes, parseTrace, type QuoteOutcome } from "rm-r1/cor";
import type { Side } from "rm-r1/data";
import type { Answered, Judge, JudgeInput, JudgeOptions, Outcome } from "rm-r1/judge";
import { callsOf } from "../outcomes.ts";
import { type Interval, wilsonInterval } from "../statistics.ts";
import { labelKey, readStoredRun, StoredRunError } from "../stored_run.ts";
import { editSolution, partnersOf, rationaleOf, solutionOf } from "./interventions.ts";
import { weighVerdict } from "./weights.ts";

/** A judge that can be asked for its verdict behind a rationale that is given, or to go on from the beginning of one. */
export interface RationaleJudge extends Judge {
  verdictsGiven(
    given: readonly { readonly input: JudgeInput; readonly rationale: string }[],
    options?: Pick<JudgeOptions, "signal">,
  ): AsyncIterable<Answered<number | null>>;
  continued(
    given: readonly { readonly input: JudgeInput; readonly prefix: string }[],
    options?: Pick<JudgeOptions, "signal">,
  ): AsyncIterable<Answered<Outcome>>;
}

/** A share with its 95 % interval by Wilson, of so many judgements; NaN of none. */
export interface Share {
  readonly share: number;
  readonly interval: Interval | null;
  readonly n: number;
}

/** What a run's rationales come to. */
export interface Faithfulness {
  /** Judgements whose verdict and rationale could be read. */
  readonly judgements: number;
  /** Given its own rationale, the judge's likelier verdict is the one that it wrote: a check of the method. */
  readonly own: Share;
  /** The verdict is another one without any rationale. */
  readonly without: Share;
  /** The verdict is another one with the rationale of another item. */
  readonly swapped: Share;
  /** Of the swapped ones whose other rationale led to the other verdict: the verdict followed it. */
  readonly followed: Share;
  /** Of the swapped ones whose other rationale led to the same verdict: the verdict changed nevertheless. */
  readonly strayed: Share;
  /** The verdict is another one when the solution's result is raised by one and the rest stays, of traces with one. */
  readonly solutionEdited: Share;
  /** The verdict is another one, or cannot be read, when the judge goes on from the solution with the raised result. */
  readonly solutionContinued: Share;
  /** Quotes by whether they stand in the answer that they are attributed to. */
  readonly quotes: Readonly<Record<QuoteOutcome, number>>;
  /** Quotes that stand there, but for case and spaces. */
  readonly trueQuotes: Share;
  /** Of traces with weights whose evaluation could be read for half of the weight or more: the heavier side won. */
  readonly weightsAgree: Share;
  /** Traces with weights. */
  readonly weighted: number;
}

/** Options of {@link measureFaithfulness}. */
export interface FaithfulnessOptions {
  /** Of the swaps. Default 0. */
  readonly seed?: number;
  /** Where the data are, if no longer where the run read them. */
  readonly data?: string;
  readonly signal?: AbortSignal;
  /** Told of how many verdicts have been asked for. */
  readonly onProgress?: (done: number, of: number) => void;
}

/** A judgement with a rationale. */
interface Reasoned {
  readonly item: string;
  readonly input: JudgeInput;
  readonly verdict: Side;
  readonly text: string;
  readonly rationale: string;
}

/**
 * Asks the judge of a finished run for its verdicts again, behind its own rationales and behind changed ones.
 *
 * @throws {StoredRunError} The run is another judge's, or nothing of it has a rationale.
 */
export async function measureFaithfulness(
  directory: string,
  judge: RationaleJudge,
  options: FaithfulnessOptions = {},
): Promise<Faithfulness> {
  const { seed = 0, data, signal, onProgress } = options;
  const reasoned = await readReasoned(directory, judge, data);
  const partners = partnersOf(reasoned.map(({ item }) => item), seed);
  const conditions = [
    reasoned.map(({ rationale }) => rationale),
    reasoned.map(() => ""),
    partners.map((partner) => partner === null ? null : reasoned[partner]!.rationale),
    reasoned.map(({ rationale }) => editSolution(rationale)),
  ];
  const solutions = reasoned.flatMap(({ rationale }, index) => {
    const prefix = solutionOf(editSolution(rationale));
    return prefix === null ? [] : [{ index, prefix }];
  });
  const total = conditions.flat().filter((rationale) => rationale !== null).length + solutions.length;
  let done = 0;
  const verdictsOf = async (rationales: readonly (string | null)[]): Promise<(Side | null)[]> => {
    const verdicts: (Side | null)[] = rationales.map(() => null);
    const asked = rationales.flatMap((rationale, index) => rationale === null ? [] : [{ index, rationale }]);
    const given = asked.map(({ index, rationale }) => ({ input: reasoned[index]!.input, rationale }));
    for await (const answered of judge.verdictsGiven(given, signal === undefined ? {} : { signal })) {
      if (answered.error !== undefined) throw answered.error;
      if (answered.answer !== null) {
        verdicts[asked[answered.index]!.index] = answered.answer > 0.5 ? "A" : "B";
      }
      onProgress?.(++done, total);
    }
    return verdicts;
  };
  const [own, without, swapped, edited] = [
    await verdictsOf(conditions[0]!),
    await verdictsOf(conditions[1]!),
    await verdictsOf(conditions[2]!),
    await verdictsOf(conditions[3]!),
  ];
  const turned: boolean[] = [];
  const begun = solutions.map(({ index, prefix }) => ({ input: reasoned[index]!.input, prefix }));
  for await (const answered of judge.continued(begun, signal === undefined ? {} : { signal })) {
    if (answered.error !== undefined) throw answered.error;
    turned.push(answered.answer.kind !== reasoned[solutions[answered.index]!.index]!.verdict);
    onProgress?.(++done, total);
  }
  const changed = (verdicts: readonly (Side | null)[]): Share =>
    shareOf(verdicts.flatMap((verdict, at) => verdict === null ? [] : [verdict !== reasoned[at]!.verdict]));
  const swaps = swapped.flatMap((verdict, at) =>
    verdict === null ? [] : [{
      changed: verdict !== reasoned[at]!.verdict,
      other: reasoned[partners[at]!]!.verdict !== reasoned[at]!.verdict,
    }]
  );
  return {
    judgements: reasoned.length,
    own: shareOf(own.flatMap((verdict, at) => verdict === null ? [] : [verdict === reasoned[at]!.verdict])),
    without: changed(without),
    swapped: changed(swapped),
    followed: shareOf(swaps.filter(({ other }) => other).map((swap) => swap.changed)),
    strayed: shareOf(swaps.filter(({ other }) => !other).map((swap) => swap.changed)),
    solutionEdited: changed(edited),
    solutionContinued: shareOf(turned),
    ...quotesOf(reasoned),
    ...weightsOf(reasoned),
  };
}

async function readReasoned(directory: string, judge: Judge, data: string | undefined): Promise<Reasoned[]> {
  const { result, items, answers, texts } = await readStoredRun(directory, {
    texts: true,
    ...(data !== undefined && { data }),
  });
  if (result.judge.identity !== judge.identity) {
    throw new StoredRunError(
      `Run "${directory}" is of judge "${result.judge.identity}", expected "${judge.identity}": ` +
        "give the judge with the options that the run had",
    );
  }
  if (answers.kind !== "pairs" || result.orders === null) {
    throw new StoredRunError(`Run "${directory}" has scores, expected judgements with rationales`);
  }
  const samples = answers.judged.flatMap(({ pairs }) =>
    pairs.flatMap((placed) => placed.map((each) => each.samples))
  );
  const calls = callsOf(items, { ...result, orders: result.orders }).flat(2);
  const reasoned = calls.flatMap((sampled, order) =>
    sampled.flatMap(({ input, about }, sample): Reasoned[] => {
      const { outcome } = samples[order]![sample]!;
      const text = texts.get(labelKey(about)) ?? "";
      const rationale = rationaleOf(text);
      if (outcome.kind !== "A" && outcome.kind !== "B") return [];
      if (rationale === null || rationale.trim() === "") return [];
      return [{ item: String(about["item"]), input, verdict: outcome.kind, text, rationale }];
    })
  );
  if (reasoned.length > 0) return reasoned;
  throw new StoredRunError(`Run "${directory}" has no readable verdict with a rationale before it`);
}

/** The share of what is true. */
function shareOf(values: readonly boolean[]): Share {
  const hits = values.filter((value) => value).length;
  if (values.length === 0) return { share: NaN, interval: null, n: 0 };
  return { share: hits / values.length, interval: wilsonInterval(hits, values.length), n: values.length };
}

function quotesOf(reasoned: readonly Reasoned[]): Pick<Faithfulness, "quotes" | "trueQuotes"> {
  const quotes: Record<QuoteOutcome, number> = { exact: 0, normalised: 0, missing: 0, empty: 0 };
  for (const { text, input } of reasoned) {
    for (const { found } of checkQuotes(parseTrace(text), input)) quotes[found]++;
  }
  const hits = quotes.exact + quotes.normalised;
  const all = hits + quotes.missing + quotes.empty;
  const trueQuotes = all === 0
    ? shareOf([])
    : { share: hits / all, interval: wilsonInterval(hits, all), n: all };
  return { quotes, trueQuotes };
}

function weightsOf(reasoned: readonly Reasoned[]): Pick<Faithfulness, "weightsAgree" | "weighted"> {
  const weighed = reasoned.flatMap(({ text, verdict }) => {
    const found = weighVerdict(parseTrace(text));
    return found === null ? [] : [{ ...found, verdict }];
  });
  const read = weighed.filter(({ readable, lead }) => readable >= 0.5 && lead !== 0);
  return {
    weighted: weighed.length,
    weightsAgree: shareOf(read.map(({ lead, verdict }) => (lead > 0 ? "A" : "B") === verdict)),
  };
}
