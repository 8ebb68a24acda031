/**
 * A run's files as a report takes them. What an earlier version did not write yet may be missing; what is there is of
 * the right type.
 *
 * @module
 */

/** A figure. JSON has no NaN and no infinity: the trainer wrote null for them. */
export type Figure = number | null | undefined;

/** Numbers of things, by name. */
export type Counts = Readonly<Record<string, number>>;

/** The stages by number. */
export type StageNumber = 1 | 2;

/** Points of a run that are evaluated on the held-out pairs, in their order. */
export const POINTS = ["base", "distilled", "final"] as const;

/** One of {@link POINTS}. */
export type Point = (typeof POINTS)[number];

/** A share with its 95 % interval. */
export interface Share {
  readonly value: number;
  readonly interval: readonly [low: number, high: number];
}

/** An evaluation's figures. */
export interface Evaluation {
  readonly examples: number;
  /** What cannot be read counts as wrong. */
  readonly accuracy: Share;
  readonly parsedAccuracy?: Share | null | undefined;
  readonly parseRate?: Share | null | undefined;
  /** What holds no verdict, by reason. */
  readonly unparsable: Counts;
}

/** A training step. Of stage 1 most fields are missing. */
export interface Step {
  readonly type: "step";
  readonly stage: StageNumber;
  readonly step: number;
  readonly loss?: Figure;
  readonly gradNorm?: Figure;
  readonly learningRate?: Figure;
  readonly tokensPerSecond?: Figure;
  readonly wallSeconds?: Figure;
  readonly reward?: Figure;
  readonly parseRate?: Figure;
  readonly entropy?: Figure;
  /** Of the policy's weights. */
  readonly updates?: Figure;
  /** Rollouts by what became of them. */
  readonly outcomes?: Counts | null | undefined;
  /** Rollouts by how they ended. */
  readonly finishes?: Counts | null | undefined;
  readonly meanTokens?: Figure;
  readonly groups?: Figure;
  readonly equalGroups?: Figure;
  readonly distinct?: Figure;
  readonly sampler?: { readonly meanGap?: Figure } | null | undefined;
  readonly policy?: { readonly meanKl?: Figure; readonly clipFraction?: Figure } | null | undefined;
  readonly critic?: { readonly loss?: Figure; readonly explainedVariance?: Figure } | null | undefined;
  readonly preference?: { readonly accuracy?: Figure; readonly meanLead?: Figure } | null | undefined;
}

/** What a journal says. */
export type JournalEntry =
  | {
    readonly type: "start" | "resume";
    readonly code: string;
    readonly backend: string;
    readonly threads?: Figure;
  }
  | { readonly type: "data"; readonly train: number; readonly evaluation: number; readonly leftOut: Counts }
  | {
    readonly type: "stage";
    readonly stage: StageNumber;
    /** Planned. */
    readonly steps: number;
    /** The step that the session goes on behind. */
    readonly from: number;
    readonly examples: number;
    readonly leftOut: Counts;
  }
  | Step
  | { readonly type: "evaluation"; readonly at: Point; readonly report: Evaluation }
  | {
    readonly type: "evaluation";
    readonly at: "step";
    readonly stage: StageNumber;
    readonly step: number;
    readonly report: Evaluation;
  }
  | {
    readonly type: "chosen";
    readonly stage: StageNumber;
    readonly step: number;
    readonly accuracy: number;
    readonly last: number;
  }
  | { readonly type: "warning"; readonly message: string }
  | { readonly type: "interrupted"; readonly stage: StageNumber | null; readonly step: number }
  | { readonly type: "finish" }
  | { readonly type: "checkpoint"; readonly path: string }
  | { readonly type: "other" };

/** A line of the journal. */
export type JournalLine = JournalEntry & {
  /** ISO 8601, UTC. */
  readonly time: string;
  /** Since the session began. */
  readonly seconds: number;
};

/** An example that was left out, cut short, or could not be read. */
export interface LedgerLine {
  readonly stage: StageNumber | null;
  readonly step: number | null;
  readonly id: string;
  readonly what: string;
  readonly reason: string;
}

/** A judgement of a held-out pair. */
export interface JudgedLine {
  readonly id: string;
  /** Where the better answer stood. */
  readonly gold: "A" | "B";
  /** The verdict, or why there is none. */
  readonly outcome: { readonly kind: "A" | "B" } | { readonly kind: "none"; readonly reason: string };
  /** How the text ended; null where none was generated. */
  readonly finish: string | null;
  /** Generated tokens. */
  readonly tokens: number;
  /** What the judge wrote. */
  readonly text: string;
}

/** A run's files. */
export interface RunRecords {
  /** The last part of the folder's path. */
  readonly name: string;
  readonly path: string;
  /** As it is stored; an earlier version may have written it. */
  readonly config: Readonly<Record<string, unknown>>;
  readonly journal: readonly JournalLine[];
  /** null where there is none: an earlier version kept no ledger. */
  readonly ledger: readonly LedgerLine[] | null;
  /** What there is of the judgements at each point. */
  readonly judgements: { readonly [point in Point]?: readonly JudgedLine[] };
  /** Hashes and versions, by what they are of. */
  readonly provenance: Readonly<Record<string, string>>;
  /** Whether it came to its end. */
  readonly finished: boolean;
}
