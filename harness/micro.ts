/**
 * Figures of benchmarks whose items all weigh the same.
 *
 * @module
 */
import { type Figures, meanOf, type SubsetSums } from "./benchmark.ts";

/** Each subset a section, and overall the mean over all rows. */
export function microFigures(subsets: ReadonlyMap<string, SubsetSums>): Figures {
  const all = [...subsets.values()];
  const total = (of: "sums" | "counts"): number => all.reduce((sum, each) => sum + each[of][0]!, 0);
  const sections = [...subsets].map(([name, sums]): [string, number] => [name, meanOf(sums)]);
  return { overall: total("sums") / total("counts"), sections: Object.fromEntries(sections) };
}
