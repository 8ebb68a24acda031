/**
 * Trains for some steps, samples, saves, and prints as JSON what came of it. A process of its own for
 * `determinism.ts`:
 *
 *     deno run -A tests/device/train_once.ts '{"model": …, "device": …, "arithmetic": …, "precision": …}'
 *
 * @module
 */
import { createHash } from "node:crypto";
import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { sftStep } from "../../benchmarks/ours/sft_step.ts";
import { openTrainable } from "../../benchmarks/ours/open_model.ts";
import { drawIds } from "../../benchmarks/inputs.ts";
import { type DoneEvent, flatForest, type TrainableEngine } from "../../ts/engine/mod.ts";
import type { Arithmetic, Device, Precision } from "../../ts/engine/mod.ts";

/** What to train, and where. */
export interface Training {
  /** "embedded", or the name of a shape for random weights. */
  readonly model: string;
  readonly device: Exclude<Device, "auto">;
  readonly arithmetic: Arithmetic;
  readonly precision: Precision;
}

/** What came of it. */
export interface Trained {
  readonly backend: string;
  /** SHA-256 of every saved file, by its name. */
  readonly files: Readonly<Record<string, string>>;
  /** SHA-256 of the sampled tokens and their log-probabilities. */
  readonly samples: string;
  /** Sampled tokens. */
  readonly tokens: number;
  /** Sampled tokens whose log-probability is not the trainer's, bit for bit. */
  readonly unlike: number;
  /** Mean distance of the two, in nats. */
  readonly gap: number;
}

const STEPS = 3;
const SEQUENCES = 5;
const TOKENS = 48;
const NEW_TOKENS = 40;
const TEMPERATURE = 0.8;

function digest(...parts: readonly Uint8Array[]): string {
  const hash = createHash("sha256");
  for (const part of parts) hash.update(part);
  return hash.digest("hex");
}

function bytesOf(array: Uint32Array | Float32Array): Uint8Array {
  return new Uint8Array(array.buffer, array.byteOffset, array.byteLength);
}

async function sample(engine: TrainableEngine, prompts: readonly Uint32Array[]): Promise<DoneEvent[]> {
  const requests = prompts.map((prompt, index) => ({
    prompt,
    // Sequences of many lengths, so that the batch shrinks as it goes.
    maxTokens: NEW_TOKENS - 3 * index,
    temperature: TEMPERATURE,
    ignoreEos: true,
    key: { seed: 1, step: 0, prompt: index, rollout: 0 },
  }));
  const done: DoneEvent[] = [];
  for await (const event of engine.generate(requests)) if (event.type === "done") done[event.request] = event;
  return done;
}

async function trainersLogprobs(
  engine: TrainableEngine,
  prompts: readonly Uint32Array[],
  done: readonly DoneEvent[],
): Promise<Float32Array[]> {
  const sequences = done.map(({ tokens }, index) => Uint32Array.of(...prompts[index]!, ...tokens));
  const { forest } = flatForest(sequences);
  const all = await engine.logprobs(forest, { temperature: TEMPERATURE });
  let end = 0;
  return done.map(({ tokens }, index) => {
    end += sequences[index]!.length;
    return all.slice(end - tokens.length, end);
  });
}

async function saved(engine: TrainableEngine): Promise<Record<string, string>> {
  const folder = await mkdtemp(join(tmpdir(), "rmr1-once-"));
  try {
    await engine.save(folder, { optimizer: true });
    const names = (await readdir(folder)).sort();
    return Object.fromEntries(
      await Promise.all(
        names.map(async (name) => [name, digest(await readFile(join(folder, name)))] as const),
      ),
    );
  } finally {
    await rm(folder, { recursive: true });
  }
}

async function train({ model, ...where }: Training): Promise<Trained> {
  await using engine = await openTrainable({ model: { shape: model }, threads: 2, ...where });
  const drawn = { kind: "ids", count: SEQUENCES, tokens: TOKENS } as const;
  const vocabulary = engine.info.vocabSize;
  const [prompts, ...batches] = drawIds(drawn, { repetitions: STEPS + 1, vocabulary, seed: 7 });
  const inputs = batches;
  const job = {
    kind: "sft_step",
    model: { shape: model },
    threads: 2,
    inputs,
    recompute: false,
    ...where,
  } as const;
  for (const batch of batches) await sftStep(engine, job, batch);
  const asked = prompts!.map((ids, index) => Uint32Array.from(ids.slice(index)));
  const done = await sample(engine, asked);
  const trainers = await trainersLogprobs(engine, asked, done);
  let [tokens, unlike, distance] = [0, 0, 0];
  for (const [index, { logprobs }] of done.entries()) {
    for (const [position, logprob] of logprobs.entries()) {
      const other = trainers[index]![position]!;
      tokens++;
      if (!Object.is(logprob, other)) unlike++;
      distance += Math.abs(logprob - other);
    }
  }
  const parts = done.flatMap((event) => [bytesOf(event.tokens), bytesOf(event.logprobs)]);
  return {
    backend: engine.info.backend,
    files: await saved(engine),
    samples: digest(...parts),
    tokens,
    unlike,
    gap: distance / tokens,
  };
}

if (import.meta.main) {
  process.stdout.write(JSON.stringify(await train(JSON.parse(process.argv[2]!))));
}
