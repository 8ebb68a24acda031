/**
 * `bench rm-bench`: scores a judge on RM-Bench.
 *
 * @module
 */
import { join } from "node:path";
import process from "node:process";
import { formatRmBench, ORDERS, progressPrinter, RESULT_FILE, RULES, runRmBench } from "rm-r1-harness";
import { JUDGE_OPTIONS, openNamedJudge } from "./judges.ts";
import { KeyValueMemory } from "./memory.ts";
import {
  anyText,
  type Command,
  defaulted,
  defineCommand,
  type JsonObject,
  oneOf,
  optional,
  required,
  wholeNumber,
} from "./parser.ts";
import { benchRunName, RUNS } from "./run_names.ts";

/** The command. */
export const benchRmBench: Command = defineCommand({
  name: "bench rm-bench",
  brief: "Score a judge on RM-Bench",
  options: {
    data: required("--data", anyText("DIR"), "Folder with RM-Bench's files, or one of them"),
    ...JUDGE_OPTIONS,
    limit: optional("--limit", wholeNumber({ min: 1 }), "Score a stratified sample of so many items"),
    orders: defaulted(
      "--orders",
      oneOf(ORDERS),
      "both",
      "Judge each pair in both orders, or once in a seeded one",
    ),
    rule: defaulted("--rule", oneOf(RULES), "standard", "How the figures follow from the comparisons"),
    batch: defaulted("--batch", wholeNumber({ min: 1 }), 32, "Most judgements generated at once"),
    directory: optional(
      "--out",
      anyText("DIR"),
      "Folder of the run; what it holds already is not asked again",
    ),
  },
  async run({ data, limit, orders, rule, batch, directory, ...choice }, { out, log, signal }) {
    using memory = new KeyValueMemory(log);
    await using opened = await openNamedJudge({ ...choice, maxConcurrent: batch, onSummary: memory.see });
    const { seed } = choice;
    const asked = { data, judge: opened.identity, limit: limit ?? null, seed, orders, rule };
    const folder = directory ?? join(RUNS, benchRunName("rm-bench", choice.judge, asked));
    log(`run ${folder}\n`);
    const result = await runRmBench({
      data,
      judge: opened,
      directory: folder,
      ...(limit !== undefined && { limit }),
      seed,
      orders,
      rule,
      signal,
      onProgress: progressPrinter({ isTTY: process.stderr.isTTY ?? false, write: log }),
    });
    out(`${formatRmBench(result)}\n\nStored in ${join(folder, RESULT_FILE)}\n`);
    return result as unknown as JsonObject;
  },
});
