/**
 * What is measured on, and whether it is at rest.
 *
 * @module
 */
import { availableParallelism, cpus, loadavg, totalmem } from "node:os";
import process from "node:process";
import { setTimeout } from "node:timers/promises";

/** The machine that a report is of. */
export interface Machine {
  readonly cpu: string;
  readonly cores: number;
  readonly memoryBytes: number;
  readonly system: string;
}

/** This machine. */
export function thisMachine(): Machine {
  return {
    cpu: cpus()[0]?.model.trim() ?? "unknown",
    cores: availableParallelism(),
    memoryBytes: totalmem(),
    system: `${process.platform} ${process.arch}`,
  };
}

/** Cumulative times of all processors. */
export interface CpuTimes {
  readonly idle: number;
  readonly total: number;
}

/** Share of all processors' time that was not idle between two readings, 0 where no time has passed. */
export function busyShare(before: CpuTimes, after: CpuTimes): number {
  const total = after.total - before.total;
  return total <= 0 ? 0 : 1 - (after.idle - before.idle) / total;
}

function cpuTimes(): CpuTimes {
  let [idle, total] = [0, 0];
  for (const { times } of cpus()) {
    idle += times.idle;
    total += times.user + times.nice + times.sys + times.idle + times.irq;
  }
  return { idle, total };
}

/** How busy a machine was while nothing was measured. */
export interface Rest {
  /** Share of all processors' time that others took. */
  readonly busyShare: number;
  /** Mean number of runnable processes over the last minute; right after a measurement it shows the measurement. */
  readonly loadAverage: number;
}

/** The greatest {@link Rest.busyShare} at which a measurement is worth anything. */
export const BUSY_LIMIT = 0.1;

/** Watches the machine for two seconds. */
export async function observeRest(): Promise<Rest> {
  const before = cpuTimes();
  await setTimeout(2000);
  return { busyShare: busyShare(before, cpuTimes()), loadAverage: loadavg()[0]! };
}
