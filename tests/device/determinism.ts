/**
 * On the device that `RMR1_DEVICE` names: training and sampling give the same bits in two processes, and in the exact
 * arithmetic the sampler's log-probabilities are the trainer's. Run on a machine with a GPU by
 * `benchmarks/cuda/run.sh`; never by the other tests.
 */
import { expect } from "expect";
import { execFile } from "node:child_process";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { ARITHMETICS, isDevice, type Precision } from "../../ts/engine/mod.ts";
import type { Trained, Training } from "./train_once.ts";

const SCRIPT = fileURLToPath(new URL("train_once.ts", import.meta.url));
const PRECISIONS: readonly Precision[] = ["f32", "bf16"];

/** Mean distance in nats up to which a sampler by the vendor's library passes for the trainer. */
const FAST_GAP = 0.02;

const device = process.env["RMR1_DEVICE"] ?? "";
if (!isDevice(device) || device === "auto") {
  throw new RangeError(`RMR1_DEVICE is "${device}", expected "cpu" or "cuda:N"`);
}

async function trainIn(training: Training): Promise<Trained> {
  const args = ["run", "--quiet", "-A", "--no-check", "--cached-only", SCRIPT, JSON.stringify(training)];
  const { stdout } = await promisify(execFile)(process.execPath, args, { maxBuffer: 2 ** 20 });
  return JSON.parse(stdout);
}

for (const model of ["embedded", "135M"]) {
  for (const precision of PRECISIONS) {
    for (const arithmetic of ARITHMETICS) {
      Deno.test(`${model} in ${precision}, ${arithmetic}: two processes on ${device} have the same bits`, async () => {
        const training: Training = { model, device, arithmetic, precision };
        const first = await trainIn(training);
        expect(first.backend.startsWith(device.split(":")[0]!)).toBe(true);
        expect(first.tokens).toBeGreaterThan(0);
        expect(await trainIn(training)).toEqual(first);
        if (arithmetic === "exact" || device === "cpu") expect(first.unlike).toBe(0);
        else expect(first.gap).toBeLessThan(FAST_GAP);
      });
    }
  }
}
