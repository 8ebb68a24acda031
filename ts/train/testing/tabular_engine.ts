/**
 * A language model small enough to train in a test, with exact gradients: a bigram table plus a table by the hash of
 * all that came before, so that it can learn prompts by heart; its score head is a table by that hash alone. Its
 * vocabulary is ASCII.
 *
 * @module
 */
import { Buffer } from "node:buffer";
import { createHash } from "node:crypto";
import { existsSync } from "node:fs";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import {
  type Coefficients,
  type DoneEvent,
  type DrawKey,
  type Engine,
  EngineError,
  type FinishReason,
  type Forest,
  type ForwardOptions,
  type GenerateOptions,
  type GenerateRequest,
  type LogprobOptions,
  type Message,
  type ModelInfo,
  type ReferenceOptions,
  type SaveOptions,
  type StepOptions,
  type Tape,
  type TrainableEngine,
  type TrainingMemory,
} from "../../engine/mod.ts";

const VOCABULARY = 128;
const EOS = 0;
const OTHER = 1;
const BUCKETS = 1024;
const BIGRAM_OFFSET = 0;
const BUCKET_OFFSET = VOCABULARY * VOCABULARY;
const SCORE_OFFSET = BUCKET_OFFSET + BUCKETS * VOCABULARY;
const PARAMETERS = SCORE_OFFSET + BUCKETS;

/** Where a token stands: what the model looks at to predict it. */
interface Context {
  readonly previous: number;
  readonly hash: number;
}

function extend(context: Context | null, token: number): Context {
  return { previous: token, hash: Math.imul((context?.hash ?? 0x811c9dc5) ^ (token + 1), 0x01000193) >>> 0 };
}

/** Names of the calls that {@link TabularOptions.onCall} is told of. */
export type CallName =
  | "forward"
  | "backward"
  | "step"
  | "save"
  | "load"
  | "generate"
  | "encode"
  | "scores"
  | "reference";

/** Options of {@link TabularEngine.open}. */
export interface TabularOptions {
  /** Told of each call before it is done; what it throws, the call throws. */
  readonly onCall?: (name: CallName) => void;
  /** Longest context in tokens. Default 8192. */
  readonly contextLength?: number;
  /** As {@link ModelInfo.backend}. Default "test". */
  readonly backend?: string;
  /** What {@link TabularEngine.trainingMemory} tells. Default nothing. */
  readonly memory?: TrainingMemory;
}

/** The model. */
export class TabularEngine implements TrainableEngine {
  #info: ModelInfo;
  readonly #options: TabularOptions;
  #weights: Float32Array<ArrayBuffer>;
  #gradients = new Float64Array(PARAMETERS);
  #moments = new Float32Array(2 * PARAMETERS);
  #steps = 0;

  private constructor(name: string, weights: Float32Array<ArrayBuffer>, options: TabularOptions) {
    this.#weights = weights;
    this.#options = options;
    this.#info = {
      name,
      backend: options.backend ?? "test",
      parameters: PARAMETERS,
      vocabSize: VOCABULARY,
      contextLength: options.contextLength ?? 8192,
      eosTokenIds: [EOS],
      bosToken: null,
      eosToken: "\0",
      chatTemplate: "test",
      hasTokenizer: true,
      precision: null,
      frozen: false,
      exact: true,
      hasScoreHead: false,
    };
  }

  get info(): ModelInfo {
    return this.#info;
  }

  /** A model with small weights that the seed decides, and a score head of zeros for when it is added. */
  static fresh(seed = 1, options: TabularOptions = {}): TabularEngine {
    let state = seed;
    const weights = Float32Array.from({ length: PARAMETERS }, (_, index) => {
      if (index >= SCORE_OFFSET) return 0;
      state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
      return (state / 2 ** 32 - 0.5) * 0.1;
    });
    return new TabularEngine("fresh", weights, options);
  }

  /** Opens a folder that {@link TabularEngine.save} wrote; the optimizer is new. */
  static async open(folder: string, options: TabularOptions = {}): Promise<TabularEngine> {
    const engine = new TabularEngine(folder, await readTensor(join(folder, "model.safetensors")), options);
    if (JSON.parse(await readFile(join(folder, "config.json"), "utf8")).score_head === true) {
      await engine.addScoreHead();
    }
    return engine;
  }

  addLora(): Promise<void> {
    return Promise.reject(new EngineError("input", "The tabular model has no linear layers to adapt"));
  }

  addScoreHead(): Promise<void> {
    this.#info = { ...this.#info, hasScoreHead: true };
    return Promise.resolve();
  }

  trainingMemory(): Promise<TrainingMemory | null> {
    return Promise.resolve(this.#options.memory ?? null);
  }

  encode(texts: readonly string[]): Promise<Uint32Array[]> {
    this.#options.onCall?.("encode");
    return Promise.resolve(texts.map((text) =>
      Uint32Array.from(text, (letter) => {
        const code = letter.codePointAt(0)!;
        return code === EOS || (code > OTHER && code < VOCABULARY) ? code : OTHER;
      })
    ));
  }

  decode(tokens: readonly Uint32Array[]): Promise<string[]> {
    return Promise.resolve(tokens.map((list) => this.#text(list)));
  }

  #text(tokens: Uint32Array): string {
    return Array.from(tokens).filter((token) => token !== EOS).map((token) => String.fromCharCode(token))
      .join("");
  }

  renderChat(messages: readonly Message[], options: { readonly addGenerationPrompt?: boolean } = {}): string {
    const turns = messages.map(({ role, content }) => `<${role}>${content}\n`).join("");
    return options.addGenerationPrompt === true ? `${turns}<assistant>` : turns;
  }

  async *generate(
    requests: readonly GenerateRequest[],
    { signal }: GenerateOptions = {},
  ): AsyncGenerator<DoneEvent> {
    // The last first: callers must go by the request's index.
    for (let request = requests.length - 1; request >= 0; request--) {
      this.#options.onCall?.("generate");
      await Promise.resolve();
      if (signal?.aborted === true) throw new EngineError("cancelled", "Generation was cancelled");
      yield this.#rollout(request, requests[request]!);
    }
  }

  #rollout(request: number, { prompt, maxTokens, temperature = 1, key }: GenerateRequest): DoneEvent {
    if (!(prompt instanceof Uint32Array)) throw new EngineError("input", "Expected a prompt of tokens");
    let context: Context | null = null;
    for (const token of prompt) context = extend(context, token);
    const tokens: number[] = [];
    const logprobs: number[] = [];
    let finish: FinishReason = "length";
    while (tokens.length < maxTokens) {
      if (prompt.length + tokens.length >= this.info.contextLength) {
        finish = "context";
        break;
      }
      const distribution = this.#distribution(context!, temperature === 0 ? 1 : temperature);
      const token = temperature === 0
        ? distribution.indexOf(Math.max(...distribution))
        : draw(distribution, key, tokens.length);
      tokens.push(token);
      logprobs.push(distribution[token]!);
      if (token === EOS) {
        finish = "eos";
        break;
      }
      context = extend(context, token);
    }
    const list = Uint32Array.from(tokens);
    return {
      type: "done",
      request,
      tokens: list,
      logprobs: Float32Array.from(logprobs),
      text: this.#text(list),
      finish,
      promptTokens: prompt.length,
    };
  }

  /** Log-probabilities of all tokens. */
  #distribution(context: Context, temperature: number): Float64Array {
    const logits = new Float64Array(VOCABULARY);
    const bigram = BIGRAM_OFFSET + context.previous * VOCABULARY;
    const bucket = BUCKET_OFFSET + (context.hash % BUCKETS) * VOCABULARY;
    let largest = -Infinity;
    for (let token = 0; token < VOCABULARY; token++) {
      logits[token] = (this.#weights[bigram + token]! + this.#weights[bucket + token]!) / temperature;
      largest = Math.max(largest, logits[token]!);
    }
    let total = 0;
    for (const logit of logits) total += Math.exp(logit - largest);
    const shift = largest + Math.log(total);
    return logits.map((logit) => logit - shift);
  }

  #contexts(forest: Forest, select: Uint8Array | undefined): { index: number; context: Context }[] {
    const ends: Context[] = [];
    const found: { index: number; context: Context }[] = [];
    let index = 0;
    for (const [segment, length] of forest.lengths.entries()) {
      const parent = forest.parents[segment]!;
      let context: Context | null = parent < 0 ? null : ends[parent]!;
      for (let offset = 0; offset < length; offset++, index++) {
        if (context !== null && (select === undefined || select[index] !== 0)) found.push({ index, context });
        context = extend(context, forest.tokens[index]!);
      }
      ends.push(context!);
    }
    return found;
  }

  scores(forest: Forest, tokens: Uint32Array): Promise<Float32Array> {
    this.#options.onCall?.("scores");
    return Promise.resolve(
      Float32Array.from(this.#scorePlaces(forest, tokens), (place) => this.#weights[place]!),
    );
  }

  /** The weights that are the scores of these tokens. */
  #scorePlaces(forest: Forest, tokens: Uint32Array): number[] {
    if (tokens.length > 0 && !this.info.hasScoreHead) {
      throw new EngineError("input", "The model has no score head");
    }
    const behind = new Map<number, number>();
    const ends: Context[] = [];
    let index = 0;
    for (const [segment, length] of forest.lengths.entries()) {
      const parent = forest.parents[segment]!;
      let context: Context | null = parent < 0 ? null : ends[parent]!;
      for (let offset = 0; offset < length; offset++, index++) {
        context = extend(context, forest.tokens[index]!);
        behind.set(index, SCORE_OFFSET + context.hash % BUCKETS);
      }
      ends.push(context!);
    }
    return Array.from(tokens, (token) => behind.get(token)!);
  }

  logprobs(forest: Forest, { temperature = 1, select }: LogprobOptions = {}): Promise<Float32Array> {
    const values = new Float32Array(forest.tokens.length).fill(NaN);
    for (const { index, context } of this.#contexts(forest, select)) {
      values[index] = this.#distribution(context, temperature)[forest.tokens[index]!]!;
    }
    return Promise.resolve(values);
  }

  async forward(forest: Forest, options: ForwardOptions = {}): Promise<Tape> {
    this.#options.onCall?.("forward");
    const { temperature = 1, select } = options;
    const contexts = this.#contexts(forest, select);
    const logprobs = await this.logprobs(forest, options);
    const entropies = new Float32Array(options.entropy === true ? forest.tokens.length : 0);
    if (options.entropy === true) {
      for (const { index, context } of contexts) {
        for (const value of this.#distribution(context, temperature)) {
          entropies[index]! -= Math.exp(value) * value;
        }
      }
    }
    const places = this.#scorePlaces(forest, options.scores ?? new Uint32Array(0));
    let open = true;
    const close = (): void => {
      open = false;
    };
    return {
      logprobs,
      entropies,
      scores: Float32Array.from(places, (place) => this.#weights[place]!),
      backward: ({ dLogprobs, dScores }: Coefficients): Promise<void> => {
        this.#options.onCall?.("backward");
        if (!open) throw new EngineError("handle", "The tape has been closed");
        for (const { index, context } of contexts) {
          this.#accumulate(context, forest.tokens[index]!, dLogprobs?.[index] ?? 0, temperature);
        }
        for (const [index, place] of places.entries()) this.#gradients[place]! += dScores?.[index] ?? 0;
        return Promise.resolve();
      },
      close,
      [Symbol.dispose]: close,
    };
  }

  #accumulate(context: Context, target: number, coefficient: number, temperature: number): void {
    if (!Number.isFinite(coefficient)) {
      throw new EngineError("input", `Coefficient "${coefficient}" is not finite`);
    }
    const distribution = this.#distribution(context, temperature);
    const bigram = BIGRAM_OFFSET + context.previous * VOCABULARY;
    const bucket = BUCKET_OFFSET + (context.hash % BUCKETS) * VOCABULARY;
    for (let token = 0; token < VOCABULARY; token++) {
      const slope = coefficient * ((token === target ? 1 : 0) - Math.exp(distribution[token]!)) / temperature;
      this.#gradients[bigram + token]! += slope;
      this.#gradients[bucket + token]! += slope;
    }
  }

  /** The accumulated gradients. */
  get gradients(): Float64Array {
    return this.#gradients.slice();
  }

  /** The weights as bytes, to compare models by. */
  get bytes(): Uint8Array {
    return new Uint8Array(this.#weights.buffer.slice(0));
  }

  /** Moves one weight. */
  nudge(index: number, by: number): void {
    this.#weights[index]! += by;
  }

  step(options: StepOptions): Promise<{ gradNorm: number }> {
    this.#options.onCall?.("step");
    const { learningRate, beta1, beta2, epsilon, weightDecay, maxGradNorm } = options;
    const gradNorm = Math.sqrt(this.#gradients.reduce((sum, slope) => sum + slope * slope, 0));
    const scale = maxGradNorm > 0 && gradNorm > maxGradNorm ? maxGradNorm / gradNorm : 1;
    this.#steps++;
    const correction1 = 1 - beta1 ** this.#steps;
    const correction2 = 1 - beta2 ** this.#steps;
    for (let i = 0; i < PARAMETERS; i++) {
      const slope = this.#gradients[i]! * scale;
      const first = this.#moments[i] = beta1 * this.#moments[i]! + (1 - beta1) * slope;
      const second = this.#moments[PARAMETERS + i] = beta2 * this.#moments[PARAMETERS + i]! +
        (1 - beta2) * slope * slope;
      this.#weights[i]! -= learningRate * (first / correction1 / (Math.sqrt(second / correction2) + epsilon) +
        weightDecay * this.#weights[i]!);
    }
    this.#gradients.fill(0);
    return Promise.resolve({ gradNorm });
  }

  discardGradients(): Promise<void> {
    this.#gradients.fill(0);
    return Promise.resolve();
  }

  /** At "int8" weights are rounded to multiples of a 32nd, so that the copy is another policy. */
  reference({ precision = "f32" }: ReferenceOptions = {}): Promise<Engine> {
    this.#options.onCall?.("reference");
    const weights = precision === "int8"
      ? this.#weights.map((weight) => Math.round(weight * 32) / 32)
      : this.#weights.slice();
    return Promise.resolve(new TabularEngine(this.info.name, weights, {}));
  }

  async save(folder: string, options: SaveOptions = {}): Promise<void> {
    await writeFile(
      join(folder, "config.json"),
      `${JSON.stringify({ model_type: "tabular", score_head: this.info.hasScoreHead })}\n`,
    );
    this.#options.onCall?.("save");
    await writeTensor(join(folder, "model.safetensors"), this.#weights);
    if (options.optimizer === true) {
      const state = new Float32Array(1 + this.#moments.length);
      state[0] = this.#steps;
      state.set(this.#moments, 1);
      await writeTensor(join(folder, "optimizer.safetensors"), state);
    }
  }

  async load(folder: string): Promise<void> {
    this.#options.onCall?.("load");
    this.#weights = await readTensor(join(folder, "model.safetensors"));
    const optimizer = join(folder, "optimizer.safetensors");
    if (!existsSync(optimizer)) return;
    const state = await readTensor(optimizer);
    this.#steps = state[0]!;
    this.#moments = state.slice(1);
  }

  async [Symbol.asyncDispose](): Promise<void> {}
}

function draw(distribution: Float64Array, key: DrawKey | undefined, position: number): number {
  const { seed = 0, step = 0, prompt = 0, rollout = 0 } = key ?? {};
  const digest = createHash("sha256").update([seed, step, prompt, rollout, position].join()).digest();
  let left = digest.readUInt32BE() / 2 ** 32;
  for (const [token, value] of distribution.entries()) {
    left -= Math.exp(value);
    if (left < 0) return token;
  }
  return VOCABULARY - 1;
}

async function writeTensor(path: string, values: Float32Array): Promise<void> {
  const bytes = new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
  const header = JSON.stringify({
    t: { dtype: "F32", shape: [values.length], data_offsets: [0, bytes.length] },
  });
  const padded = header.padEnd(Math.ceil(header.length / 8) * 8);
  const length = new Uint8Array(8);
  new DataView(length.buffer).setBigUint64(0, BigInt(padded.length), true);
  await writeFile(path, Buffer.concat([length, Buffer.from(padded), bytes]));
}

async function readTensor(path: string): Promise<Float32Array<ArrayBuffer>> {
  const file = Uint8Array.from(await readFile(path));
  const length = Number(new DataView(file.buffer).getBigUint64(0, true));
  return new Float32Array(file.slice(8 + length).buffer);
}
