/**
 * A judge that knows which words better answers have, and reads no question.
 *
 * @module
 */
import { hashFraction } from "rm-r1/data";
import type { BenchItem } from "../benchmark.ts";
import type { ScoredItem } from "../outcomes.ts";
import { FOLDS, foldsOf } from "./folds.ts";

/** Weights; words that fall on the same one share it (Weinberger et al. 2009, arXiv:0902.2206). */
const WEIGHTS = 1 << 18;
const EPOCHS = 3;
const RATE = 0.1;
const WORD = /[\p{L}\p{N}]+|[^\s\p{L}\p{N}]/gu;

/** A text's words, each once: where its weight is, and the logarithm of one more than its count. */
interface Words {
  readonly at: Uint32Array;
  readonly value: Float32Array;
}

function wordsOf(text: string): Words {
  const counts = new Map<number, number>();
  for (const [word] of text.toLowerCase().matchAll(WORD)) {
    // FNV-1a, folded to the number of weights.
    let hash = 0x811c9dc5;
    for (let index = 0; index < word.length; index++) {
      hash = Math.imul(hash ^ word.charCodeAt(index), 0x01000193);
    }
    const at = (hash ^ (hash >>> 18)) & (WEIGHTS - 1);
    counts.set(at, (counts.get(at) ?? 0) + 1);
  }
  return {
    at: Uint32Array.from(counts.keys()),
    value: Float32Array.from(counts.values(), (count) => Math.log1p(count)),
  };
}

/** A linear score of words, learnt from pairs by Bradley and Terry's loss with AdaGrad (Duchi et al. 2011). */
class WordScore {
  readonly #weights = new Float32Array(WEIGHTS);
  readonly #squares = new Float32Array(WEIGHTS);

  score({ at, value }: Words): number {
    let sum = 0;
    for (let index = 0; index < at.length; index++) sum += this.#weights[at[index]!]! * value[index]!;
    return sum;
  }

  learn(better: Words, worse: Words): void {
    const gap = 1 / (1 + Math.exp(this.score(better) - this.score(worse)));
    this.#step(better, gap);
    this.#step(worse, -gap);
  }

  #step({ at, value }: Words, push: number): void {
    for (let index = 0; index < at.length; index++) {
      const weight = at[index]!;
      const gradient = push * value[index]!;
      this.#squares[weight]! += gradient * gradient;
      this.#weights[weight]! += RATE * gradient / (Math.sqrt(this.#squares[weight]!) + 1e-8);
    }
  }
}

/**
 * Scores of all answers, each by what the other folds teach.
 *
 * @param seed of the folds and of the order of the pairs
 */
export function bagOfWordsScores(items: readonly BenchItem[], seed: number): ScoredItem[] {
  const folds = foldsOf(items, seed);
  const words = items.map(({ answers }) => answers.map(({ text }) => wordsOf(text)));
  const pairs = items.flatMap((item, at) =>
    item.pairs.map(([better, worse], pair) => ({
      fold: folds[at]!,
      better: words[at]![better]!,
      worse: words[at]![worse]!,
      draw: hashFraction(seed, `bag\0${item.key}\0${pair}`),
    }))
  ).sort((x, y) => x.draw - y.draw);
  const scores: number[][] = items.map(() => []);
  for (let fold = 0; fold < FOLDS; fold++) {
    const model = new WordScore();
    for (let epoch = 0; epoch < EPOCHS; epoch++) {
      for (const pair of pairs) if (pair.fold !== fold) model.learn(pair.better, pair.worse);
    }
    for (const [at, of] of words.entries()) {
      if (folds[at] === fold) scores[at] = of.map((each) => model.score(each));
    }
  }
  return items.map((item, at) => ({ item, scores: scores[at]! }));
}
