/**
 * RM-Bench with generated answers, and a scripted model that judges them by a known rule.
 *
 * @module
 */
import { mkdtemp, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { RmR1Judge } from "rm-r1/judge";
import { ScriptedEngine } from "../../ts/judge/scripted_engine.ts";

/** Answers carry their own quality, `q7 …`, longer for later styles. */
export function answers(id: number, better: boolean): string[] {
  return [0, 1, 2].map((style) =>
    `q${(id * 7 + style * 3 + (better ? 4 : 0)) % 10}${" word".repeat(style + 1)}`
  );
}

/** Generated RM-Bench files of those sizes, each with the records of `change` behind. */
export async function writeData(
  sizes: Readonly<Record<string, number>>,
  change: object[] = [],
): Promise<string> {
  const path = await mkdtemp(join(tmpdir(), "rm-bench-"));
  for (const [name, size] of Object.entries(sizes)) {
    const records = Array.from({ length: size }, (_, id) => (
      { id, prompt: `${name} ${id}`, chosen: answers(id, true), rejected: answers(id, false) }
    ));
    await writeFile(join(path, `${name}_filtered.json`), JSON.stringify([...records, ...change]));
  }
  return path;
}

/** The verdict of the scripted model: the higher quality, the first place when equal, nothing for a pair with q5. */
export function pick(a: string, b: string): "A" | "B" | null {
  if (a.startsWith("q5") || b.startsWith("q5")) return null;
  return a[1]! >= b[1]! ? "A" : "B";
}

/** What the scripted model writes. */
export function answer(prompt: string): string {
  const [a, b] = [...prompt.matchAll(/Response\]\n(q\d[^[]*)\n/g)].map(([, text]) => text!);
  const side = pick(a!, b!);
  return side === null ? "I cannot say" : `Weighed.\n<answer>[[${side}]]</answer>`;
}

/** A judge by the scripted model. */
export function judgeOf(engine = new ScriptedEngine(answer)): RmR1Judge {
  return new RmR1Judge(engine, { protocol: "compact", name: "scripted" });
}
