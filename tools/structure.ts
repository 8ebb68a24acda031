/**
 * Rules on the repository's own files that no linter knows.
 *
 * @module
 */
import { readFile } from "node:fs/promises";
import { basename, extname } from "node:path";

const MAX_LINES = 500;
const SOURCES = new Set([".ts", ".rs", ".py"]);
const TEXTS = new Set([...SOURCES, ".md", ".json", ".toml", ".txt", ".yml", ".yaml", ""]);

// Spelt in two halves, so that this file obeys its own rule.
const UNFINISHED = new RegExp(`\\b(${["TO" + "DO", "FIX" + "ME", "XX" + "X"].join("|")})\\b`);
const MACHINE_PATH = /(?<![\w.~])\/(?:home|Users|root|work)\/[\w.-]+/;

/** A file's path from the repository's root, and its text. */
export interface SourceFile {
  readonly path: string;
  readonly text: string;
}

/** What is wrong with a file, one line a fault, each with its place. */
export function structureFaults(file: SourceFile): string[] {
  const faults: string[] = [];
  if (/(?:^|\/)utils?(?:\/|\.)/.test(file.path)) {
    faults.push(`${file.path}: name the file or folder by what it does, not "utils"`);
  }
  const lines = file.text.split("\n");
  if (lines.at(-1) === "") lines.pop();
  const isSource = SOURCES.has(extname(file.path));
  if (isSource && lines.length > MAX_LINES) {
    faults.push(`${file.path}: ${lines.length} lines, expected at most ${MAX_LINES}`);
  }
  for (const [index, line] of lines.entries()) {
    const unfinished = isSource ? UNFINISHED.exec(line)?.[1] : undefined;
    if (unfinished !== undefined) faults.push(`${file.path}:${index + 1}: unfinished work ("${unfinished}")`);
    const machine = MACHINE_PATH.exec(line)?.[0];
    if (machine !== undefined) faults.push(`${file.path}:${index + 1}: a path of one machine ("${machine}")`);
  }
  return faults;
}

/** Whether {@link structureFaults} can read a file of this name: text that people write. */
export function isChecked(path: string): boolean {
  return TEXTS.has(extname(path)) && basename(path) !== "LICENSE" && !path.startsWith("models/") &&
    !path.startsWith("tests/fixtures/");
}

/** Faults of all the given files. */
export async function checkStructure(paths: readonly string[]): Promise<string[]> {
  const faults: string[] = [];
  for (const path of paths.filter(isChecked)) {
    faults.push(...structureFaults({ path, text: await readFile(path, "utf8") }));
  }
  return faults;
}
