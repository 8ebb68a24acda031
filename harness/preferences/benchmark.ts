/**
 * Preference pairs of the user's own.
 *
 * @module
 */
import type { Message } from "rm-r1/engine";
import * as z from "zod";
import type { BenchItem, Benchmark } from "../benchmark.ts";
import { microFigures } from "../micro.ts";
import { type Fault, filledText, loadSet, messages, optionalName, recordId } from "../records.ts";
import { parseTranscript } from "./transcript.ts";

/** A text, or a conversation that ends with it. */
const ANSWER = z.union([
  filledText,
  z.array(z.object({ role: z.enum(["system", "user", "assistant"]), content: z.string() })).min(1),
], { error: "a non-empty text or an array of messages" });

/** A pair: see {@link PREFERENCES}. */
export const PAIR_RECORD: z.ZodType<PairRecord> = z.object({
  id: recordId.optional(),
  prompt: z.union([filledText, messages], { error: "a non-empty text or messages that end with the user's" })
    .optional(),
  chosen: ANSWER,
  rejected: ANSWER,
  subset: optionalName,
  source: optionalName,
  chosen_model: optionalName,
  rejected_model: optionalName,
});

type Answer = PairRecord["chosen"];

/** A pair as it is read. */
export interface PairRecord {
  readonly id?: string | undefined;
  readonly prompt?: string | readonly Message[] | undefined;
  readonly chosen: string | readonly Message[];
  readonly rejected: string | readonly Message[];
  readonly subset?: string | undefined;
  readonly source?: string | undefined;
  readonly chosen_model?: string | undefined;
  readonly rejected_model?: string | undefined;
}

const ALL = "all";

function textOf(answer: Answer): string {
  return typeof answer === "string" ? answer : answer.at(-1)!.content;
}

function asMessages(prompt: string | readonly Message[]): readonly Message[] {
  return typeof prompt === "string" ? [{ role: "user", content: prompt }] : prompt;
}

/** The turns before both answers: the prompt's, or what both conversations begin with. */
function conversationOf({ prompt, chosen, rejected }: PairRecord): readonly Message[] | Fault {
  if (prompt !== undefined) return asMessages(prompt);
  if (typeof chosen === "string" || typeof rejected === "string") {
    return { field: "prompt", value: "nothing", expected: "a prompt, or answers that are conversations" };
  }
  const [before, other] = [chosen.slice(0, -1), rejected.slice(0, -1)];
  if (JSON.stringify(before) !== JSON.stringify(other)) {
    return {
      field: "rejected",
      value: "another conversation",
      expected: "the turns that chosen begins with",
    };
  }
  if (before.at(-1)?.role === "user") return before;
  return {
    field: "chosen",
    value: "its turns",
    expected: "turns that end with the user's before the answer",
  };
}

const LLMBAR_PAIR = z.object({
  input: z.unknown(),
  output_1: z.unknown(),
  output_2: z.unknown(),
  label: z.union([z.literal(1), z.literal(2)]),
});

/** LLMBar's form, whose `label` says which of two outputs is the better one, becomes ours; all else stays. */
function fromOutputs(value: unknown): unknown {
  const { success, data } = LLMBAR_PAIR.safeParse(value);
  if (!success) return value;
  const { input, output_1, output_2, label } = data;
  const [chosen, rejected] = label === 1 ? [output_1, output_2] : [output_2, output_1];
  return { prompt: input, chosen, rejected };
}

/** Transcripts become the conversations that they are. */
function withoutTranscripts(record: PairRecord): PairRecord {
  const { prompt, chosen, rejected } = record;
  if (prompt !== undefined || typeof chosen !== "string" || typeof rejected !== "string") return record;
  const [one, two] = [parseTranscript(chosen), parseTranscript(rejected)];
  return one === null || two === null ? record : { ...record, chosen: one, rejected: two };
}

/** A pair as an item of the subset that it names, or of `all`; known by its id, or by its place in the file. */
export function pairItem(given: PairRecord, file: string, index: number): BenchItem | Fault {
  const record = withoutTranscripts(given);
  const conversation = conversationOf(record);
  if ("field" in conversation) return conversation;
  const { id, chosen, rejected, subset, source, chosen_model, rejected_model } = record;
  for (const [field, answer] of Object.entries({ chosen, rejected })) {
    if (textOf(answer).trim() === "") return { field, value: '""', expected: "an answer that is not blank" };
  }
  const answer = (text: Answer, model: string | undefined): BenchItem["answers"][number] => ({
    text: textOf(text),
    ...(model !== undefined && { source: model }),
  });
  return {
    key: id ?? `${file}:${index}`,
    subset: subset ?? source ?? ALL,
    conversation,
    answers: [answer(chosen, chosen_model), answer(rejected, rejected_model)],
    pairs: [[0, 1]],
  };
}

/**
 * Any set of pairs, in LLMBar's form or as `prompt` (a text or messages), `chosen` and `rejected` (texts, whole conversations, or HH-RLHF's
 * transcripts), and if there are `id`, `subset`, `chosen_model` and `rejected_model`. Overall is the mean over all pairs.
 */
export const PREFERENCES: Benchmark = {
  name: "preferences",
  title: "Preferences",
  sizes: null,
  sectionsOf: (subsets) => Object.fromEntries(subsets.map((name) => [name, [name]])),
  load: (path) =>
    loadSet<PairRecord>(path, {
      title: "a set of preferences",
      accepts: () => true,
      expected: "records as JSON Lines, JSON or Parquet",
      schemaOf: () => z.preprocess(fromOutputs, PAIR_RECORD),
      itemOf: pairItem,
    }),
  rows: (outcomes) => outcomes.map(({ item, pairs }) => ({ subset: item.subset, measures: [pairs[0]!] })),
  figures: microFigures,
};
