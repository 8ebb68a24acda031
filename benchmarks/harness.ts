/**
 * `deno task bench:harness`: what the harness itself takes, with a judge that answers at once.
 *
 * @module
 */
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { parseArgs } from "node:util";
import { BENCHMARKS, runBenchmark as scoreJudge } from "rm-r1-harness";
import { hashFraction } from "rm-r1/data";
import type { Answered, Judge, JudgeInput, Judgement } from "rm-r1/judge";
import { runBenchmark } from "./command.ts";
import { thisMachine } from "./machine.ts";

/** Pairs of each goal, as RMB has them: 17,131 in all. */
const GOALS = { Helpfulness: 10_067, Harmlessness: 7_064 };
/** Files of each goal. */
const FILES = 12;
/** Characters of an answer, about. */
const ANSWER = 900;
const WORDS = [
  "rate",
  "of",
  "the",
  "answer",
  "which",
  "holds",
  "where",
  "more",
  "water",
  "is",
  "asked",
  "for",
];

function text(name: string, length: number): string {
  const words: string[] = [];
  for (let size = 0; size < length;) {
    const word = WORDS[Math.floor(WORDS.length * hashFraction(words.length, name))]!;
    words.push(word);
    size += word.length + 1;
  }
  return `${name} ${words.join(" ")}`;
}

/** Writes pairs in RMB's layout. */
async function writeData(folder: string, scale: number): Promise<void> {
  for (const [goal, whole] of Object.entries(GOALS)) {
    const count = Math.ceil(whole * scale);
    const path = join(folder, "Pairwise_set", goal);
    await mkdir(path, { recursive: true });
    for (let file = 0; file < FILES; file++) {
      const records = [];
      for (let id = file; id < count; id += FILES) {
        const name = `${goal}-${id}`;
        records.push({
          pair_uid: name,
          conversation_input: [{ role: "user", content: text(`question ${name}`, 300) }],
          chosen: { llm_name: `model-${id % 9}`, answer: text(`better ${name}`, ANSWER) },
          reject: { llm_name: `model-${id % 7}`, answer: text(`worse ${name}`, ANSWER) },
          category_path: `Pairwise_set/${goal}/category-${file}`,
        });
      }
      await writeFile(join(path, `category-${file}.json`), JSON.stringify(records));
    }
  }
}

/** Answers at once, with as long a trace as a judge would write. */
const INSTANT: Judge = {
  name: "instant",
  identity: "instant",
  render: ({ conversation, a, b }) => [...conversation, { role: "user", content: `${a}\n\n${b}` }],
  async *judge(inputs: readonly JudgeInput[]): AsyncGenerator<Answered<Judgement>> {
    const trace = text("trace", 1500);
    for (const [index, { a }] of inputs.entries()) {
      const kind = hashFraction(0, a) < 0.5 ? "A" : "B";
      const answer = `${trace}\n<answer>[[${kind}]]</answer>`;
      yield {
        index,
        answer: { outcome: { kind }, text: answer, tokens: 400, promptTokens: 600, finish: "eos" },
      };
    }
  },
  [Symbol.asyncDispose]: () => Promise.resolve(),
};

await runBenchmark(async () => {
  const { values } = parseArgs({
    args: process.argv.slice(2),
    options: { scale: { type: "string", default: "1" }, json: { type: "boolean", default: false } },
  });
  const scale = Number(values.scale);
  if (!(scale > 0)) throw new RangeError(`Option --scale is "${values.scale}", expected a number above 0`);
  const folder = await mkdtemp(join(tmpdir(), "rm-r1-harness-"));
  try {
    await writeData(folder, scale);
    const started = performance.now();
    const result = await scoreJudge(BENCHMARKS.rmb, {
      data: folder,
      judge: INSTANT,
      directory: join(folder, "run"),
    });
    const measured = {
      pairs: result.items,
      judgements: result.judgements,
      seconds: (performance.now() - started) / 1000,
      // Kilobytes on every system that Node's interface is of, Deno's included.
      peakBytes: process.resourceUsage().maxRSS * 1024,
      machine: thisMachine(),
    };
    const { pairs, judgements, seconds, peakBytes } = measured;
    process.stdout.write(
      values.json
        ? `${JSON.stringify(measured)}\n`
        : `${pairs} pairs, ${judgements} judgements: ${seconds.toFixed(1)} s, ${
          (peakBytes / 1e9).toFixed(2)
        } GB at most\n`,
    );
    return true;
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
});
