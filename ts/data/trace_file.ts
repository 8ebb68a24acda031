/**
 * Files of traces to learn from, which `distill` writes: JSON Lines, one {@link TraceRecord} a line.
 *
 * @module
 */
import * as z from "zod";
import { parseVerdict } from "../cor/verdict.ts";
import type { Message } from "../engine/engine.ts";
import { DataError, showValue } from "./data_error.ts";
import { conversationField, idField, textField } from "./fields.ts";
import { readJsonLines } from "./json_lines.ts";
import type { Side } from "./record.ts";

/** A pair in its places, with a trace whose verdict is for the better answer. */
export interface TraceRecord {
  /** Of the preference record. */
  readonly id: string;
  /** Of the preference record; its id where that has none. */
  readonly group: string;
  readonly conversation: readonly Message[];
  /** The answer in place A. */
  readonly a: string;
  /** The answer in place B. */
  readonly b: string;
  /** The place of the better answer. */
  readonly gold: Side;
  readonly trace: string;
  /** 1: written without the label; 2: written with it; null: made of the data themselves. */
  readonly pass: 1 | 2 | null;
  /** Who wrote it: an oracle's model, or "data". */
  readonly model: string;
}

const traceSchema: z.ZodType<TraceRecord> = z.object({
  id: idField,
  group: textField,
  conversation: conversationField,
  a: textField,
  b: textField,
  gold: z.enum(["A", "B"]),
  trace: textField,
  pass: z.union([z.literal(1), z.literal(2), z.null()], "expected 1, 2 or null"),
  model: textField,
});

/**
 * Reads a file of traces.
 *
 * @throws {DataError} A malformed line, a trace whose verdict is not for the better answer, two traces of a record with
 * the same places, or a file without any.
 */
export async function readTraces(path: string): Promise<TraceRecord[]> {
  const traces: TraceRecord[] = [];
  const lineOf = new Map<string, number>();
  for await (const { line, value } of readJsonLines(path, traceSchema)) {
    const { id, gold, trace } = value;
    const verdict = parseVerdict(trace);
    if (verdict.kind !== gold) {
      const found = verdict.kind === "unparsable" ? verdict.reason : verdict.kind;
      throw new DataError(
        path,
        line,
        `Field "trace": expected the verdict ${showValue(gold)}, found "${found}"`,
      );
    }
    const earlier = lineOf.get(`${gold}${id}`);
    if (earlier !== undefined) {
      throw new DataError(
        path,
        line,
        `Expected one trace for each id and place, found a second of ${
          showValue(id)
        } with the better answer at ` +
          `"${gold}", after line ${earlier}`,
      );
    }
    lineOf.set(`${gold}${id}`, line);
    traces.push(value);
  }
  if (traces.length === 0) throw new DataError(path, null, "Expected at least one trace, found none");
  return traces;
}
