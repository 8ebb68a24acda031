/**
 * A judge that knows which model wrote an answer, and nothing else.
 *
 * @module
 */
import type { BenchItem } from "../benchmark.ts";
import type { ScoredItem } from "../outcomes.ts";
import { FOLDS, foldsOf } from "./folds.ts";

/**
 * Scores of all answers: how often their model's answers won in the other folds, as (wins + 1) / (pairs + 2). null where
 * an answer does not name its model.
 */
export function sourceOnlyScores(items: readonly BenchItem[], seed: number): ScoredItem[] | null {
  if (items.some(({ answers }) => answers.some(({ source }) => source === undefined))) return null;
  const folds = foldsOf(items, seed);
  const tallies = Array.from({ length: FOLDS }, () => new Map<string, { won: number; of: number }>());
  const count = (fold: number, source: string, won: number): void => {
    for (const [other, tally] of tallies.entries()) {
      if (other === fold) continue;
      const { won: before, of } = tally.get(source) ?? { won: 0, of: 0 };
      tally.set(source, { won: before + won, of: of + 1 });
    }
  };
  for (const [at, { answers, pairs }] of items.entries()) {
    for (const [better, worse] of pairs) {
      count(folds[at]!, answers[better]!.source!, 1);
      count(folds[at]!, answers[worse]!.source!, 0);
    }
  }
  return items.map((item, at) => ({
    item,
    scores: item.answers.map(({ source }) => {
      const { won, of } = tallies[folds[at]!]!.get(source!) ?? { won: 0, of: 0 };
      return (won + 1) / (of + 2);
    }),
  }));
}
