/**
 * Where the traces of stage 1 are from: made from the data, or read from a file that `distill` wrote.
 *
 * @module
 */
import { createHash } from "node:crypto";
import { readFile } from "node:fs/promises";
import {
  DataError,
  type DataTrace,
  type PlacedPair,
  type PreferenceRecord,
  readTraces,
  type Side,
  traceFromData,
  type TraceRecord,
} from "../data/mod.ts";
import type { JudgeForm } from "../cor/mod.ts";
import { locate } from "./data.ts";

/** Gives traces of records in their places. */
export interface TraceSource {
  /** SHA-256 of the file; null where there is none. */
  readonly hash: string | null;
  /** The places of the better answer in which a record may be learnt; none where it has no trace. */
  sidesOf(record: PreferenceRecord): readonly Side[];
  /** The trace of a pair in one of these places. */
  traceOf(pair: PlacedPair): DataTrace | { readonly trace: string };
  /** Ids of traces of no record of these. */
  unmatched(records: readonly PreferenceRecord[]): readonly string[];
}

const BOTH: readonly Side[] = ["A", "B"];

/** Traces made from the data, for either place. */
export function tracesFromData(form: JudgeForm): TraceSource {
  return {
    hash: null,
    sidesOf: () => BOTH,
    traceOf: (pair) => traceFromData(pair, form),
    unmatched: () => [],
  };
}

/**
 * Traces of a file, by record id and place.
 *
 * @throws {DataError} The file is missing or malformed. {@link TraceSource.traceOf} and {@link TraceSource.sidesOf}
 * throw where a trace is of other texts than the record of its id.
 */
export async function tracesFromFile(named: string): Promise<TraceSource> {
  const path = await locate(named);
  const traces = await readTraces(path);
  const byId = new Map<string, TraceRecord[]>();
  for (const trace of traces) byId.set(trace.id, [...byId.get(trace.id) ?? [], trace]);
  const sidesOf = (record: PreferenceRecord): readonly Side[] => {
    const own = byId.get(record.id) ?? [];
    for (const { conversation, a, b, gold } of own) {
      const [chosen, rejected] = gold === "A" ? [a, b] : [b, a];
      const same = chosen === record.chosen && rejected === record.rejected &&
        textOf(conversation) === textOf(record.conversation);
      if (same) continue;
      throw new DataError(
        path,
        null,
        `Expected the trace of record "${record.id}" to be of the training data's texts, found other ones`,
      );
    }
    return own.map(({ gold }) => gold);
  };
  return {
    hash: createHash("sha256").update(await readFile(path)).digest("hex"),
    sidesOf,
    traceOf({ record, gold }) {
      const found = byId.get(record.id)?.find((trace) => trace.gold === gold);
      if (found !== undefined) return { trace: found.trace };
      throw new DataError(
        path,
        null,
        `Record "${record.id}" has no trace with the better answer at "${gold}"`,
      );
    },
    unmatched: (records) => {
      const ids = new Set(records.map(({ id }) => id));
      return traces.map(({ id }) => id).filter((id) => !ids.has(id));
    },
  };
}

function textOf(conversation: PreferenceRecord["conversation"]): string {
  return JSON.stringify(conversation.map(({ role, content }) => [role, content]));
}
