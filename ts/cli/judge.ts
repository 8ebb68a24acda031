/**
 * `judge`: judges one pair of answers and shows why.
 *
 * @module
 */
import { readFile } from "node:fs/promises";
import * as z from "zod";
import { type CheckedQuote, checkQuotes, parseTrace, type Trace } from "../cor/mod.ts";
import type { JudgeInput, Judgement, Outcome } from "../judge/mod.ts";
import { UsageError } from "./errors.ts";
import { JUDGE_OPTIONS, openNamedJudge } from "./judges.ts";
import { KeyValueMemory } from "./memory.ts";
import { anyText, type Command, type Context, defineCommand, type JsonObject, optional } from "./parser.ts";
import { showing } from "./streaming.ts";

const message = z.strictObject({ role: z.enum(["system", "user", "assistant"]), content: z.string() });
const pairSchema = z.strictObject({
  prompt: z.string().optional(),
  conversation: z.array(message).min(1).optional(),
  a: z.string(),
  b: z.string(),
}).refine(({ prompt, conversation }) => (prompt === undefined) !== (conversation === undefined), {
  message: 'expected either "prompt" or "conversation"',
});

/** The command. */
export const judge: Command = defineCommand({
  name: "judge",
  brief: "Judge one pair of answers: the verdict, and the reasons as they are written",
  options: {
    ...JUDGE_OPTIONS,
    prompt: optional("--prompt", anyText("TEXT"), "The question"),
    a: optional("--a", anyText("TEXT"), "One answer"),
    b: optional("--b", anyText("TEXT"), "The other answer"),
    file: optional(
      "--file",
      anyText("FILE"),
      'JSON with "prompt" or "conversation", "a" and "b", instead of the three',
    ),
  },
  async run({ prompt, a, b, file, ...choice }, { out, log, signal }) {
    const input = await readInput({ prompt, a, b, file });
    using memory = new KeyValueMemory(log);
    await using opened = await openNamedJudge(
      choice,
      { maxConcurrent: 1, onSummary: memory.see, wrap: (engine) => showing(engine, out) },
      log,
    );
    const started = performance.now();
    let answer: Judgement | undefined;
    for await (const answered of opened.judge([input], { signal })) {
      if (answered.error !== undefined) throw answered.error;
      answer = answered.answer;
    }
    if (answer === undefined) throw new Error(`Judge "${opened.name}" ended without an answer`);
    const seconds = (performance.now() - started) / 1000;
    const trace = answer.text === "" ? null : parseTrace(answer.text);
    const quotes = trace === null ? [] : checkQuotes(trace, input);
    show(answer, trace, quotes, out);
    return asJson(opened.name, answer, trace, quotes, seconds);
  },
});

interface InputOptions {
  readonly prompt: string | undefined;
  readonly a: string | undefined;
  readonly b: string | undefined;
  readonly file: string | undefined;
}

async function readInput({ prompt, a, b, file }: InputOptions): Promise<JudgeInput> {
  const given = [prompt, a, b].filter((each) => each !== undefined).length;
  if (file !== undefined) {
    if (given > 0) throw new UsageError("Give --file, or --prompt, --a and --b, not both");
    return await readPair(file);
  }
  if (prompt === undefined || a === undefined || b === undefined) {
    throw new UsageError("Give the pair by --prompt, --a and --b, or by --file");
  }
  return { conversation: [{ role: "user", content: prompt }], a, b };
}

async function readPair(file: string): Promise<JudgeInput> {
  let value: unknown;
  try {
    value = JSON.parse(await readFile(file, "utf8"));
  } catch (error) {
    throw new UsageError(`File "${file}" holds no pair: ${(error as Error).message}`, { cause: error });
  }
  const { success, data, error } = pairSchema.safeParse(value);
  if (!success) {
    const problems = error.issues.map(({ path, message }) =>
      path.length > 0 ? `"${path.join(".")}": ${message}` : message
    );
    throw new UsageError(`File "${file}" holds no pair: ${problems.join("; ")}`);
  }
  const { prompt, conversation, a, b } = data;
  return { conversation: conversation ?? [{ role: "user", content: prompt! }], a, b };
}

function show(
  answer: Judgement,
  trace: Trace | null,
  quotes: readonly CheckedQuote[],
  out: Context["out"],
): void {
  if (answer.text !== "") out("\n\n");
  out(`Verdict: ${describeOutcome(answer.outcome)}\n`);
  const { scores, probabilityA } = answer;
  if (scores !== undefined) out(`Scores: A ${scores.A.toFixed(4)}, B ${scores.B.toFixed(4)}\n`);
  if (probabilityA !== undefined) out(`Probability of A: ${probabilityA.toFixed(4)}\n`);
  if (trace === null) return;
  if (trace.type !== null) out(`Type: ${trace.type}\n`);
  for (const { text, weight } of trace.rubric?.items ?? []) {
    out(`Rubric: ${text}${weight === null ? "" : ` (${Math.round(100 * weight)} %)`}\n`);
  }
  for (const { side, text, found } of quotes) out(`Quote of ${side}, ${found}: ${JSON.stringify(text)}\n`);
  for (const { kind, detail } of trace.problems) out(`Form: ${kind} (${detail})\n`);
  if (answer.finish === "length" || answer.finish === "context") {
    out(`Cut short after ${answer.tokens} tokens (${answer.finish})\n`);
  }
}

function describeOutcome(outcome: Outcome): string {
  if (!("reason" in outcome)) return outcome.kind;
  return outcome.kind === "none" ? `none (${outcome.reason})` : `cannot be read (${outcome.reason})`;
}

function asJson(
  name: string,
  { outcome, text, tokens, promptTokens, finish, scores, probabilityA }: Judgement,
  trace: Trace | null,
  quotes: readonly CheckedQuote[],
  seconds: number,
): JsonObject {
  return {
    judge: name,
    verdict: "reason" in outcome ? null : outcome.kind,
    reason: "reason" in outcome ? outcome.reason : null,
    type: trace?.type ?? null,
    rubric: trace?.rubric as unknown as JsonObject ?? null,
    solution: trace?.solution ?? null,
    eval: trace?.eval ?? null,
    quotes: quotes as unknown as JsonObject[],
    problems: (trace?.problems ?? []) as unknown as JsonObject[],
    scores: scores ?? null,
    probabilityA: probabilityA ?? null,
    text,
    tokens,
    promptTokens,
    finish,
    seconds,
  };
}
