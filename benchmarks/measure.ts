/**
 * Measures a row: ours, peer, ours, peer, …
 *
 * @module
 */
import type { Ready, Sample } from "./protocol.ts";
import { compare, type Comparison, type Metric } from "./statistics.ts";
import { UnavailableError } from "./unavailable.ts";
import { WorkerError } from "./worker_process.ts";

/** A side's process that is ready to measure. */
export interface Session extends AsyncDisposable {
  readonly ready: Ready;
  /** Measures the repetition at this index of the side's inputs. */
  measure(input: number): Promise<Sample>;
  /** Seconds since its process was started. */
  readonly age: number;
}

/** A side of a row: starts its processes. */
export interface Side {
  /** Starts a process on the warm-up and these repetitions, which are its inputs 1, 2, … */
  start(repetitions: readonly number[]): Promise<Session>;
}

/** The samples of a side, in the order in which they were taken. */
export interface SideResult {
  readonly about: Readonly<Record<string, string>>;
  readonly samples: readonly Sample[];
}

/** What a row came to. */
export type Outcome =
  | {
    readonly status: "measured";
    readonly ours: SideResult;
    readonly peer: SideResult;
    readonly comparisons: readonly Comparison[];
  }
  | { readonly status: "not available" | "failed"; readonly reason: string };

/** How a row is measured. */
export interface MeasureOptions {
  readonly lifetime: "row" | "repetition";
  readonly repetitions: number;
  /** Rounds before the first that counts. */
  readonly discarded: number;
  readonly metrics: readonly Metric[];
  /** Told of each pair. */
  readonly onPair?: (repetition: number, ours: Sample, peer: Sample) => void;
}

interface Sides<T> {
  readonly ours: T;
  readonly peer: T;
}

/** Takes a pair of samples a repetition. A side that cannot do the job, or that fails, is told in the outcome. */
export async function measureRow(sides: Sides<Side>, options: MeasureOptions): Promise<Outcome> {
  try {
    const { ours, peer } = await (options.lifetime === "row" ? lasting : renewed)(sides, options);
    const comparisons = options.metrics.map((metric) => compare(metric, ours.samples, peer.samples));
    return { status: "measured", ours, peer, comparisons };
  } catch (error) {
    if (error instanceof UnavailableError) return { status: "not available", reason: error.message };
    if (error instanceof WorkerError) return { status: "failed", reason: error.message };
    throw error;
  }
}

async function lasting(
  sides: Sides<Side>,
  { repetitions, discarded, onPair }: MeasureOptions,
): Promise<Sides<SideResult>> {
  const rounds = discarded + repetitions;
  const all = Array.from({ length: rounds }, (_, repetition) => repetition);
  await using ours = await sides.ours.start(all);
  await using peer = await sides.peer.start(all);
  const samples: Sides<Sample[]> = { ours: [], peer: [] };
  for (let round = 0; round < rounds; round++) {
    const own = await ours.measure(round + 1);
    const other = await peer.measure(round + 1);
    if (round < discarded) continue;
    samples.ours.push(own);
    samples.peer.push(other);
    onPair?.(round - discarded, own, other);
  }
  return {
    ours: { about: ours.ready.about, samples: samples.ours },
    peer: { about: peer.ready.about, samples: samples.peer },
  };
}

async function renewed(
  sides: Sides<Side>,
  { repetitions, discarded, onPair }: MeasureOptions,
): Promise<Sides<SideResult>> {
  const samples: Sides<Sample[]> = { ours: [], peer: [] };
  let about: Sides<Ready["about"]> = { ours: {}, peer: {} };
  for (let round = 0; round < discarded + repetitions; round++) {
    const own = await once(sides.ours, round);
    const other = await once(sides.peer, round);
    about = { ours: own.about, peer: other.about };
    if (round < discarded) continue;
    samples.ours.push(own.sample);
    samples.peer.push(other.sample);
    onPair?.(round - discarded, own.sample, other.sample);
  }
  return {
    ours: { about: about.ours, samples: samples.ours },
    peer: { about: about.peer, samples: samples.peer },
  };
}

async function once(
  side: Side,
  repetition: number,
): Promise<{ readonly about: Ready["about"]; readonly sample: Sample }> {
  await using session = await side.start([repetition]);
  const sample = await session.measure(1);
  return { about: session.ready.about, sample: { ...sample, processSeconds: session.age } };
}
