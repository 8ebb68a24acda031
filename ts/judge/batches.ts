/**
 * Groups prompts into batches whose shared prefixes are computed once.
 *
 * @module
 */

/** A tokenized prompt and the caller's index of it. */
export interface TokenizedPrompt {
  readonly index: number;
  readonly tokens: Uint32Array;
}

/** Limits of {@link batchesOf}. */
export interface BatchLimits {
  /** Most prompts of a batch. */
  readonly maxConcurrent: number;
  /** Most tokens of a batch: shared prefixes once, and each prompt's room to generate. */
  readonly tokenBudget: number;
  /** Tokens that each prompt may generate. */
  readonly maxNewTokens: number;
}

function commonPrefix(x: Uint32Array, y: Uint32Array): number {
  const length = Math.min(x.length, y.length);
  let at = 0;
  while (at < length && x[at] === y[at]) at++;
  return at;
}

function compareTokens(x: Uint32Array, y: Uint32Array): number {
  const at = commonPrefix(x, y);
  return at < x.length && at < y.length ? x[at]! - y[at]! : x.length - y.length;
}

/**
 * Splits prompts into batches, in lexicographic order of their tokens. In that order a prompt's longest common prefix
 * with all before it is the one with its neighbour, so what a batch costs is counted exactly. A prompt that exceeds
 * the budget alone gets a batch of its own.
 */
export function* batchesOf<Prompt extends TokenizedPrompt>(
  prompts: readonly Prompt[],
  { maxConcurrent, tokenBudget, maxNewTokens }: BatchLimits,
): Generator<Prompt[]> {
  const sorted = prompts.toSorted((x, y) => compareTokens(x.tokens, y.tokens) || x.index - y.index);
  let batch: Prompt[] = [];
  let used = 0;
  for (const prompt of sorted) {
    const previous = batch.at(-1);
    const shared = previous === undefined ? 0 : commonPrefix(previous.tokens, prompt.tokens);
    const cost = prompt.tokens.length - shared + maxNewTokens;
    if (previous !== undefined && (batch.length >= maxConcurrent || used + cost > tokenBudget)) {
      yield batch;
      batch = [prompt];
      used = prompt.tokens.length + maxNewTokens;
    } else {
      batch.push(prompt);
      used += cost;
    }
  }
  if (batch.length > 0) yield batch;
}
