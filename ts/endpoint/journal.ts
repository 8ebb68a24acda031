/**
 * The journal of calls: what was sent and what came back, one JSON object a line, only ever appended to.
 *
 * A call is written down before it is sent and its answer before it counts, each flushed to the disk. So a process
 * that is killed anywhere has lost no answer that counted, and what it may have had under way is known: a call without
 * an end. Failures are written down for people and for the budget, and are never an answer.
 *
 * @module
 */
import { createHash } from "node:crypto";
import { type FileHandle, open } from "node:fs/promises";
import * as z from "zod";
import { DataError, readJsonLines } from "../data/mod.ts";
import type { Answer, Call, CallTokens } from "./call.ts";

/** What a call is about, for people who read the journal. */
export interface CallLabel {
  /** Of the record. */
  readonly id: string;
  readonly pass: 1 | 2;
}

/** A line of the journal. `worst`: the most that the call can take; what is not known of its end is taken for that. */
export type JournalLine =
  | { readonly type: "session"; readonly time: string; readonly settings: Readonly<Record<string, unknown>> }
  | { readonly type: "call"; readonly number: number; readonly key: string; readonly worst: CallTokens }
    & CallLabel
  | { readonly type: "answer"; readonly number: number; readonly key: string } & CallLabel & Answer
  | {
    readonly type: "failure";
    readonly number: number;
    readonly key: string;
    readonly error: string;
    /** Whether the server may have written anything that it charges for. */
    readonly charged: boolean;
  };

const COUNT: z.ZodType<number> = z.int().nonnegative();
const TOKENS: z.ZodType<CallTokens> = z.object({ input: COUNT, output: COUNT });
const CALL = { number: COUNT, key: z.string().min(1) };
const LABEL = { id: z.string(), pass: z.union([z.literal(1), z.literal(2)]) };

const LINE: z.ZodType<JournalLine> = z.discriminatedUnion("type", [
  z.object({
    type: z.literal("session"),
    time: z.string(),
    settings: z.record(z.string(), z.unknown()),
  }),
  z.object({ type: z.literal("call"), ...CALL, ...LABEL, worst: TOKENS }),
  z.object({
    type: z.literal("answer"),
    ...CALL,
    ...LABEL,
    text: z.string(),
    end: z.enum(["stop", "length", "refusal"]),
    tokens: TOKENS.nullable(),
    servedBy: z.string().nullable(),
  }),
  z.object({ type: z.literal("failure"), ...CALL, error: z.string(), charged: z.boolean() }),
]);

/** SHA-256 of a call: the same call has the same key in every run. */
export function keyOf({ writer, model, messages, sampling, sample }: Call): string {
  const content = [
    writer,
    model,
    messages.map(({ role, content }) => [role, content]),
    Object.entries(sampling).sort(([x], [y]) => x < y ? -1 : 1),
    sample,
  ];
  return createHash("sha256").update(JSON.stringify(content)).digest("hex");
}

/** What the calls of one pass took, by the journal. */
export interface Spent {
  readonly calls: number;
  readonly tokens: CallTokens;
}

/** What a journal says. */
export interface JournalContent {
  /** By key; the first one counts. */
  readonly answers: ReadonlyMap<string, Answer>;
  /** Of the passes 1 and 2, over all sessions. */
  readonly spent: { readonly 1: Spent; readonly 2: Spent };
  /** Calls that were written down and have no end: sent, perhaps, when their process was killed. */
  readonly open: number;
  /** Number of the last call. */
  readonly lastNumber: number;
}

const NOTHING: Spent = { calls: 0, tokens: { input: 0, output: 0 } };

/** What a journal says that does not exist yet. */
export const EMPTY_JOURNAL: JournalContent = {
  answers: new Map(),
  spent: { 1: NOTHING, 2: NOTHING },
  open: 0,
  lastNumber: 0,
};

/** Appends to a journal. Lines that come while others are flushed are written and flushed together. */
export class Journal implements AsyncDisposable {
  readonly path: string;
  readonly content: JournalContent;
  readonly #file: FileHandle;
  #waiting: { readonly text: string; readonly done: () => void; readonly failed: (error: Error) => void }[] =
    [];
  #writing: Promise<void> | null = null;

  private constructor(path: string, file: FileHandle, content: JournalContent) {
    this.path = path;
    this.#file = file;
    this.content = content;
  }

  /**
   * Opens a journal, or begins one; cuts a last line that was torn when its process was killed.
   *
   * @throws {DataError} A line is not a journal's.
   */
  static async open(path: string): Promise<Journal> {
    const file = await open(path, "a+");
    try {
      await cutTornLine(file);
      return new Journal(path, file, await readJournal(path));
    } catch (error) {
      await file.close();
      throw error;
    }
  }

  /** Writes a line; it is on the disk when the promise is kept. */
  append(line: JournalLine): Promise<void> {
    return new Promise((done, failed) => {
      this.#waiting.push({ text: `${JSON.stringify(line)}\n`, done, failed });
      this.#writing ??= this.#write();
    });
  }

  async #write(): Promise<void> {
    // Lines of this turn of the event loop come along.
    await Promise.resolve();
    while (this.#waiting.length > 0) {
      const lines = this.#waiting;
      this.#waiting = [];
      try {
        await this.#file.appendFile(lines.map(({ text }) => text).join(""));
        await this.#file.datasync();
        for (const { done } of lines) done();
      } catch (cause) {
        const error = new DataError(
          this.path,
          null,
          `The journal cannot be written: ${(cause as Error).message}`,
          { cause },
        );
        for (const { failed } of lines) failed(error);
      }
    }
    this.#writing = null;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#writing;
    await this.#file.close();
  }
}

async function cutTornLine(file: FileHandle): Promise<void> {
  const { size } = await file.stat();
  const block = new Uint8Array(1 << 16);
  let end = size;
  while (end > 0) {
    const start = Math.max(0, end - block.length);
    const { bytesRead } = await file.read(block, 0, end - start, start);
    const at = block.subarray(0, bytesRead).lastIndexOf(0x0a);
    if (at >= 0) {
      end = start + at + 1;
      break;
    }
    end = start;
  }
  if (end < size) {
    await file.truncate(end);
    await file.datasync();
  }
}

/**
 * Reads a journal.
 *
 * @throws {DataError} A line is not a journal's.
 */
export async function readJournal(path: string): Promise<JournalContent> {
  const answers = new Map<string, Answer>();
  const underWay = new Map<number, { readonly pass: 1 | 2; readonly worst: CallTokens }>();
  const spent = {
    1: { calls: 0, tokens: { input: 0, output: 0 } },
    2: { calls: 0, tokens: { input: 0, output: 0 } },
  };
  let lastNumber = 0;
  const charge = (pass: 1 | 2, { input, output }: CallTokens): void => {
    spent[pass].tokens.input += input;
    spent[pass].tokens.output += output;
  };
  for await (const { line, value } of readJsonLines(path, LINE)) {
    if (value.type === "session") continue;
    if (value.type === "call") {
      underWay.set(value.number, value);
      spent[value.pass].calls++;
      lastNumber = Math.max(lastNumber, value.number);
      continue;
    }
    const call = underWay.get(value.number);
    if (call === undefined) {
      throw new DataError(
        path,
        line,
        `Expected the end of a call, found call "${value.number}", which is not open`,
      );
    }
    underWay.delete(value.number);
    if (value.type === "failure") {
      if (value.charged) charge(call.pass, call.worst);
      continue;
    }
    const { key, text, end, tokens, servedBy } = value;
    charge(call.pass, tokens ?? call.worst);
    if (!answers.has(key)) answers.set(key, { text, end, tokens, servedBy });
  }
  for (const { pass, worst } of underWay.values()) charge(pass, worst);
  return { answers, spent, open: underWay.size, lastNumber };
}
