/**
 * What is wrong with a configuration, in words.
 *
 * @module
 */
import type * as z from "zod";
import { configJsonSchema } from "./config_schema.ts";

/** A configuration is refused. The message has a line for each problem. */
export class ConfigError extends Error {
  override readonly name = "ConfigError";
  /** What was read: a file, mostly. */
  readonly source: string;
  readonly problems: readonly string[];

  constructor(source: string, problems: readonly string[], options?: ErrorOptions) {
    super(problems.map((problem) => `${source}: ${problem}`).join("\n"), options);
    this.source = source;
    this.problems = problems;
  }
}

/** One line for each issue: the path of the key, the value, and what was expected. */
export function describeIssues(issues: readonly z.core.$ZodIssue[], value: unknown): string[] {
  return issues.flatMap((issue) => {
    if (issue.code === "unrecognized_keys") {
      return issue.keys.map((key) => describeUnknown(issue.path, key, value));
    }
    const found = at(value, issue.path);
    const place = issue.path.length === 0 ? "" : `"${issue.path.join(".")}": `;
    const shown = found !== null && typeof found === "object" ? "" : `, found ${show(found)}`;
    return [`${place}${lowerFirst(issue.message)}${shown}`];
  });
}

/** Where in the text JSON ends being JSON. */
export function describeJsonError(text: string, error: Error): string {
  const position = /position (\d+)/.exec(error.message)?.[1];
  const line = position === undefined ? "" : `line ${text.slice(0, Number(position)).split("\n").length}: `;
  return `${line}not JSON: ${error.message}`;
}

function describeUnknown(path: readonly PropertyKey[], key: string, value: unknown): string {
  const full = [...path, key].join(".");
  const keys = keyPaths(configJsonSchema() as SchemaNode, [], value);
  const siblings = keys.filter((known) =>
    known.length === path.length + 1 && path.every((p, i) => p === known[i])
  );
  const nearest = closest(key, siblings) ?? closest(key, keys);
  const hint = nearest === null
    ? `expected one of ${siblings.map((known) => `"${known.at(-1)}"`).join(", ")}`
    : `did you mean "${nearest.join(".")}"?`;
  return `unknown key "${full}", ${hint}`;
}

interface SchemaNode {
  readonly properties?: Readonly<Record<string, SchemaNode>>;
  readonly anyOf?: readonly SchemaNode[];
  readonly oneOf?: readonly SchemaNode[];
  readonly allOf?: readonly SchemaNode[];
  readonly const?: unknown;
}

/** Paths of all keys; of alternatives only those that the value's `kind` allows. */
function keyPaths(node: SchemaNode, path: readonly string[], value: unknown): string[][] {
  const alternatives = [...node.anyOf ?? [], ...node.oneOf ?? [], ...node.allOf ?? []];
  const kind = (value as { kind?: unknown } | null | undefined)?.kind;
  const fitting = alternatives.filter(({ properties }) =>
    kind === undefined || properties?.kind === undefined || properties.kind.const === kind
  );
  return [
    ...fitting.flatMap((alternative) => keyPaths(alternative, path, value)),
    ...Object.entries(node.properties ?? {}).flatMap(([key, child]) => [
      [...path, key],
      ...keyPaths(child, [...path, key], at(value, [key])),
    ]),
  ];
}

/** The path whose last key is nearest, if near at all: a third of its letters may differ. */
function closest(key: string, paths: readonly string[][]): string[] | null {
  let best: string[] | null = null;
  let least = Infinity;
  for (const path of paths) {
    const name = path.at(-1)!;
    const edits = distance(key.toLowerCase(), name.toLowerCase());
    if (edits <= Math.max(1, Math.floor(name.length / 3)) && edits < least) {
      best = path;
      least = edits;
    }
  }
  return best;
}

/** Levenshtein's distance, a swap of neighbours counted as one (optimal string alignment). */
function distance(x: string, y: string): number {
  const rows = Array.from({ length: x.length + 1 }, (_, i) => {
    const row = new Array<number>(y.length + 1).fill(0);
    row[0] = i;
    return row;
  });
  for (let j = 0; j <= y.length; j++) rows[0]![j] = j;
  for (let i = 1; i <= x.length; i++) {
    for (let j = 1; j <= y.length; j++) {
      const cost = x[i - 1] === y[j - 1] ? 0 : 1;
      let edits = Math.min(rows[i - 1]![j]! + 1, rows[i]![j - 1]! + 1, rows[i - 1]![j - 1]! + cost);
      if (i > 1 && j > 1 && x[i - 1] === y[j - 2] && x[i - 2] === y[j - 1]) {
        edits = Math.min(edits, rows[i - 2]![j - 2]! + 1);
      }
      rows[i]![j] = edits;
    }
  }
  return rows[x.length]![y.length]!;
}

function at(value: unknown, path: readonly PropertyKey[]): unknown {
  let current = value;
  for (const key of path) {
    if (current === null || typeof current !== "object") return undefined;
    current = (current as Record<PropertyKey, unknown>)[key];
  }
  return current;
}

function show(value: unknown): string {
  return value === undefined ? "nothing" : `"${String(value)}"`;
}

function lowerFirst(text: string): string {
  return text.charAt(0).toLowerCase() + text.slice(1);
}
