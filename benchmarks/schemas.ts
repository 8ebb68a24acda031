/**
 * Schemas that both reports share.
 *
 * @module
 */
import * as z from "zod";
import type { Machine, Rest } from "./machine.ts";
import type { Summary } from "./statistics.ts";

/** Of {@link Summary}. */
export const summarySchema: z.ZodType<Summary> = z.strictObject({
  min: z.number(),
  median: z.number(),
  max: z.number(),
});

/** Of {@link Machine}. */
export const machineSchema: z.ZodType<Machine> = z.strictObject({
  cpu: z.string(),
  cores: z.int().positive(),
  memoryBytes: z.int().positive(),
  system: z.string(),
});

/** Of {@link Rest}. */
export const restSchema: z.ZodType<Rest> = z.strictObject({ busyShare: z.number(), loadAverage: z.number() });

/**
 * Refuses to put figures of two machines into one report.
 *
 * @throws {RangeError} The stored report is of another machine.
 */
export function assertSameMachine(stored: Machine, fresh: Machine): void {
  if (stored.cpu === fresh.cpu && stored.cores === fresh.cores) return;
  throw new RangeError(
    `The stored report is of "${stored.cpu}" with ${stored.cores} cores, expected "${fresh.cpu}" with ` +
      `${fresh.cores}: move it away and measure all again`,
  );
}
