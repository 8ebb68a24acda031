/**
 * `data gsm8k`: writes verified preference pairs.
 *
 * @module
 */
import { stat } from "node:fs/promises";
import { pairGradedProblems, readGradedProblems, writeJsonl } from "../data/mod.ts";
import { UsageError } from "./errors.ts";
import { anyText, type Command, defaulted, defineCommand, oneOf, required, wholeNumber } from "./parser.ts";

/** The command. */
export const dataGsm8k: Command = defineCommand({
  name: "data gsm8k",
  brief: "Write verified preference pairs of GSM8K's graded model solutions",
  options: {
    input: required("--input", anyText("FILE"), "example_model_solutions.jsonl"),
    output: required("--output", anyText("FILE"), "JSON Lines to write; must not exist"),
    split: defaulted(
      "--split",
      oneOf(["train", "validation", "test"]),
      "train",
      "Part of the split by problem",
    ),
    seed: defaulted("--seed", wholeNumber({ min: 0, max: 2 ** 32 - 1 }), 0, "Of the split"),
    calculator: defaulted(
      "--calculator",
      oneOf(["strip", "keep"]),
      "strip",
      "What to do with annotations like <<6*7=42>>",
    ),
  },
  async run({ input, output, split, seed, calculator }, { out }) {
    if (await stat(output).then(() => true, () => false)) {
      throw new UsageError(`File "${output}" exists already; name a new file`);
    }
    const { splits, statistics } = pairGradedProblems(await readGradedProblems(input), { seed, calculator });
    const pairs = await writeJsonl(output, splits[split]);
    out(
      `${output}: ${pairs} pairs of ${statistics.problemsWithPairs} problems with pairs, split "${split}"\n`,
    );
    for (const [reason, count] of Object.entries(statistics.excluded)) {
      if (count > 0) out(`  left out: ${count} ${reason}\n`);
    }
    return { output, split, pairs, statistics: { ...statistics, excluded: { ...statistics.excluded } } };
  },
});
