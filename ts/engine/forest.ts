/**
 * Builds the prefix-sharing batches that engines read, and carries values between sequences and such a batch.
 *
 * @module
 */

import type { Forest } from "./engine.ts";
import { EngineError } from "./error.ts";

/** Sequences laid out as a forest, with the way back. */
export interface SequenceForest {
  readonly forest: Forest;
  /** One a sequence: the index in `forest.tokens` of each of its tokens. */
  readonly maps: readonly Uint32Array[];
}

/**
 * Stores shared prefixes, and whole identical sequences, once. Segments end only where sequences part, and stand
 * in the order in which their first token appears, so equal input gives an equal forest. A token shared by several
 * sequences has one log-probability, and its coefficient is the sum of theirs: see {@link scatter}.
 *
 * @example
 * ```ts
 * import { forestOf } from "rm-r1/engine";
 *
 * const { forest, maps } = forestOf([Uint32Array.of(1, 2, 3), Uint32Array.of(1, 2, 4)]);
 * // forest.tokens 1 2 3 4, lengths 2 1 1, parents -1 0 0; maps[1] 0 1 3
 * ```
 */
export function forestOf(sequences: readonly Uint32Array[]): SequenceForest {
  const { tokens, parents, childCounts, nodes } = trie(sequences);
  const count = tokens.length;
  const segmentOf = new Uint32Array(count);
  const offsets = new Uint32Array(count);
  const lengths: number[] = [];
  const segmentParents: number[] = [];
  for (let node = 0; node < count; node++) {
    const parent = parents[node]!;
    if (parent >= 0 && childCounts[parent] === 1) {
      const segment = segmentOf[parent]!;
      segmentOf[node] = segment;
      offsets[node] = lengths[segment]!++;
    } else {
      segmentOf[node] = lengths.length;
      segmentParents.push(parent < 0 ? -1 : segmentOf[parent]!);
      lengths.push(1);
    }
  }
  const starts = startsOf(lengths);
  const place = (node: number): number => starts[segmentOf[node]!]! + offsets[node]!;
  const ordered = new Uint32Array(count);
  for (let node = 0; node < count; node++) ordered[place(node)] = tokens[node]!;
  return {
    forest: { tokens: ordered, lengths: Uint32Array.from(lengths), parents: Int32Array.from(segmentParents) },
    maps: nodes.map((path) => path.map(place)),
  };
}

/** A forest of roots: every sequence stored whole, in its order. */
export function flatForest(sequences: readonly Uint32Array[]): SequenceForest {
  sequences.forEach(refuseEmpty);
  const lengths = sequences.map((sequence) => sequence.length);
  const starts = startsOf(lengths);
  const tokens = new Uint32Array(lengths.reduce((sum, length) => sum + length, 0));
  sequences.forEach((sequence, i) => tokens.set(sequence, starts[i]!));
  return {
    forest: {
      tokens,
      lengths: Uint32Array.from(lengths),
      parents: new Int32Array(sequences.length).fill(-1),
    },
    maps: sequences.map((sequence, i) => sequence.map((_, position) => starts[i]! + position)),
  };
}

/** Reads one sequence's values out of values in forest order. */
export function gather(map: Uint32Array, values: Float32Array): Float32Array {
  return Float32Array.from(map, (index) => values[index]!);
}

/**
 * Sums per-sequence coefficients into forest order, in double precision. `values` holds one array a sequence,
 * with one entry a token of it.
 */
export function scatter(
  { forest, maps }: SequenceForest,
  values: readonly (Float32Array | Float64Array)[],
): Float32Array {
  const sums = new Float64Array(forest.tokens.length);
  visit(maps, values, (index, value) => sums[index]! += value);
  return Float32Array.from(sums);
}

/** Unites per-sequence masks into forest order: a token is selected when any of its sequences selects it. */
export function scatterMask({ forest, maps }: SequenceForest, masks: readonly Uint8Array[]): Uint8Array {
  const united = new Uint8Array(forest.tokens.length);
  visit(maps, masks, (index, value) => united[index]! |= value);
  return united;
}

function visit(
  maps: readonly Uint32Array[],
  values: readonly (Float32Array | Float64Array | Uint8Array)[],
  each: (index: number, value: number) => void,
): void {
  if (values.length !== maps.length) {
    throw new EngineError("input", `Found values for "${values.length}" sequences, expected ${maps.length}`);
  }
  maps.forEach((map, i) => {
    const own = values[i]!;
    if (own.length !== map.length) {
      throw new EngineError(
        "input",
        `Sequence ${i} has "${own.length}" values, expected ${map.length}, one a token`,
      );
    }
    map.forEach((index, position) => each(index, own[position]!));
  });
}

function startsOf(lengths: readonly number[]): number[] {
  let start = 0;
  return lengths.map((length) => (start += length) - length);
}

function refuseEmpty(sequence: Uint32Array, index: number): void {
  if (sequence.length === 0) {
    throw new EngineError("input", `Sequence "${index}" is empty, expected at least one token`);
  }
}

interface Trie {
  /** Of each node, in order of first appearance. */
  readonly tokens: Uint32Array;
  /** Node before each, −1 for a first token. */
  readonly parents: Int32Array;
  readonly childCounts: Uint32Array;
  /** One a sequence: the node of each of its tokens. */
  readonly nodes: readonly Uint32Array[];
}

function trie(sequences: readonly Uint32Array[]): Trie {
  const capacity = sequences.reduce((sum, sequence) => sum + sequence.length, 0);
  const tokens = new Uint32Array(capacity);
  const parents = new Int32Array(capacity);
  const childCounts = new Uint32Array(capacity);
  // Nearly every node has one child, so only the others of a node cost a map.
  const firstChild = new Int32Array(capacity).fill(-1);
  const otherChildren = new Map<number, Map<number, number>>();
  let count = 0;

  const find = (parent: number, token: number): number | undefined => {
    const first = parent < 0 ? -1 : firstChild[parent]!;
    return first >= 0 && tokens[first] === token ? first : otherChildren.get(parent)?.get(token);
  };
  const add = (parent: number, token: number): number => {
    const node = count++;
    tokens[node] = token;
    parents[node] = parent;
    if (parent >= 0) childCounts[parent]!++;
    if (parent >= 0 && firstChild[parent]! < 0) {
      firstChild[parent] = node;
    } else {
      const others = otherChildren.get(parent) ?? new Map<number, number>();
      otherChildren.set(parent, others.set(token, node));
    }
    return node;
  };
  const nodes = sequences.map((sequence, i) => {
    refuseEmpty(sequence, i);
    let node = -1;
    return sequence.map((token) => (node = find(node, token) ?? add(node, token)));
  });
  return {
    tokens: tokens.slice(0, count),
    parents: parents.slice(0, count),
    childCounts: childCounts.slice(0, count),
    nodes,
  };
}
