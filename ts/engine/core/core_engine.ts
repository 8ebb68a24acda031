/**
 * The engine that runs on this machine: the Rust core, native or in WebAssembly.
 *
 * @module
 */

import { ChatTemplate } from "../chat_template.ts";
import type { Arithmetic, Device } from "../device.ts";
import type {
  ChatMessage,
  ChatOptions,
  Coefficients,
  DoneEvent,
  Engine,
  FinishReason,
  Forest,
  ForwardOptions,
  GenerateOptions,
  GenerateRequest,
  GenerateSummary,
  InferencePrecision,
  LogprobOptions,
  LoraOptions,
  ModelInfo,
  Precision,
  ReferenceOptions,
  SaveOptions,
  StepOptions,
  Tape,
  TokenEvent,
  TrainableEngine,
  TrainingMemory,
} from "../engine.ts";
import { modelFiles, openDoor, openFileDoor, storeFiles } from "#doors";
import { EngineError } from "../error.ts";
import type { Door } from "./door.ts";
import { arrayOf, type Frame, type FrameArray } from "./frame.ts";
import { Jobs } from "./job.ts";
import { CoreTape } from "./core_tape.ts";
import { type DownloadProgress, type ModelFiles, scratchFolder, staged } from "./model_files.ts";
import { samplingOf } from "./sampling.ts";

/** What all engines of the core may be told. */
export interface CoreOptions {
  /** Which core computes. Default: what {@link openDoor} finds. */
  readonly door?: Door;
  /** Where it computes. Default "auto". */
  readonly device?: Device;
  /** How a CUDA device multiplies. Default "exact". */
  readonly arithmetic?: Arithmetic;
  /**
   * Threads of the whole process from now on, for all its engines. Results do not depend on it. Default: as
   * many as the machine offers; in WebAssembly as many as its door was opened with, which is also the most.
   */
  readonly threads?: number;
  /**
   * Most bytes that the keys and values of one `generate` may take. Requests wait for room; one that could never fit
   * is refused. Default: half of the memory that the machine has available when it begins.
   */
  readonly kvBytes?: number;
  /** Told once at the end of each `generate`, when all its rollouts have ended. */
  readonly onSummary?: (summary: GenerateSummary) => void;
  /** Ends the opening. */
  readonly signal?: AbortSignal;
  /** Told as files arrive in a core that has no files of its own. */
  readonly onDownload?: (progress: DownloadProgress) => void;
}

/** Options of {@link CoreReference.open}. */
export interface CoreReferenceOptions extends CoreOptions {
  /** What matrix products read. Default "f32". */
  readonly precision?: InferencePrecision;
}

/** Options of {@link CoreEngine.open}. */
export interface CoreEngineOptions extends CoreOptions {
  /** What matrix products read. Default "f32". */
  readonly precision?: Precision;
}

/** Options of {@link CoreEngine.init}. */
export interface CoreInitOptions extends CoreEngineOptions {
  /** The source of a `tokenizer.json`. Default none: the model works on ids alone. */
  readonly tokenizer?: string;
  /** Jinja source of the chat template. Default none. */
  readonly chatTemplate?: string;
  /** Of the random weights. Default 0. */
  readonly seed?: number;
  /** What {@link ModelInfo.name} says. Default "new model". */
  readonly name?: string;
}

/** A model in the core, its jobs, and what is said of it. */
interface Opened {
  readonly door: Door;
  readonly jobs: Jobs;
  readonly model: number;
  readonly info: ModelInfo;
  readonly kvBytes: number | undefined;
  readonly onSummary: CoreOptions["onSummary"] | undefined;
}

/** A model in the core that has forward passes alone. {@link CoreEngine.reference} makes one, too. */
export class CoreReference implements Engine {
  readonly #door: Door;
  readonly #jobs: Jobs;
  readonly #model: number;
  readonly #kvBytes: number | undefined;
  readonly #onSummary: CoreOptions["onSummary"] | undefined;
  #info: ModelInfo;
  #template: ChatTemplate | undefined;
  #readers = 0;
  #closed = false;

  /** @internal */
  constructor({ door, jobs, model, info, kvBytes, onSummary }: Opened) {
    this.#door = door;
    this.#kvBytes = kvBytes;
    this.#onSummary = onSummary;
    this.#jobs = jobs;
    this.#model = model;
    this.#info = info;
  }

  /**
   * Opens a model for inference alone: a Hugging Face folder, a folder with one GGUF file, or a GGUF file; by its path,
   * or for a core in WebAssembly from wherever its files come. Quantised weights stay quantised in memory. At the
   * precisions of {@link CoreEngine.open} results have its bits.
   */
  static async open(model: string | ModelFiles, options?: CoreReferenceOptions): Promise<CoreReference> {
    return new CoreReference(await load(model, true, options));
  }

  /** As {@link Engine.info}. */
  get info(): ModelInfo {
    return this.#info;
  }

  /** Which core computes and why it was taken, in words. */
  get about(): string {
    return this.#door.about;
  }

  async encode(texts: readonly string[]): Promise<Uint32Array[]> {
    const frame = await this.call({ op: "encode", texts });
    return split(arrayOf(frame, "tokens", Uint32Array), arrayOf(frame, "lengths", Uint32Array));
  }

  async decode(
    tokens: readonly Uint32Array[],
    options?: { readonly keepSpecial?: boolean },
  ): Promise<string[]> {
    const { body } = await this.call(
      { op: "decode", keepSpecial: options?.keepSpecial ?? false },
      joined(tokens),
    );
    return body["texts"] as string[];
  }

  renderChat(messages: readonly ChatMessage[], options?: ChatOptions): string {
    const source = this.#info.chatTemplate;
    if (source === null) throw new EngineError("input", `"${this.#info.name}" has no chat template`);
    this.#template ??= new ChatTemplate(source, this.#info);
    return this.#template.render(messages, options);
  }

  /** While its iteration is open the weights cannot change: {@link CoreEngine}'s other methods refuse to. */
  async *generate(
    requests: readonly GenerateRequest[],
    options?: GenerateOptions,
  ): AsyncGenerator<TokenEvent | DoneEvent, void, undefined> {
    const sampling = requests.map(samplingOf);
    const prompts = await this.#promptTokens(requests);
    const request = {
      body: {
        op: "generate",
        model: this.#model,
        stream: options?.stream ?? false,
        requests: sampling,
        ...(this.#kvBytes !== undefined && { kvBytes: this.#kvBytes }),
      },
      arrays: joined(prompts),
    };
    this.#readers++;
    try {
      const events = this.#jobs.stream(request, options?.signal);
      let event = await events.next();
      try {
        for (; event.done !== true; event = await events.next()) yield* eventsOf(event.value);
      } finally {
        await events.return(undefined as never);
      }
      this.#onSummary?.(event.value.body as unknown as GenerateSummary);
    } finally {
      this.#readers--;
    }
  }

  async logprobs(forest: Forest, options?: LogprobOptions): Promise<Float32Array> {
    const frame = await this.call(
      { op: "logprobs", temperature: options?.temperature ?? 1 },
      { ...arraysOf(forest), ...(options?.select && { select: options.select }) },
    );
    return arrayOf(frame, "logprobs", Float32Array);
  }

  async scores(forest: Forest, tokens: Uint32Array): Promise<Float32Array> {
    const frame = await this.call({ op: "scores" }, { ...arraysOf(forest), scores: tokens });
    return arrayOf(frame, "scores", Float32Array);
  }

  /** Ends what is under way and frees the model. Open tapes stay open until they are closed. */
  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    await this.#jobs[Symbol.asyncDispose]();
    this.#door.closeHandle(this.#model);
  }

  /** Runs an operation on the model. */
  protected call(body: Frame["body"], arrays: Frame["arrays"] = {}): Promise<Frame> {
    return this.#jobs.call({ body: { ...body, model: this.#model }, arrays });
  }

  /** Runs an operation that changes the model. */
  protected change(body: Frame["body"], arrays: Frame["arrays"] = {}): Promise<Frame> {
    if (this.#readers > 0) {
      // The core would wait for the generation, and the generation may be waiting for its reader.
      throw new EngineError(
        "input",
        `Cannot run "${body["op"]}" while a generation is being read: finish or leave its iteration first`,
      );
    }
    return this.call(body, arrays);
  }

  /** The way to the core. */
  protected get door(): Door {
    return this.#door;
  }

  /** As {@link CoreOptions.kvBytes}. */
  protected get kvBytes(): number | undefined {
    return this.#kvBytes;
  }

  /** As {@link CoreOptions.onSummary}. */
  protected get onSummary(): CoreOptions["onSummary"] | undefined {
    return this.#onSummary;
  }

  /** Keeps what an operation said of the model. */
  protected describe({ body }: Frame): void {
    this.#info = { ...this.#info, ...(body as unknown as Omit<ModelInfo, "name">) };
  }

  /** Frees an object of this model, such as a tape. */
  protected freer(handle: number): () => void {
    return () => this.#door.closeHandle(handle);
  }

  async #promptTokens(requests: readonly GenerateRequest[]): Promise<Uint32Array[]> {
    const texts = requests.flatMap(({ prompt }) =>
      prompt instanceof Uint32Array ? [] : [this.renderChat(prompt, { addGenerationPrompt: true })]
    );
    const encoded = texts.length > 0 ? await this.encode(texts) : [];
    return requests.map(({ prompt }) => prompt instanceof Uint32Array ? prompt : encoded.shift()!);
  }
}

/**
 * A model on this machine that can be trained.
 *
 * @example
 * ```ts ignore
 * import { flatForest, CoreEngine } from "rm-r1/engine";
 *
 * await using engine = await CoreEngine.open("models/base");
 * const [tokens] = await engine.encode(["2 + 2 = 4"]);
 * const logprobs = await engine.logprobs(flatForest([tokens!]).forest);
 * ```
 */
export class CoreEngine extends CoreReference implements TrainableEngine {
  /** Opens a model to be trained: a Hugging Face folder, a folder with one GGUF file, or a GGUF file. */
  static override async open(model: string | ModelFiles, options?: CoreEngineOptions): Promise<CoreEngine> {
    return new CoreEngine(await load(model, false, options));
  }

  /** A new model with random weights, from the contents of a Hugging Face `config.json`. */
  static async init(
    config: Readonly<Record<string, unknown>>,
    options?: CoreInitOptions,
  ): Promise<CoreEngine> {
    const { tokenizer = null, chatTemplate = null, seed = 0, name = "new model" } = options ?? {};
    const body = { op: "init", config, tokenizer, chatTemplate, seed, ...computing(options) };
    return new CoreEngine(await opened(body, name, options));
  }

  async forward(forest: Forest, options?: ForwardOptions): Promise<Tape> {
    const frame = await this.call({
      op: "forward",
      temperature: options?.temperature ?? 1,
      entropy: options?.entropy ?? false,
      recompute: options?.recompute ?? false,
      ...(options?.dropout && { dropout: options.dropout }),
    }, {
      ...arraysOf(forest),
      ...(options?.select && { select: options.select }),
      ...(options?.scores && { scores: options.scores }),
    });
    const tape = frame.body["tape"] as number;
    return new CoreTape({
      logprobs: arrayOf(frame, "logprobs", Float32Array),
      entropies: arrayOf(frame, "entropies", Float32Array),
      scores: arrayOf(frame, "scores", Float32Array),
      backward: async (coefficients) => {
        await this.change({ op: "backward", tape }, coefficientArrays(coefficients));
      },
      free: this.freer(tape),
    });
  }

  async trainingMemory(): Promise<TrainingMemory> {
    const { body } = await this.call({ op: "training_memory" });
    return body as unknown as TrainingMemory;
  }

  async step(options: StepOptions): Promise<{ readonly gradNorm: number }> {
    const { learningRate, beta1, beta2, epsilon, weightDecay, maxGradNorm } = options;
    const frame = await this.change({
      op: "step",
      learningRate,
      beta1,
      beta2,
      epsilon,
      weightDecay,
      maxGradNorm,
    });
    return { gradNorm: arrayOf(frame, "gradNorm", Float64Array)[0]! };
  }

  async discardGradients(): Promise<void> {
    await this.change({ op: "discard_gradients" });
  }

  /**
   * Writes the accumulated gradients as a safetensors file, by the names of their tensors: for comparison with other
   * trainers.
   *
   * @throws {EngineError} There are none.
   */
  async saveGradients(file: string): Promise<void> {
    const slash = Math.max(file.lastIndexOf("/"), file.lastIndexOf("\\"));
    const [directory, name] = slash < 0 ? [".", file] : [file.slice(0, slash), file.slice(slash + 1)];
    await this.#stored(directory, (folder) => this.call({ op: "save_gradients", path: `${folder}/${name}` }));
  }

  async reference(options?: ReferenceOptions): Promise<Engine> {
    const { body } = await this.call({ op: "snapshot", precision: options?.precision ?? null });
    const info = { ...this.info, ...(body["info"] as Omit<ModelInfo, "name">) };
    return new CoreReference({
      door: this.door,
      jobs: new Jobs(this.door),
      model: body["model"] as number,
      info,
      kvBytes: this.kvBytes,
      onSummary: this.onSummary,
    });
  }

  async save(directory: string, options?: SaveOptions): Promise<void> {
    const { dtype = "f32", optimizer = false, adapters } = options ?? {};
    const body = { op: "save", dtype, optimizer, ...(adapters && { adapters }) };
    await this.#stored(directory, (path) => this.call({ ...body, path }));
  }

  /** Lets the core write into a folder: by way of one of its own, where it has files of its own. */
  async #stored(directory: string, write: (folder: string) => Promise<unknown>): Promise<void> {
    const { files } = this.door;
    if (files === null) return void await write(directory);
    const folder = scratchFolder("saved");
    try {
      await write(folder);
      await storeFiles(files, folder, directory);
    } finally {
      // A core that has died has no files; its death has been reported.
      await files.remove(folder).catch(() => {});
    }
  }

  async load(directory: string): Promise<void> {
    const restore = (path: string): Promise<Frame> => this.change({ op: "restore", path });
    this.describe(
      this.door.files === null
        ? await restore(directory)
        : await staged(this.door, await modelFiles(directory), restore),
    );
  }

  async addLora({ rank, alpha, dropout, targets, seed }: LoraOptions): Promise<void> {
    this.describe(await this.change({ op: "add_lora", rank, alpha, dropout, targets, seed }));
  }

  async addScoreHead(): Promise<void> {
    this.describe(await this.change({ op: "add_score_head" }));
  }
}

async function load(
  model: string | ModelFiles,
  frozen: boolean,
  options?: CoreReferenceOptions,
): Promise<Opened> {
  const door = options?.door ?? await (typeof model === "string" ? openDoor() : openFileDoor());
  const name = typeof model === "string" ? model : model.name;
  const open = (path: string): Promise<Opened> =>
    opened({ op: "load", path, frozen, ...computing(options) }, name, { ...options, door });
  if (typeof model === "string" && door.files === null) return await open(model);
  return await staged(door, typeof model === "string" ? await modelFiles(model) : model, open, options);
}

/** Where and how a model computes. */
function computing(options?: CoreReferenceOptions): Frame["body"] {
  const { device = "auto", arithmetic = "exact", precision = "f32" } = options ?? {};
  return { device, arithmetic, precision };
}

async function opened(body: Frame["body"], name: string, options?: CoreOptions): Promise<Opened> {
  const kvBytes = options?.kvBytes;
  if (kvBytes !== undefined && !(Number.isSafeInteger(kvBytes) && kvBytes > 0)) {
    throw new EngineError("input", `Option kvBytes is "${kvBytes}", expected a whole number above 0`);
  }
  const door = options?.door ?? await openDoor();
  const jobs = new Jobs(door);
  if (options?.threads !== undefined) {
    await jobs.call({ body: { op: "set_threads", threads: options.threads }, arrays: {} });
  }
  const answer = await jobs.call({ body, arrays: {} }, options?.signal);
  const info = { ...(answer.body["info"] as Omit<ModelInfo, "name">), name };
  return {
    door,
    jobs,
    model: answer.body["model"] as number,
    info,
    kvBytes,
    onSummary: options?.onSummary,
  };
}

function* eventsOf(event: Frame): Generator<TokenEvent | DoneEvent> {
  const { body } = event;
  const tokens = arrayOf(event, "tokens", Uint32Array);
  const logprobs = arrayOf(event, "logprobs", Float32Array);
  if ("done" in body) {
    yield {
      type: "done",
      request: body["done"] as number,
      tokens,
      logprobs,
      text: body["text"] as string,
      finish: body["finish"] as FinishReason,
      promptTokens: body["promptTokens"] as number,
    };
    return;
  }
  const requests = arrayOf(event, "requests", Uint32Array);
  for (const [i, request] of requests.entries()) {
    yield { type: "token", request, token: tokens[i]!, logprob: logprobs[i]! };
  }
}

function arraysOf({ tokens, lengths, parents }: Forest): Record<string, FrameArray> {
  return { tokens, lengths, parents };
}

function coefficientArrays({ dLogprobs, dEntropies, dScores }: Coefficients): Record<string, FrameArray> {
  return {
    ...(dLogprobs && { dLogprobs }),
    ...(dEntropies && { dEntropies }),
    ...(dScores && { dScores }),
  };
}

function joined(lists: readonly Uint32Array[]): Record<string, FrameArray> {
  const lengths = Uint32Array.from(lists, (list) => list.length);
  const tokens = new Uint32Array(lengths.reduce((sum, length) => sum + length, 0));
  let start = 0;
  for (const list of lists) {
    tokens.set(list, start);
    start += list.length;
  }
  return { tokens, lengths };
}

function split(tokens: Uint32Array, lengths: Uint32Array): Uint32Array[] {
  let start = 0;
  return Array.from(lengths, (length) => tokens.slice(start, start += length));
}
