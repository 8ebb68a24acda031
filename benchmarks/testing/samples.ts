/**
 * Samples and sides for tests.
 *
 * @module
 */
import type { Session, Side } from "../measure.ts";
import type { Sample } from "../protocol.ts";

/** A sample of so many seconds. */
export function sampleOf(seconds: number, rest: Partial<Sample> = {}): Sample {
  return { seconds, tokens: 100, peakBytes: 1e9, overheadSeconds: seconds / 100, ...rest };
}

/** A side that tells `log` what is asked of it, and takes the seconds that it is given for each repetition. */
export function scriptedSide(name: string, log: string[], seconds: (repetition: number) => number): Side {
  return {
    start(repetitions): Promise<Session> {
      log.push(`${name} start ${repetitions.join()}`);
      return Promise.resolve({
        ready: { about: { name } },
        age: 7,
        measure(input): Promise<Sample> {
          const repetition = repetitions[input - 1]!;
          log.push(`${name} ${repetition}`);
          return Promise.resolve(sampleOf(seconds(repetition)));
        },
        [Symbol.asyncDispose](): Promise<void> {
          log.push(`${name} end`);
          return Promise.resolve();
        },
      });
    },
  };
}
