/**
 * Makes the embedded base model: `deno run -A tools/embedded_base/main.ts --output models/embedded-base`.
 *
 * @module
 */
import process from "node:process";
import { parseArgs } from "node:util";
import { Draws } from "../../ts/data/tasks/draws.ts";
import { generateTasks } from "../../ts/data/tasks/mod.ts";
import { CoreEngine } from "../../ts/engine/core/core_engine.ts";
import { drawDifference } from "./corpus.ts";
import { pretrain } from "./pretrain.ts";
import { CHAT_TEMPLATE, END_TOKEN, trainTokenizer } from "./tokenizer.ts";

const { values: flags } = parseArgs({
  options: {
    output: { type: "string" },
    seed: { type: "string", default: "20261123" },
    documents: { type: "string", default: "110000" },
    "batch-documents": { type: "string", default: "12" },
    "learning-rate": { type: "string", default: "0.002" },
    hidden: { type: "string", default: "128" },
    layers: { type: "string", default: "4" },
  },
});
if (flags.output === undefined) throw new Error("Expected --output FOLDER");

const VOCAB_SIZE = 640;
const seed = Number(flags.seed);
const hidden = Number(flags.hidden);

const tokenizer = await trainTokenizer({ seed, vocabSize: VOCAB_SIZE });
await using engine = await CoreEngine.init({
  architectures: ["LlamaForCausalLM"],
  model_type: "llama",
  vocab_size: VOCAB_SIZE,
  hidden_size: hidden,
  intermediate_size: 3 * hidden,
  num_hidden_layers: Number(flags.layers),
  num_attention_heads: hidden / 32,
  num_key_value_heads: hidden / 32,
  head_dim: 32,
  hidden_act: "silu",
  max_position_embeddings: 1024,
  rope_theta: 10000,
  rms_norm_eps: 1e-5,
  tie_word_embeddings: true,
  bos_token_id: null,
  eos_token_id: 0,
  pad_token_id: 0,
}, { tokenizer, chatTemplate: CHAT_TEMPLATE, seed, name: "embedded-base" });
const log = (line: string): void => void process.stderr.write(`${line}\n`);
log(`${engine.info.parameters} parameters, vocabulary ${engine.info.vocabSize}, ${engine.info.backend}`);

/** Problems of the validation split that are solved in full, greedily. */
async function solvedShare(count: number): Promise<number> {
  const records = generateTasks({ seed, split: "validation", count });
  const requests = records.map(({ conversation }) => ({
    prompt: conversation,
    maxTokens: 96,
    temperature: 0,
  }));
  let solved = 0;
  for await (const event of engine.generate(requests)) {
    if (event.type !== "done") continue;
    const { problem, text } = { problem: records[event.request]!, text: event.text };
    const last = (answer: string): string | undefined => answer.match(/\d+/g)?.at(-1);
    if (last(text) === last(problem.solution!)) solved++;
  }
  return solved / count;
}

/** Differences of numbers that are found, greedily. */
async function subtractedShare(count: number): Promise<number> {
  const differences = Array.from(
    { length: count },
    (_, item) => drawDifference(new Draws(seed, 1, item, 0)).split(/(?<==)/),
  );
  const prompts = await engine.encode(differences.map(([expression]) => `${END_TOKEN}${expression}`));
  let right = 0;
  for await (
    const event of engine.generate(
      prompts.map((prompt) => ({ prompt, maxTokens: 8, temperature: 0, stop: ["\n"] })),
    )
  ) {
    if (event.type === "done" && event.text.trim() === differences[event.request]![1]) right++;
  }
  return right / count;
}

const LOG_EVERY = 100;
const PROBE_EVERY = 1000;
const PROBE = 200;
const began = performance.now();
let losses = 0;
await pretrain(engine, {
  seed,
  documents: Number(flags.documents),
  batchDocuments: Number(flags["batch-documents"]),
  learningRate: Number(flags["learning-rate"]),
  warmupSteps: 100,
  decayFrom: 0.5,
  weightDecay: 0.05,
  onStep: async ({ step, steps, loss, tokens, gradNorm }) => {
    losses += loss;
    if (step % LOG_EVERY === 0) {
      const seconds = (performance.now() - began) / 1000;
      log(
        `step ${step}/${steps} loss ${(losses / LOG_EVERY).toFixed(4)} norm ${gradNorm.toFixed(2)} ` +
          `${(tokens / 1e6).toFixed(2)} M tokens ${(tokens / seconds).toFixed(0)}/s ${seconds.toFixed(0)} s`,
      );
      losses = 0;
    }
    if (step % PROBE_EVERY === 0 || step === steps) {
      log(
        `problems of the validation split solved: ${(100 * await solvedShare(PROBE)).toFixed(0)} %, ` +
          `differences right: ${(100 * await subtractedShare(PROBE)).toFixed(0)} %`,
      );
    }
  },
});
await engine.save(flags.output, { dtype: "f16" });
