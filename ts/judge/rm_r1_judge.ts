/**
 * A reasoning judge: it writes a chain of rubrics and ends with its verdict.
 *
 * @module
 */
import { createHash } from "node:crypto";
import {
  type Chain,
  FULL_CHAIN,
  type JudgeForm,
  parseVerdict,
  type Protocol,
  renderPrompt,
} from "../cor/mod.ts";
import type { Engine, Message } from "../engine/engine.ts";
import { forestOf, gather, scatterMask } from "../engine/forest.ts";
import { batchesOf, type TokenizedPrompt } from "./batches.ts";
import type { Answered, Judge, JudgeInput, Judgement, JudgeOptions } from "./judge.ts";

/** Options of {@link RmR1Judge}. */
export interface RmR1JudgeOptions {
  readonly protocol: Protocol;
  /** Default `reasrm`. */
  readonly kind?: JudgeForm["kind"];
  /** Default the published one. */
  readonly chain?: Chain;
  /** For reports. Default the engine's own name. */
  readonly name?: string;
  /** Names the weights, best by a hash of their files. Default the engine's own name. */
  readonly weights?: string;
  /** 0 takes the most likely token. Default 0. */
  readonly temperature?: number;
  /** Most tokens of a judgement. Default 8192. */
  readonly maxNewTokens?: number;
  /** Seed of the draws at a temperature above 0; they depend on it and the prompt alone. Default 0. */
  readonly seed?: number;
  /** Most judgements generated at once. Default 32. */
  readonly maxConcurrent?: number;
  /** Most tokens held at once, shared prefixes counted once. Default 131072. */
  readonly tokenBudget?: number;
}

/** Prompts that are tokenized, sorted and batched together, in multiples of `maxConcurrent`. */
const WINDOW_BATCHES = 8;

interface Prompt extends TokenizedPrompt {
  /** First word of the hash of the rendered prompt: which stream of draws it uses. */
  readonly stream: number;
  /** Which of that stream's samples. */
  readonly sample: number;
  /** The chat template opened the thinking, so the text holds its end alone. */
  readonly opensThinking: boolean;
}

/** A judgement whose verdict's probability is still to be asked for. */
interface Written {
  readonly index: number;
  readonly answer: Judgement;
  readonly prompt: Uint32Array;
}

/** The last verdict of a text, up to its letter. */
const LAST_VERDICT = /^[\s\S]*<answer>\s*\[\[\s*(?=[AB])/i;

/** Both verdicts behind what was written before the last one, tokenized with it: as the model itself would put them together. */
async function encodeVerdicts(engine: Engine, { prompt, answer }: Written): Promise<Uint32Array[] | null> {
  const before = answer.outcome.kind === "unparsable" ? undefined : LAST_VERDICT.exec(answer.text)?.[0];
  if (before === undefined) return null;
  const written = await engine.encode(["A", "B"].map((side) => `${before}${side}]]</answer>`));
  const sequences = written.map((tokens) => Uint32Array.of(...prompt, ...tokens));
  return sequences.some(({ length }) => length > engine.info.contextLength) ? null : sequences;
}

/**
 * The probability of the verdict for A behind what was written before the letter of the last verdict, against that for
 * B, of each judgement; null where no verdict was written.
 *
 * @param budget most tokens of a pass, but for a judgement that has more alone
 */
async function* probabilitiesOfA(
  engine: Engine,
  written: readonly Written[],
  budget: number,
): AsyncGenerator<readonly [Written, number | null]> {
  let batch: { readonly of: Written; readonly sequences: readonly Uint32Array[] }[] = [];
  let tokens = 0;
  for (const of of written) {
    const sequences = await encodeVerdicts(engine, of);
    if (sequences === null) {
      yield [of, null];
      continue;
    }
    const size = sequences.reduce((sum, { length }) => sum + length, 0);
    if (batch.length > 0 && tokens + size > budget) {
      yield* await scoreVerdicts(engine, batch);
      [batch, tokens] = [[], 0];
    }
    batch.push({ of, sequences });
    tokens += size;
  }
  if (batch.length > 0) yield* await scoreVerdicts(engine, batch);
}

async function scoreVerdicts(
  engine: Engine,
  batch: readonly { readonly of: Written; readonly sequences: readonly Uint32Array[] }[],
): Promise<(readonly [Written, number])[]> {
  const { forest, maps } = forestOf(batch.flatMap(({ sequences }) => sequences));
  const prompts = batch.flatMap(({ of, sequences }) => sequences.map(() => of.prompt.length));
  const masks = maps.map((map, index) => new Uint8Array(map.length).fill(1, prompts[index]));
  const logprobs = await engine.logprobs(forest, { select: scatterMask({ forest, maps }, masks) });
  const totals = maps.map((map, index) =>
    gather(map.subarray(prompts[index]), logprobs).reduce((sum, logprob) => sum + logprob, 0)
  );
  return batch.map(({ of }, index) => [of, 1 / (1 + Math.exp(totals[2 * index + 1]! - totals[2 * index]!))]);
}

/** Judges by a language model that follows one of the {@link Protocol}s. */
export class RmR1Judge implements Judge {
  readonly name: string;
  readonly identity: string;
  readonly #engine: Engine;
  readonly #options: Required<Omit<RmR1JudgeOptions, "name" | "weights">>;

  /**
   * @param engine closed with the judge
   * @throws {RangeError} The model has no tokenizer or no chat template, or an option is out of range.
   */
  constructor(engine: Engine, options: RmR1JudgeOptions) {
    const { info } = engine;
    if (!info.hasTokenizer) {
      throw new RangeError(`Model "${info.name}" has no tokenizer, which a judge needs`);
    }
    if (info.chatTemplate === null) {
      throw new RangeError(`Model "${info.name}" has no chat template, which a judge needs`);
    }
    const { protocol, kind = "reasrm", chain = FULL_CHAIN, name = info.name, weights = info.name, ...rest } =
      options;
    const full = {
      protocol,
      kind,
      chain,
      temperature: 0,
      maxNewTokens: 8192,
      seed: 0,
      maxConcurrent: 32,
      tokenBudget: 131_072,
      ...rest,
    };
    for (const option of ["maxNewTokens", "maxConcurrent", "tokenBudget"] as const) {
      if (!Number.isSafeInteger(full[option]) || full[option] < 1) {
        throw new RangeError(`Option ${option} is "${full[option]}", expected a positive integer`);
      }
    }
    if (!(full.temperature >= 0 && full.temperature < Infinity)) {
      throw new RangeError(`Option temperature is "${full.temperature}", expected a number of at least 0`);
    }
    this.#engine = engine;
    this.#options = full;
    this.name = name;
    const { temperature, maxNewTokens, seed } = full;
    const sampling = temperature === 0 ? { temperature, maxNewTokens } : { temperature, maxNewTokens, seed };
    const precision = info.precision === "f32" || info.precision === null
      ? {}
      : { precision: info.precision };
    const form = kind === "genrm" ? { kind } : chain.rubrics && chain.taskTypes ? {} : { chain };
    this.identity = JSON.stringify({ judge: "rm-r1", weights, protocol, ...form, ...precision, ...sampling });
  }

  render(input: JudgeInput): readonly Message[] {
    return renderPrompt(this.#options, input);
  }

  async *judge(
    inputs: readonly JudgeInput[],
    options: JudgeOptions = {},
  ): AsyncGenerator<Answered<Judgement>> {
    const { contextLength } = this.#engine.info;
    const window = this.#options.maxConcurrent * WINDOW_BATCHES;
    for (let start = 0; start < inputs.length; start += window) {
      options.signal?.throwIfAborted();
      const prompts = await this.#tokenize(inputs.slice(start, start + window), start);
      const fitting = prompts.filter(({ tokens }) => tokens.length < contextLength);
      for (const { index, tokens } of prompts) {
        if (tokens.length < contextLength) continue;
        const outcome = { kind: "none", reason: "prompt-too-long" } as const;
        yield { index, answer: { outcome, text: "", tokens: 0, promptTokens: tokens.length, finish: null } };
      }
      for (const batch of batchesOf(fitting, this.#options)) yield* this.#generate(batch, options);
    }
  }

  async #tokenize(inputs: readonly JudgeInput[], start: number): Promise<Prompt[]> {
    const texts = inputs.map((input) =>
      this.#engine.renderChat(this.render(input), { addGenerationPrompt: true })
    );
    const encoded = await this.#engine.encode(texts);
    return texts.map((text, at) => ({
      index: start + at,
      tokens: encoded[at]!,
      stream: createHash("sha256").update(text).digest().readUInt32BE(0),
      sample: inputs[at]!.sample ?? 0,
      opensThinking: text.trimEnd().endsWith("<think>"),
    }));
  }

  async *#generate(
    batch: readonly Prompt[],
    { signal, logprobs = false, probability = this.#options.kind === "genrm" }: JudgeOptions,
  ): AsyncGenerator<Answered<Judgement>> {
    const { temperature, maxNewTokens, seed, tokenBudget } = this.#options;
    const requests = batch.map(({ tokens, stream, sample }) => ({
      prompt: tokens,
      maxTokens: maxNewTokens,
      temperature,
      key: { seed, step: 0, prompt: stream, rollout: sample },
    }));
    const open = new Set(batch.keys());
    const verdicts: Written[] = [];
    let failure = new Error("The engine ended without an answer");
    try {
      for await (const event of this.#engine.generate(requests, signal === undefined ? {} : { signal })) {
        if (event.type !== "done") continue;
        const { index, opensThinking, tokens: prompt } = batch[event.request]!;
        open.delete(event.request);
        const answer: Judgement = {
          outcome: parseVerdict(event.text, { thinking: opensThinking ? "required" : "optional" }),
          text: event.text,
          tokens: event.tokens.length,
          promptTokens: event.promptTokens,
          finish: event.finish,
          ...(opensThinking ? { thinking: "required" } : {}),
          ...(logprobs ? { logprobs: event.logprobs } : {}),
        };
        if (!probability) yield { index, answer };
        else verdicts.push({ index, answer, prompt });
      }
    } catch (error) {
      signal?.throwIfAborted();
      failure = error instanceof Error ? error : new Error(String(error));
    }
    for (const at of open) yield { index: batch[at]!.index, error: failure };
    // Behind the generation, which the engine does not share with passes that are asked for meanwhile.
    for await (
      const [{ index, answer }, probabilityA] of probabilitiesOfA(this.#engine, verdicts, tokenBudget)
    ) {
      yield { index, answer: probabilityA === null ? answer : { ...answer, probabilityA } };
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#engine[Symbol.asyncDispose]();
  }
}
