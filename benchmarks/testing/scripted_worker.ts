/**
 * A worker for tests. Its argument says how it behaves: `good` answers with the input's index as seconds, `refuses`
 * cannot do the job, `dies` ends at the first request, `babbles` writes what is no answer.
 *
 * @module
 */
import process from "node:process";
import { createInterface } from "node:readline";

const [behaviour] = process.argv.slice(2);
const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();
const write = (answer: unknown): void => void process.stdout.write(`${JSON.stringify(answer)}\n`);

const job = JSON.parse((await lines.next()).value!);
if (behaviour === "refuses") write({ unavailable: "no such precision" });
else if (behaviour === "babbles") process.stdout.write("Loading…\n");
else write({ ready: { about: { kind: job.kind } } });
for await (const line of { [Symbol.asyncIterator]: () => lines }) {
  if (behaviour === "dies") {
    process.stderr.write("out of memory\n");
    process.exit(3);
  }
  write({ sample: { seconds: JSON.parse(line).input, tokens: 1, peakBytes: 1 } });
}
