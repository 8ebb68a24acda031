/**
 * A GPU by what `nvidia-smi` says of it.
 *
 * @module
 */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { text } from "node:stream/consumers";
import type { Session, Side } from "../measure.ts";
import type { Sample } from "../protocol.ts";
import { MemoryLedger } from "./memory_ledger.ts";

const MIB = 2 ** 20;
const INTERVAL_MS = 50;

/** What is measured on. */
export interface Gpu {
  readonly name: string;
  readonly driver: string;
  readonly memoryBytes: number;
}

function query(index: number, fields: string, ...more: string[]): ChildProcess {
  const args = [`--id=${index}`, `--query-gpu=${fields}`, "--format=csv,noheader,nounits", ...more];
  return spawn("nvidia-smi", args, { stdio: ["ignore", "pipe", "inherit"] });
}

/**
 * Asks for a device by its number.
 *
 * @throws {RangeError} There is no such device, or no driver.
 */
export async function describeGpu(index: number): Promise<Gpu> {
  const child = query(index, "name,driver_version,memory.total");
  const failed = new Promise<never>((_, reject) => {
    child.on("error", (error) => reject(new RangeError(`Cannot ask nvidia-smi: ${error.message}`)));
  });
  const line = (await Promise.race([text(child.stdout!), failed])).trim();
  const [, name, driver, memory] = /^(.+), (.+), (\d+)$/.exec(line) ?? [];
  if (name === undefined) {
    throw new RangeError(`Device ${index} is "${line}" to nvidia-smi, expected a name, a driver, memory`);
  }
  return { name, driver: driver!, memoryBytes: Number(memory) * MIB };
}

/** Watches how much of a device's memory is in use. */
export class MemoryMonitor implements AsyncDisposable {
  readonly #child: ChildProcess;
  readonly #ledger: MemoryLedger;
  readonly #ended: Promise<unknown>;
  #waiting: (() => void)[] = [];

  private constructor(child: ChildProcess, lines: AsyncIterator<string>, baseline: number) {
    this.#child = child;
    this.#ledger = new MemoryLedger(baseline);
    this.#ended = this.#follow(lines);
  }

  /**
   * Begins while nothing that is measured is on the device.
   *
   * @throws {RangeError} `nvidia-smi` gives no reading.
   */
  static async start(index: number): Promise<MemoryMonitor> {
    const child = query(index, "memory.used", `--loop-ms=${INTERVAL_MS}`);
    const lines = createInterface({ input: child.stdout! })[Symbol.asyncIterator]();
    const first = await Promise.race([lines.next(), once(child, "error").then(() => null)]);
    const baseline = Number(first?.value) * MIB;
    if (!Number.isFinite(baseline)) {
      child.kill();
      throw new RangeError(`nvidia-smi says "${first?.value}" of device ${index}, expected MiB in use`);
    }
    return new MemoryMonitor(child, lines, baseline);
  }

  /** A side whose samples have its peak of the device's memory. */
  watch(name: string, side: Side): Side {
    const ledger = this.#ledger;
    return {
      start: async (repetitions): Promise<Session> => {
        const [session] = await this.#during(name, () => side.start(repetitions));
        return {
          ready: session.ready,
          get age(): number {
            return session.age;
          },
          measure: async (input): Promise<Sample> => {
            const [sample, peakBytes] = await this.#during(name, () => session.measure(input));
            return { ...sample, peakBytes };
          },
          async [Symbol.asyncDispose](): Promise<void> {
            await session[Symbol.asyncDispose]();
            ledger.forget(name);
          },
        };
      },
    };
  }

  /** Ends the watch. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#child.kill();
    await this.#ended;
  }

  async #during<T>(name: string, work: () => Promise<T>): Promise<readonly [result: T, peakBytes: number]> {
    this.#ledger.begin();
    const result = await work();
    // The first may have been read before the work ended.
    await this.#nextReading();
    await this.#nextReading();
    return [result, this.#ledger.end(name)];
  }

  #nextReading(): Promise<void> {
    return new Promise((resolve) => this.#waiting.push(resolve));
  }

  async #follow(lines: AsyncIterator<string>): Promise<void> {
    for await (const line of { [Symbol.asyncIterator]: () => lines }) {
      this.#ledger.read(Number(line) * MIB);
      const waiting = this.#waiting;
      this.#waiting = [];
      for (const resolve of waiting) resolve();
    }
  }
}
