/**
 * Our side's worker: reads a job from standard input, then measures a repetition for each request.
 *
 * @module
 */
import process from "node:process";
import { createInterface } from "node:readline";
import type { Engine } from "../../ts/engine/mod.ts";
import { secondsWaited } from "../../ts/engine/core/job.ts";
import { openDoor } from "../../ts/engine/doors/server.ts";
import { codeVersion } from "../../ts/train/version.ts";
import type { Answer, Job } from "../protocol.ts";
import { UnavailableError } from "../unavailable.ts";
import { decode, prefill, rollout, type Timed } from "./generate.ts";
import { openFrozen, openTrainable } from "./open_model.ts";

type Repetition = (input: number) => Promise<Timed>;

async function timed(work: () => Promise<number>): Promise<Timed> {
  const began = performance.now();
  const tokens = await work();
  return { seconds: (performance.now() - began) / 1000, tokens };
}

/** The trainer is loaded only where it is measured, so that it is no part of a process's way to the first token. */
async function repetitionOf(
  job: Exclude<Job, { readonly kind: "first_token" }>,
): Promise<readonly [Engine, Repetition]> {
  const at = (input: number): readonly (readonly number[])[] => job.inputs[input]!;
  switch (job.kind) {
    case "sft_step": {
      const { sftStep } = await import("./sft_step.ts");
      const engine = await openTrainable(job);
      return [engine, (input) => timed(() => sftStep(engine, job, at(input)))];
    }
    case "grpo_step": {
      const { grpoStep } = await import("./grpo_step.ts");
      const engine = await openTrainable(job);
      const reference = await engine.reference();
      return [
        engine,
        (input) => timed(() => grpoStep(engine, reference, job, { input: at(input), step: input })),
      ];
    }
    case "prefill": {
      const engine = await openFrozen(job);
      return [engine, (input) => timed(() => prefill(engine, at(input)))];
    }
    case "decode": {
      const engine = await openFrozen(job);
      return [engine, (input) => decode(engine, job, at(input))];
    }
    case "rollout": {
      const engine = await openTrainable(job);
      return [engine, (input) => rollout(engine, job, at(input))];
    }
    case "update": {
      const { update } = await import("./update.ts");
      const engine = await openTrainable(job);
      return [engine, (input) => timed(() => update(engine, job, at(input)))];
    }
  }
}

/** Opens the model and takes one token after the prompt. The time begins when the library is loaded. */
function firstToken(job: Job): Repetition {
  return (input) =>
    timed(async () => {
      // The process ends after this: closing the model is not part of the way to the first token.
      const engine = await openFrozen(job);
      return await prefill(engine, job.inputs[input]!);
    });
}

function write(answer: Answer): void {
  process.stdout.write(`${JSON.stringify(answer)}\n`);
}

async function main(): Promise<void> {
  const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();
  const job: Job = JSON.parse((await lines.next()).value!);
  let repetition: Repetition;
  let backend = "cpu";
  if (job.kind === "first_token") {
    await openDoor();
    repetition = firstToken(job);
  } else {
    const [engine, measured] = await repetitionOf(job);
    backend = engine.info.backend;
    repetition = measured;
    await repetition(0);
  }
  write({ ready: { about: { "rm-r1": await codeVersion(), backend } } });
  for await (const line of { [Symbol.asyncIterator]: () => lines }) {
    const { input } = JSON.parse(line) as { readonly input: number };
    const before = secondsWaited();
    const { seconds, ...counts } = await repetition(input);
    // Decoding waits for its prompts too, which its seconds leave out.
    const overheadSeconds = Math.max(0, seconds - (secondsWaited() - before));
    write({
      sample: {
        seconds,
        ...counts,
        peakBytes: process.resourceUsage().maxRSS * 1024,
        overheadSeconds,
      },
    });
  }
}

try {
  await main();
} catch (error) {
  if (!(error instanceof UnavailableError)) throw error;
  write({ unavailable: error.message });
}
process.exit();
