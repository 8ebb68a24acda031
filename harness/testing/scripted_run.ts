/**
 * A run whose judge writes chains of rubrics that are known, for tests of what shows runs.
 *
 * @module
 */
import { mkdtemp } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { RmR1Judge } from "rm-r1/judge";
import { ScriptedEngine } from "../../ts/judge/scripted_engine.ts";
import { rmBench } from "../rm_bench/benchmark.ts";
import { runBenchmark } from "../run.ts";
import { readStoredRun, type StoredRun } from "../stored_run.ts";
import { pick, writeData } from "./scripted_rm_bench.ts";

/** Text that would break a page that read it as HTML. */
export const HOSTILE = `</script><img src=x onerror="document.title='broken'">`;

/** A chain of rubrics about two answers: one quote is true, and of pairs with "q4" the other is invented. */
function chain(prompt: string): string {
  const [a, b] = [...prompt.matchAll(/Response\]\n(q\d[^[]*)\n/g)].map(([, text]) => text!.trim());
  const side = pick(a!, b!);
  const second = a!.startsWith("q4") ? `nothing like it ${HOSTILE}` : b!.slice(0, 7);
  return `<type>Chat</type>\n<rubric>\n1. Helpful (70%)\n2. Plain (30%)\n<justify>Because</justify>\n</rubric>\n` +
    `<eval>\n<quote_A>${a}</quote_A> against <quote_B>${second}</quote_B>.\n</eval>\n` +
    (side === null ? "I cannot say" : `<answer>[[${side}]]</answer>`);
}

/** A run over so many items of chat, two of math and one with {@link HOSTILE} text, read back with its texts. */
export async function scriptedRun(items: number): Promise<StoredRun> {
  const words = (text: string): string[] => [0, 1, 2].map((style) => `${text}${" word".repeat(style + 1)}`);
  const data = await writeData({ chat: items, math: 2 }, [{
    id: "hostile",
    prompt: HOSTILE,
    chosen: words(`q8 ${HOSTILE}`),
    rejected: words("q9 longer than the other one"),
  }]);
  const directory = await mkdtemp(join(tmpdir(), "view-"));
  const judge = new RmR1Judge(new ScriptedEngine(chain), { protocol: "instruct", name: "scripted" });
  await runBenchmark(rmBench(), { data, judge, directory });
  return await readStoredRun(directory, { texts: true });
}
