/**
 * The judgements of the same held-out pairs at the points of a run.
 *
 * @module
 */
import { type JudgedLine, type Point, POINTS, type RunRecords } from "./records.ts";

/** What a judgement came to. */
export type Result = "right" | "wrong" | "unreadable";

/** What a judgement came to. */
export function resultOf({ outcome, gold }: JudgedLine): Result {
  if (outcome.kind === "none") return "unreadable";
  return outcome.kind === gold ? "right" : "wrong";
}

/** The judgements of a pair. */
export interface JudgedPair {
  readonly id: string;
  readonly gold: "A" | "B";
  /** In the order of the run. */
  readonly judgements: readonly { readonly point: Point; readonly judged: JudgedLine }[];
}

/** Pairs whose judgements came to the same at each point. */
export interface Course {
  /** In the order of the run. */
  readonly results: readonly { readonly point: Point; readonly result: Result }[];
  /** Whether the first and any later result differ. */
  readonly changed: boolean;
  /** In the order of the files. */
  readonly pairs: readonly JudgedPair[];
}

/** All pairs by the course of their judgements: those that changed first, then the most frequent. */
export function coursesOf({ judgements }: Pick<RunRecords, "judgements">): Course[] {
  const pairs = new Map<
    string,
    { id: string; gold: "A" | "B"; judgements: JudgedPair["judgements"][number][] }
  >();
  for (const point of POINTS) {
    for (const judged of judgements[point] ?? []) {
      const { id, gold } = judged;
      const pair = pairs.get(id) ?? { id, gold, judgements: [] };
      pair.judgements.push({ point, judged });
      pairs.set(id, pair);
    }
  }
  const resultsOf = (pair: JudgedPair): Course["results"] =>
    pair.judgements.map(({ point, judged }) => ({ point, result: resultOf(judged) }));
  const courses = Map.groupBy(pairs.values(), (pair) => JSON.stringify(resultsOf(pair)));
  return [...courses.values()].map((same) => {
    const results = resultsOf(same[0]!);
    const changed = results.some(({ result }) => result !== results[0]!.result);
    return { results, changed, pairs: same };
  }).sort((x, y) => Number(y.changed) - Number(x.changed) || y.pairs.length - x.pairs.length);
}

/** A few pairs: of each course in turn, those that changed before any other. */
export function samplePairs(courses: readonly Course[], most: number): JudgedPair[] {
  const inTurn = (chosen: readonly Course[]): JudgedPair[] => {
    const longest = chosen.reduce((length, { pairs }) => Math.max(length, pairs.length), 0);
    const turns = Array.from({ length: Math.min(longest, most) }, (_, turn) => turn);
    return turns.flatMap((turn) => chosen.flatMap(({ pairs }) => pairs.slice(turn, turn + 1)));
  };
  const changed = inTurn(courses.filter((course) => course.changed));
  const others = inTurn(courses.filter((course) => !course.changed));
  return [...changed, ...others].slice(0, most);
}
