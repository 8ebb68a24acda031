/**
 * The schemas of a run's files.
 *
 * @module
 */
import * as z from "zod";
import { type JournalLine, type JudgedLine, type LedgerLine, POINTS } from "./records.ts";

const figure = z.number().nullish();
const text = z.string();
const stage = z.union([z.literal(1), z.literal(2)]);
const count = z.int().min(0);
const counts = z.record(z.string(), z.number());
const share = z.object({ value: z.number(), interval: z.tuple([z.number(), z.number()]) });
const when = { time: z.iso.datetime(), seconds: z.number() };

const report = z.object({
  examples: count,
  accuracy: share,
  parsedAccuracy: share.nullish(),
  parseRate: share.nullish(),
  unparsable: counts.default({}),
});

const session = { code: text, backend: text, threads: figure, ...when };

const SCHEMAS: { readonly [type: string]: z.ZodType<JournalLine> } = {
  start: z.object({ type: z.literal("start"), ...session }),
  resume: z.object({ type: z.literal("resume"), ...session }),
  data: z.object({
    type: z.literal("data"),
    train: count,
    evaluation: count,
    leftOut: counts.default({}),
    ...when,
  }),
  stage: z.object({
    type: z.literal("stage"),
    stage,
    steps: count,
    from: count,
    examples: count,
    leftOut: counts.default({}),
    ...when,
  }),
  step: z.object({
    type: z.literal("step"),
    stage,
    step: count,
    loss: figure,
    gradNorm: figure,
    learningRate: figure,
    tokensPerSecond: figure,
    wallSeconds: figure,
    reward: figure,
    parseRate: figure,
    entropy: figure,
    updates: figure,
    outcomes: counts.nullish(),
    finishes: counts.nullish(),
    meanTokens: figure,
    groups: figure,
    equalGroups: figure,
    distinct: figure,
    sampler: z.object({ meanGap: figure }).nullish(),
    policy: z.object({ meanKl: figure, clipFraction: figure }).nullish(),
    critic: z.object({ loss: figure, explainedVariance: figure }).nullish(),
    preference: z.object({ accuracy: figure, meanLead: figure }).nullish(),
    ...when,
  }),
  evaluation: z.discriminatedUnion("at", [
    z.object({ type: z.literal("evaluation"), at: z.enum(POINTS), report, ...when }),
    z.object({
      type: z.literal("evaluation"),
      at: z.literal("step"),
      stage,
      step: count,
      report,
      ...when,
    }),
  ]),
  chosen: z.object({
    type: z.literal("chosen"),
    stage,
    step: count,
    accuracy: z.number(),
    last: count,
    ...when,
  }),
  warning: z.object({ type: z.literal("warning"), message: text, ...when }),
  interrupted: z.object({ type: z.literal("interrupted"), stage: stage.nullable(), step: count, ...when }),
  finish: z.object({ type: z.literal("finish"), ...when }),
  checkpoint: z.object({ type: z.literal("checkpoint"), path: text, ...when }),
};

const OTHER: z.ZodType<JournalLine> = z.object({
  type: text.transform(() => "other" as const),
  ...when,
});

/** The schema of a journal's line: by its type, and of a type that is not known only what all have in common. */
export function journalSchema(line: unknown): z.ZodType<JournalLine> {
  const { type } = line as { readonly type?: unknown };
  return typeof type === "string" && Object.hasOwn(SCHEMAS, type) ? SCHEMAS[type]! : OTHER;
}

/** The schema of a ledger's line. */
export const LEDGER_LINE: z.ZodType<LedgerLine> = z.object({
  stage: stage.nullable(),
  step: count.nullable(),
  id: text,
  what: text,
  reason: text,
});

const side = z.enum(["A", "B"]);

/** The schema of a stored judgement. */
export const JUDGED_LINE: z.ZodType<JudgedLine> = z.object({
  id: text,
  gold: side,
  outcome: z.discriminatedUnion("kind", [
    z.object({ kind: side }),
    z.object({ kind: z.enum(["unparsable", "none"]).transform(() => "none" as const), reason: text }),
  ]),
  finish: text.nullable(),
  tokens: z.number(),
  text,
});

/** The schema of `provenance.json`. */
export const PROVENANCE: z.ZodType<Readonly<Record<string, string>>> = z.record(z.string(), text);

/** The schema of `config.json`: any object, so that one of an earlier version can be shown. */
export const STORED_CONFIG: z.ZodType<Readonly<Record<string, unknown>>> = z.record(z.string(), z.unknown());
