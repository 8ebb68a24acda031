/**
 * Reads a run's folder.
 *
 * @module
 */
import { readdir, readFile } from "node:fs/promises";
import { basename, join, resolve } from "node:path";
import type * as z from "zod";
import { describeIssues, describeJsonError } from "../train/config_error.ts";
import { exists } from "../train/durable.ts";
import { readLines } from "../train/lines.ts";
import { RunError } from "../train/mod.ts";
import { type JudgedLine, type Point, POINTS, type RunRecords } from "./records.ts";
import { journalSchema, JUDGED_LINE, LEDGER_LINE, PROVENANCE, STORED_CONFIG } from "./schemas.ts";

const JOURNAL = "journal.jsonl";
const CONFIG = "config.json";

/** Whether a folder holds a run of training, whole or not. */
export async function isRun(path: string): Promise<boolean> {
  return await exists(join(path, JOURNAL)) && await exists(join(path, CONFIG));
}

/** What {@link readRun} may leave out. */
export interface ReadOptions {
  /** Whether the judgements are read. Default true. */
  readonly judgements?: boolean;
}

/**
 * Reads what a run has written so far. A last line that is torn, for the run goes on or was killed, is left out.
 *
 * @throws {RunError} The folder is not there or holds no run, or a file of it is damaged: the message names the file,
 * the line, the field, and what was expected.
 */
export async function readRun(path: string, { judgements = true }: ReadOptions = {}): Promise<RunRecords> {
  if (!(await exists(path))) {
    throw new RunError(`Folder "${path}" is not there, expected the folder of a run`);
  }
  for (const name of [CONFIG, JOURNAL]) {
    if (!(await exists(join(path, name)))) {
      throw new RunError(`Folder "${path}" holds no run of training: it has no ${name}`);
    }
  }
  const ledger = join(path, "ledger.jsonl");
  const provenance = join(path, "provenance.json");
  return {
    name: basename(resolve(path)),
    path,
    config: await readJson(join(path, CONFIG), STORED_CONFIG),
    journal: await readChecked(join(path, JOURNAL), journalSchema),
    ledger: await exists(ledger) ? await readChecked(ledger, () => LEDGER_LINE) : null,
    judgements: judgements ? await readJudgements(path) : {},
    provenance: await exists(provenance) ? await readJson(provenance, PROVENANCE) : {},
    finished: await exists(join(path, "result.json")),
  };
}

async function readJudgements(path: string): Promise<RunRecords["judgements"]> {
  const read: { [point in Point]?: readonly JudgedLine[] } = {};
  for (const point of POINTS) {
    const file = join(path, "evaluations", `${point}.jsonl`);
    if (await exists(file)) read[point] = await readChecked(file, () => JUDGED_LINE);
  }
  return read;
}

async function readChecked<T>(path: string, schemaOf: (line: unknown) => z.ZodType<T>): Promise<T[]> {
  const lines = await readLines<unknown>(path);
  return lines.map((line, index) => {
    const place = `${path}:${index + 1}`;
    if (line === null || typeof line !== "object") {
      throw new RunError(`${place}: Expected a JSON object, found "${JSON.stringify(line)}"`);
    }
    return checked(place, schemaOf(line), line);
  });
}

async function readJson<T>(path: string, schema: z.ZodType<T>): Promise<T> {
  const content = await readFile(path, "utf8");
  let value: unknown;
  try {
    value = JSON.parse(content);
  } catch (error) {
    throw new RunError(`${path}: ${describeJsonError(content, error as Error)}`, { cause: error });
  }
  return checked(path, schema, value);
}

function checked<T>(place: string, schema: z.ZodType<T>, value: unknown): T {
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  throw new RunError(`${place}: ${describeIssues(result.error.issues, value).join("; ")}`);
}

/** A folder of runs: those of training, read or not to be read. */
export interface FoundRun {
  readonly name: string;
  readonly run: RunRecords | RunError;
}

/**
 * Reads all runs of training in a folder, without their judgements. A damaged one gives its error in its place.
 *
 * @throws {RunError} The folder is not there.
 */
export async function readRuns(folder: string): Promise<FoundRun[]> {
  if (!(await exists(folder))) throw new RunError(`Folder "${folder}" is not there: there are no runs yet`);
  const found: FoundRun[] = [];
  for (const entry of await readdir(folder, { withFileTypes: true })) {
    const path = join(folder, entry.name);
    if (entry.isFile() || !(await isRun(path))) continue;
    try {
      found.push({ name: entry.name, run: await readRun(path, { judgements: false }) });
    } catch (error) {
      if (!(error instanceof RunError)) throw error;
      found.push({ name: entry.name, run: error });
    }
  }
  return found.sort((x, y) => x.name < y.name ? -1 : 1);
}
