/**
 * Numbers as a report writes them.
 *
 * @module
 */
import type { Share } from "./records.ts";

/** Four significant digits; what is very small or large by powers of ten; "–" for none. */
export function formatFigure(value: number | null | undefined): string {
  if (value === null || value === undefined || !Number.isFinite(value)) return "–";
  if (value === 0) return "0";
  const size = Math.abs(value);
  if (size < 1e-4 || size >= 1e9) return value.toExponential(2).replace("e+", "e").replace("-", "−");
  if (Number.isInteger(value) || size >= 1e4) return grouped(Math.round(value));
  return String(Number(value.toPrecision(4))).replace("-", "−");
}

/** Digits in groups of three. */
export function grouped(value: number): string {
  return value.toLocaleString("en-US").replace("-", "−");
}

/** A share of 1 in per cent, without the sign. */
export function percent(value: number): string {
  return (100 * value).toFixed(1);
}

/** A share with its interval, in per cent: "52.6 [49.5, 55.7]"; "–" for none. */
export function formatShare(share: Share | null | undefined): string {
  if (share === null || share === undefined) return "–";
  const { value, interval: [low, high] } = share;
  return `${percent(value)} [${percent(low)}, ${percent(high)}]`;
}

/** A time as ISO 8601 gives it, to the second and with a space: "2026-01-31 12:00:05 UTC". */
export function formatTime(time: string): string {
  return `${new Date(time).toISOString().slice(0, 19).replace("T", " ")} UTC`;
}
