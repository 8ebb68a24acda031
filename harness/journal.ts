/**
 * The record of a run: one JSON object a line, only ever appended to.
 *
 * @module
 */
import { closeSync, createReadStream, fsyncSync, mkdirSync, openSync, writeSync } from "node:fs";
import { join } from "node:path";
import * as z from "zod";
import { UNPARSABLE_REASONS } from "rm-r1/cor";
import { type Judgement, NO_VERDICT_REASONS } from "rm-r1/judge";

/** A judgement as a run needs it; its text is in the journal's file. */
export type StoredJudgement = Omit<Judgement, "text" | "logprobs" | "scores">;

/** What a call was about, for people who read the journal. */
export type CallLabel = Readonly<Record<string, string | number>>;

/** What a run is, at the head of each of its sessions in the journal. */
export interface RunHeader {
  readonly benchmark: string;
  /** Identity of the judge. */
  readonly judge: string;
  /** SHA-256 of each data file, by name. */
  readonly data: Readonly<Record<string, string>>;
  readonly options: Readonly<Record<string, string | number | null>>;
}

/**
 * One line of the journal: the head of a session, an answer, a further call that the same answer is to (items may share
 * a pair, which is judged once), or a call that failed and has none.
 */
export type JournalLine =
  | { readonly type: "run" } & RunHeader
  | { readonly type: "judgement"; readonly key: string; readonly about: CallLabel; readonly text: string }
    & StoredJudgement
  | { readonly type: "score"; readonly key: string; readonly about: CallLabel; readonly score: number | null }
  | { readonly type: "same"; readonly key: string; readonly about: CallLabel }
  | { readonly type: "failure"; readonly key: string; readonly about: CallLabel; readonly error: string };

const LABEL: z.ZodType<CallLabel> = z.record(z.string(), z.union([z.string(), z.number()]));
const COUNT: z.ZodType<number> = z.int().nonnegative();

const LINE: z.ZodType<JournalLine> = z.discriminatedUnion("type", [
  z.object({
    type: z.literal("run"),
    benchmark: z.string(),
    judge: z.string(),
    data: z.record(z.string(), z.string()),
    options: z.record(z.string(), z.union([z.string(), z.number(), z.null()])),
  }),
  z.object({
    type: z.literal("judgement"),
    key: z.string(),
    about: LABEL,
    outcome: z.discriminatedUnion("kind", [
      z.object({ kind: z.enum(["A", "B"]) }),
      z.object({ kind: z.literal("unparsable"), reason: z.enum(UNPARSABLE_REASONS) }),
      z.object({ kind: z.literal("none"), reason: z.enum(NO_VERDICT_REASONS) }),
    ]),
    tokens: COUNT,
    promptTokens: COUNT,
    finish: z.enum(["eos", "stop", "length", "context"]).nullable(),
    thinking: z.literal("required").exactOptional(),
    probabilityA: z.number().min(0).max(1).exactOptional(),
    text: z.string(),
  }),
  z.object({ type: z.literal("score"), key: z.string(), about: LABEL, score: z.number().nullable() }),
  z.object({ type: z.literal("same"), key: z.string(), about: LABEL }),
  z.object({ type: z.literal("failure"), key: z.string(), about: LABEL, error: z.string() }),
]);

/** Name of the journal's file in a run's directory. */
export const JOURNAL_FILE = "judgements.jsonl";

const NEWLINE = 0x0a;

/** Lines of a file, split at line feeds alone; the last one may be cut. A file that is not there has none. */
async function* linesOf(path: string): AsyncGenerator<{ text: string; ended: boolean }> {
  let rest: Buffer = Buffer.alloc(0);
  try {
    for await (const chunk of createReadStream(path, { highWaterMark: 1 << 20 }) as AsyncIterable<Buffer>) {
      let start = 0;
      for (let end = chunk.indexOf(NEWLINE); end >= 0; end = chunk.indexOf(NEWLINE, start)) {
        yield { text: Buffer.concat([rest, chunk.subarray(start, end)]).toString("utf8"), ended: true };
        rest = Buffer.alloc(0);
        start = end + 1;
      }
      rest = Buffer.concat([rest, chunk.subarray(start)]);
    }
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
  }
  if (rest.length > 0) yield { text: rest.toString("utf8"), ended: false };
}

/** Lines of a run's journal, in their order; null for one that is not of this form, as one that a crash has cut. */
export async function* readJournal(path: string): AsyncGenerator<JournalLine | null> {
  for await (const { text } of linesOf(path)) if (text.trim() !== "") yield parseLine(text);
}

function parseLine(text: string): JournalLine | null {
  try {
    return LINE.safeParse(JSON.parse(text)).data ?? null;
  } catch {
    return null;
  }
}

function nameOf(key: string, about: CallLabel): string {
  return `${key} ${JSON.stringify(about)}`;
}

/** The directory of a run holds the judgements of another one. */
export class RunMismatchError extends Error {
  override readonly name = "RunMismatchError";
}

/**
 * The answers of a run by key, on disk as soon as they are given. A line that was cut by a crash, or that is not of
 * this form, answers nothing: it is counted, kept in the file, and its call is made again.
 */
export class Journal implements Disposable {
  readonly path: string;
  /** Lines that could not be read. */
  readonly unreadable: number;
  readonly judgements: ReadonlyMap<string, StoredJudgement>;
  readonly scores: ReadonlyMap<string, number | null>;
  readonly #judgements: Map<string, StoredJudgement>;
  readonly #scores: Map<string, number | null>;
  /** Calls that an answer names, as texts. */
  readonly #named = new Set<string>();
  readonly #file: number;

  private constructor(
    path: string,
    read: { lines: readonly JournalLine[]; unreadable: number; torn: boolean },
  ) {
    this.path = path;
    this.unreadable = read.unreadable;
    this.judgements = this.#judgements = new Map();
    this.scores = this.#scores = new Map();
    for (const line of read.lines) this.#remember(line);
    this.#file = openSync(path, "a");
    if (read.torn) writeSync(this.#file, "\n");
  }

  /**
   * Opens a run's journal, or starts one, and appends the header.
   *
   * @throws {RunMismatchError} The journal is another benchmark's or another judge's.
   */
  static async open(directory: string, header: RunHeader): Promise<Journal> {
    mkdirSync(directory, { recursive: true });
    const path = join(directory, JOURNAL_FILE);
    const lines: JournalLine[] = [];
    let unreadable = 0;
    let torn = false;
    for await (const { text, ended } of linesOf(path)) {
      torn = !ended;
      const line = parseLine(text);
      if (line === null) {
        if (text.trim() !== "") unreadable++;
        continue;
      }
      if (line.type === "run") {
        for (const field of ["benchmark", "judge"] as const) {
          if (line[field] === header[field]) continue;
          throw new RunMismatchError(
            `File "${path}" has ${field} "${line[field]}", expected "${
              header[field]
            }": take another directory`,
          );
        }
      }
      lines.push(line.type === "judgement" ? { ...line, text: "" } : line);
    }
    const journal = new Journal(path, { lines, unreadable, torn });
    journal.append({ type: "run", ...header });
    return journal;
  }

  /** Writes a line; an answer is then known by its key. */
  append(line: JournalLine): void {
    const bytes = Buffer.from(`${JSON.stringify(line)}\n`);
    for (let at = 0; at < bytes.length;) at += writeSync(this.#file, bytes, at);
    this.#remember(line);
  }

  /** Whether the journal says that the answer of this key is this call's. */
  names(key: string, about: CallLabel): boolean {
    return this.#named.has(nameOf(key, about));
  }

  #remember(line: JournalLine): void {
    if (line.type === "judgement" || line.type === "score" || line.type === "same") {
      this.#named.add(nameOf(line.key, line.about));
    }
    if (line.type === "judgement") {
      const { type: _, key, about: __, text: ___, ...judgement } = line;
      this.#judgements.set(key, judgement);
    } else if (line.type === "score") {
      this.#scores.set(line.key, line.score);
    }
  }

  /** Brings what was written to the disk and closes the file. */
  [Symbol.dispose](): void {
    fsyncSync(this.#file);
    closeSync(this.#file);
  }
}
