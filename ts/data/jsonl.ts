/**
 * Reads preference records from JSON Lines.
 *
 * @module
 */
import { basename } from "node:path";
import * as z from "zod";
import { DataError } from "./data_error.ts";
import { conversationField, idField, textField } from "./fields.ts";
import { readJsonLines } from "./json_lines.ts";
import type { PreferenceRecord } from "./record.ts";

export { writeJsonl } from "./json_lines.ts";

/**
 * Schema of one line: `prompt` (a text or messages) or `conversation`, and `chosen` and `rejected`, or `a`, `b` and
 * `gold` as in a file of traces; other keys are ignored.
 */
const preferenceSchema = z.object({
  id: idField.optional(),
  prompt: z.union([textField, conversationField]).optional(),
  conversation: conversationField.optional(),
  chosen: textField.optional(),
  rejected: textField.optional(),
  a: textField.optional(),
  b: textField.optional(),
  gold: z.enum(["A", "B"]).optional(),
  solution: textField.optional(),
  source: textField.optional(),
  group: textField.optional(),
}).refine(
  (row) => (row.prompt === undefined) !== (row.conversation === undefined),
  'expected either "prompt" or "conversation"',
).transform(({ a, b, gold, ...row }, { addIssue }) => {
  const placed = a !== undefined && b !== undefined && gold !== undefined;
  const { chosen = placed ? (gold === "A" ? a : b) : undefined } = row;
  const { rejected = placed ? (gold === "A" ? b : a) : undefined } = row;
  for (const [field, value] of Object.entries({ chosen, rejected })) {
    if (value === undefined) addIssue({ code: "custom", path: [field], message: "expected string" });
  }
  return { ...row, chosen: chosen ?? "", rejected: rejected ?? "" };
});

/** What a set of preferences holds, and what was left out of it. */
export interface Preferences {
  readonly records: readonly PreferenceRecord[];
  /** Records whose two answers are the same text: no answer is the better one, so they are left out. */
  readonly identical: readonly { readonly line: number; readonly id: string }[];
}

/**
 * Reads a file of preferences. A record without an id gets `FILE:LINE`, of the file's last path part.
 *
 * @throws {DataError} A malformed line, an id that occurs twice, or a file without any record.
 */
export async function readPreferences(path: string): Promise<Preferences> {
  const records: PreferenceRecord[] = [];
  const identical: { line: number; id: string }[] = [];
  const lineOf = new Map<string, number>();
  for await (const { line, value } of readJsonLines(path, preferenceSchema)) {
    const { id = `${basename(path)}:${line}`, prompt, conversation: messages, chosen, rejected, ...rest } =
      value;
    const earlier = lineOf.get(id);
    if (earlier !== undefined) {
      throw new DataError(
        path,
        line,
        `Field "id": expected each id once, found "${id}" in line ${earlier}, too`,
      );
    }
    lineOf.set(id, line);
    if (chosen === rejected) {
      identical.push({ line, id });
      continue;
    }
    const spoken = messages ??
      (typeof prompt === "string" ? [{ role: "user" as const, content: prompt }] : prompt!);
    records.push({ id, conversation: spoken, chosen, rejected, ...definedOf(rest) });
  }
  if (lineOf.size === 0) throw new DataError(path, null, "Expected at least one record, found none");
  return { records, identical };
}

type Defined<T> = { [K in keyof T]: Exclude<T[K], undefined> };

/** The same object without the keys whose value is undefined. */
function definedOf<T extends Record<string, unknown>>(object: T): Partial<Defined<T>> {
  return Object.fromEntries(Object.entries(object).filter(([, value]) => value !== undefined)) as Partial<
    Defined<T>
  >;
}
