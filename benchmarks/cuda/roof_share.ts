/**
 * How much of what a device can do a row's work got out of it.
 *
 * @module
 */
import type { SideResult } from "../measure.ts";
import type { Sample } from "../protocol.ts";
import { shapeOf } from "../shapes.ts";
import { type Goal, meets, summarise, type Summary } from "../statistics.ts";
import { decodingBytes, trainingFlops } from "./costs.ts";
import type { CudaRow } from "./rows.ts";

/** A device's limit. */
export interface Roof {
  readonly kind: "arithmetic" | "bandwidth";
  /** Floating-point operations or bytes a second. */
  readonly rate: number;
  /** Who says so. */
  readonly source: string;
}

/** Shares of a roof, of 1. For training this is the model FLOPs utilisation, MFU. */
export interface RoofShare {
  readonly roof: Roof;
  readonly ours: Summary;
  readonly peer: Summary;
  readonly goal: Goal | null;
  /** Of the median of ours; null without a goal. */
  readonly met: boolean | null;
}

/** Operations or bytes that a token of a sample costs at least. */
function costOf({ shape, inputs, roof }: CudaRow): (sample: Sample) => number {
  const widths = shapeOf(shape);
  if (roof?.kind === "arithmetic") return () => trainingFlops(widths, inputs.tokens);
  return ({ meanContext }) => {
    if (meanContext === undefined) {
      throw new RangeError("A sample of a rollout has no mean context, expected one: it says what was read");
    }
    return decodingBytes(widths, inputs.count, meanContext) / inputs.count;
  };
}

/** The share that both sides of a measured row reached. */
export function roofShare(
  row: CudaRow,
  roof: Roof,
  { ours, peer }: { readonly ours: SideResult; readonly peer: SideResult },
): RoofShare {
  const cost = costOf(row);
  const shares = ({ samples }: SideResult): Summary =>
    summarise(samples.map((sample) => cost(sample) * sample.tokens / sample.seconds / roof.rate));
  const own = shares(ours);
  const goal = row.roof?.goal ?? null;
  return { roof, ours: own, peer: shares(peer), goal, met: goal === null ? null : meets(own.median, goal) };
}
