/**
 * The one seam between the learning (TypeScript) and the linear algebra (the core, or a remote server).
 * Any judge runs on any {@link Engine}; training needs a {@link TrainableEngine}.
 *
 * @module
 */

/** One message of a conversation, in the roles that chat templates know. */
export interface Message {
  /** Who says it. */
  readonly role: "system" | "user" | "assistant";
  /** The words. */
  readonly content: string;
}

/** A call of a tool that the assistant asked for. */
export interface ToolCall {
  readonly name: string;
  readonly arguments: Readonly<Record<string, unknown>>;
  /** What the tool's answer refers to, where the model's template has such ids. */
  readonly id?: string;
}

/** A message as chat templates take it: also tools' answers, calls and reasoning. */
export interface ChatMessage {
  readonly role: Message["role"] | "tool";
  readonly content: string;
  /** What the assistant asked of tools. */
  readonly toolCalls?: readonly ToolCall[];
  /** What the assistant thought before `content`. Templates decide which turns keep it. */
  readonly reasoning?: string;
  /** The tool that answers. */
  readonly name?: string;
  /** The {@link ToolCall.id} that is answered. */
  readonly toolCallId?: string;
}

/** A tool that the model may call. */
export interface Tool {
  readonly name: string;
  readonly description: string;
  /** JSON Schema of the arguments, an object. */
  readonly parameters: Readonly<Record<string, unknown>>;
}

/** Options of {@link Engine.renderChat}. What the model's template has no place for is an error, not ignored. */
export interface ChatOptions {
  /** End where the assistant starts to speak. Default false. */
  readonly addGenerationPrompt?: boolean;
  /** Tools to be described to the model. Default none. */
  readonly tools?: readonly Tool[];
  /** Turns the model's thinking on or off. Default: the template's own. */
  readonly thinking?: boolean;
  /** The date for templates that write it. Default the current one. */
  readonly now?: Date;
}

/**
 * A batch as a forest of token segments. Each segment attends to its ancestors and, causally, to itself;
 * positions run along the path from the root. A flat batch is a forest of roots.
 */
export interface Forest {
  /** Token ids of all segments, in segment order; `sum(lengths)` entries. */
  readonly tokens: Uint32Array;
  /** Tokens of each segment. */
  readonly lengths: Uint32Array;
  /** Index of each segment's parent, −1 for a root; a parent stands before its children. */
  readonly parents: Int32Array;
}

/**
 * What matrix products read: weights and activations are rounded to it, and their sums are f32 always. At "bf16" the
 * residual stream, norms, softmaxes, gradients of weights and the weights that the optimizer sees stay f32.
 */
export type Precision = "f32" | "bf16";

/** Every {@link Precision}. */
export const PRECISIONS: readonly Precision[] = ["f32", "bf16"];

/**
 * What matrix products read where there are forward passes alone. At "int8" weights are integers of 8 bits, or as few
 * as a quantised file has, with scales for runs of them, and activations are rounded to 8 bits run by run; the
 * embedding, norms, softmaxes and the residual stream stay f32.
 */
export type InferencePrecision = Precision | "int8";

/** Every {@link InferencePrecision}. */
export const INFERENCE_PRECISIONS: readonly InferencePrecision[] = [...PRECISIONS, "int8"];

/** A linear layer of every decoder layer, by its Hugging Face name. */
export type LoraTarget =
  | "q_proj"
  | "k_proj"
  | "v_proj"
  | "o_proj"
  | "gate_proj"
  | "up_proj"
  | "down_proj";

/** Every {@link LoraTarget}. */
export const LORA_TARGETS: readonly LoraTarget[] = [
  "q_proj",
  "k_proj",
  "v_proj",
  "o_proj",
  "gate_proj",
  "up_proj",
  "down_proj",
];

/** Low-rank adapters (Hu et al. 2021, equation 3): y = xWᵀ + b + (alpha / rank) · dropped(x)AᵀBᵀ. */
export interface LoraShape {
  /** Rows of A and columns of B. */
  readonly rank: number;
  /** Adapters are multiplied by alpha / rank. Above 0. */
  readonly alpha: number;
  /**
   * Share of an adapter's inputs that {@link ForwardOptions.dropout} sets to zero; the others are divided by
   * 1 − dropout. At least 0 and below 1.
   */
  readonly dropout: number;
  /** The linear layers that have adapters, each once. */
  readonly targets: readonly LoraTarget[];
}

/** Options of {@link TrainableEngine.addLora}. */
export interface LoraOptions extends LoraShape {
  /** Of A's random values. */
  readonly seed: number;
}

/** How one rollout is sampled. */
export interface SamplingOptions {
  /** Most tokens to generate. */
  readonly maxTokens: number;
  /** 0 takes the most likely token (ties: the lowest id). Default 1. */
  readonly temperature?: number;
  /** Keep the k most likely tokens; 0 keeps all. Default 0. */
  readonly topK?: number;
  /** Keep the smallest set of tokens whose mass reaches p; 1 keeps all. Default 1. */
  readonly topP?: number;
  /**
   * Keep the tokens at least this times as likely as the likeliest; 0 keeps all. Default 0. Filters apply at the
   * temperature and in the order top-k, top-p, min-p.
   */
  readonly minP?: number;
  /**
   * What is added to the logits of these token ids before temperature and filters: −Infinity is a ban, ±100 amount to
   * a ban or a certainty. It steers the draw alone: log-probabilities stay those of the model.
   */
  readonly logitBias?: Readonly<Record<number, number>>;
  /** End as soon as the text contains one of these; the text is cut before it, the tokens are kept. */
  readonly stop?: readonly string[];
  /** Never sample an end-of-sequence token. Default false. */
  readonly ignoreEos?: boolean;
  /** The counter of the random draws; position is added by the core. Default all 0. */
  readonly key?: DrawKey;
  /** Names the draws by one number: the same as a `key` whose other parts are 0, and not to be given beside one. */
  readonly seed?: number;
}

/** Names a stream of random draws: the same key gives the same draws whatever else is in the batch. */
export interface DrawKey {
  readonly seed: number;
  readonly step: number;
  readonly prompt: number;
  readonly rollout: number;
}

/** One rollout to generate. Requests that share a prefix of tokens share its computation. */
export interface GenerateRequest extends SamplingOptions {
  /** Token ids, or messages that the engine renders by the model's own chat template. */
  readonly prompt: Uint32Array | readonly Message[];
}

/** A token as it was sampled. */
export interface TokenEvent {
  readonly type: "token";
  /** Index of the request. */
  readonly request: number;
  readonly token: number;
  /**
   * Log-probability of the token under the whole vocabulary at the request's temperature (at 1 when greedy):
   * what {@link TrainableEngine.forward} gives at that temperature, whatever filters and bias made of it for the draw,
   * and bit for bit where {@link ModelInfo.exact}.
   */
  readonly logprob: number;
}

/** Why a rollout ended: an end-of-sequence token, a stop string, `maxTokens`, or the model's context. */
export type FinishReason = "eos" | "stop" | "length" | "context";

/** A finished rollout. */
export interface DoneEvent {
  readonly type: "done";
  readonly request: number;
  /** All generated tokens, the end-of-sequence token included. */
  readonly tokens: Uint32Array;
  /** Of each generated token, as {@link TokenEvent.logprob}. */
  readonly logprobs: Float32Array;
  /** Decoded text without special tokens, cut before a stop string; "" for a model with no tokenizer. */
  readonly text: string;
  readonly finish: FinishReason;
  /** Tokens of the prompt. */
  readonly promptTokens: number;
}

/** What an engine says of its model. */
export interface ModelInfo {
  /** Where it was loaded from, or the remote model's name. */
  readonly name: string;
  /** "cpu (2 threads, avx512, bf16)", "cuda:0 (NVIDIA H200, …)", "http://…", …: never silent about the device. */
  readonly backend: string;
  /** What the engine's products read; null where the engine does not say. */
  readonly precision: InferencePrecision | null;
  /** Whether {@link Engine.generate} gives the log-probabilities of {@link Engine.logprobs} bit for bit. */
  readonly exact: boolean;
  /** Whether the model is for inference alone, its weights packed, or quantised as its file. */
  readonly frozen: boolean;
  readonly parameters: number;
  readonly vocabSize: number;
  /** Longest context in tokens. */
  readonly contextLength: number;
  readonly eosTokenIds: readonly number[];
  readonly bosToken: string | null;
  readonly eosToken: string | null;
  /** Jinja source of the chat template, where the model has one. */
  readonly chatTemplate: string | null;
  /** Further templates by name; "tool_use" is taken where tools are given. Default none. */
  readonly chatTemplates?: Readonly<Record<string, string>>;
  readonly hasTokenizer: boolean;
  readonly hasScoreHead: boolean;
  /** The adapters that are on; null, or absent, where there are none. */
  readonly lora?: LoraShape | null;
}

/** Options of {@link Engine.generate}. */
export interface GenerateOptions {
  /** Also yield every token as it is sampled. Default false: only finished rollouts. */
  readonly stream?: boolean;
  readonly signal?: AbortSignal;
}

/** What the rollouts of one {@link Engine.generate} took. */
export interface GenerateSummary {
  /** Bytes of keys and values that were allowed. */
  readonly kvBudget: number;
  /** Most bytes of keys and values that were reserved at once. */
  readonly kvPeak: number;
  /** Requests that had to wait until others ended. */
  readonly waited: number;
  /** Prompt tokens that went through the model; shared ones count once for each time that they did. */
  readonly prefilled: number;
}

/** A language model that writes and scores text. */
export interface Engine extends AsyncDisposable {
  readonly info: ModelInfo;
  /** Token ids of each text; special tokens written in the text are recognised, none are added. */
  encode(texts: readonly string[]): Promise<Uint32Array[]>;
  /** Text of each token list, special tokens left out unless asked for. */
  decode(tokens: readonly Uint32Array[], options?: { readonly keepSpecial?: boolean }): Promise<string[]>;
  /** Renders a conversation by the model's chat template. Throws when the model has none. */
  renderChat(messages: readonly ChatMessage[], options?: ChatOptions): string;
  /**
   * Generates any number of requests, as many at once as memory allows. They are begun in their order and end in any;
   * what a request gives does not depend on the others.
   */
  generate(
    requests: readonly GenerateRequest[],
    options?: GenerateOptions,
  ): AsyncIterable<TokenEvent | DoneEvent>;
  /**
   * Log-probability of each token given its path, `sum(lengths)` entries; NaN for the first token of a root and
   * for tokens that `select` leaves out.
   */
  logprobs(forest: Forest, options?: LogprobOptions): Promise<Float32Array>;
  /**
   * What the score head makes of the hidden state behind each of these tokens, `[tokens]`.
   *
   * @param tokens indexes of tokens of the forest
   * @throws {EngineError} The model has no score head.
   */
  scores(forest: Forest, tokens: Uint32Array): Promise<Float32Array>;
}

/** Options of {@link Engine.logprobs}. */
export interface LogprobOptions {
  /** Divides the logits. Default 1. */
  readonly temperature?: number;
  /** One byte a token: nonzero for the tokens whose log-probability is wanted. Default all. */
  readonly select?: Uint8Array;
}

/** Options of {@link TrainableEngine.forward}. */
export interface ForwardOptions extends LogprobOptions {
  /** Also compute the entropy of each selected token's distribution, in nats. Default false. */
  readonly entropy?: boolean;
  /** Indexes of the tokens whose final hidden state the score head reads. Default none. */
  readonly scores?: Uint32Array;
  /** Keep only each layer's input and recompute the rest in backward: less memory, a third more work. Default false. */
  readonly recompute?: boolean;
  /**
   * Drops adapters' inputs by {@link LoraShape.dropout}. The mask is a function of these numbers, the layer, the
   * matrix, the token's index in the forest and the column alone. Default: nothing is dropped, as nothing ever is in
   * {@link Engine.logprobs} and {@link Engine.generate}.
   */
  readonly dropout?: DropoutKey;
}

/** Names a mask of dropout: the same key drops the same elements. */
export interface DropoutKey {
  readonly seed: number;
  readonly step: number;
  /** Of the pass within the step. */
  readonly batch: number;
}

/** dL/dx for what a {@link Tape} holds; each array is as long as the one it belongs to, NaN entries are refused. */
export interface Coefficients {
  /** dL/dlogprob of each token; must be 0 where the log-probability is NaN. */
  readonly dLogprobs?: Float32Array;
  /** dL/dentropy of each token. */
  readonly dEntropies?: Float32Array;
  /** dL/dscore of each score. */
  readonly dScores?: Float32Array;
}

/** A forward pass and all that its backward needs. Free it with `using` or {@link Tape.close}. */
export interface Tape extends Disposable {
  /** As {@link Engine.logprobs}. */
  readonly logprobs: Float32Array;
  /** As long as `logprobs`; empty when not asked for. */
  readonly entropies: Float32Array;
  /** One a requested score. */
  readonly scores: Float32Array;
  /** Adds this pass's gradients to the engine's. */
  backward(coefficients: Coefficients): Promise<void>;
  close(): void;
}

/** Options of {@link TrainableEngine.step}: AdamW with decoupled weight decay and clipping by the global norm. */
export interface StepOptions {
  readonly learningRate: number;
  readonly beta1: number;
  readonly beta2: number;
  readonly epsilon: number;
  /** Applied to matrices only, as learningRate · weightDecay · w. */
  readonly weightDecay: number;
  /** Gradients are scaled so that their global norm is at most this; 0 does not clip. */
  readonly maxGradNorm: number;
}

/** Options of {@link TrainableEngine.save}. */
export interface SaveOptions {
  /** Type of the stored weights. Default "f32", which loses nothing. */
  readonly dtype?: "f32" | "f16" | "bf16";
  /** Also store the optimizer's state, so that training goes on bit for bit. Default false. */
  readonly optimizer?: boolean;
  /**
   * What becomes of a model's adapters. "separate" writes a folder in PEFT's layout, adapter_config.json and
   * adapter_model.safetensors, without the weights that they adapt. "merged" writes a whole model, each adapter added
   * to its weight; the optimizer's state does not belong to that. Default "separate" where there are adapters.
   */
  readonly adapters?: "separate" | "merged";
}

/** Options of {@link TrainableEngine.reference}. */
export interface ReferenceOptions {
  /**
   * What the copy's products read, adapters merged into it. Default the engine's own, whose log-probabilities the copy
   * then has bit for bit; of a model with adapters it is then no copy, but the weights below them.
   */
  readonly precision?: InferencePrecision;
}

/** Bytes that training takes beyond the weights, by the size of its passes. */
export interface TrainingMemory {
  /** Free on the device now. */
  readonly free: number;
  /** Gradients and the optimizer's moments, as far as they are yet to be made. */
  readonly state: number;
  /** A copy of the weights by {@link TrainableEngine.reference}; 0 of a model with adapters, which needs none. */
  readonly reference: number;
  /** A forward and backward pass, whatever its tokens. */
  readonly pass: number;
  /** Each token of a pass. */
  readonly token: number;
  /** Each token of a pass with {@link ForwardOptions.recompute}. */
  readonly recomputedToken: number;
}

/** An engine whose weights can be trained. */
export interface TrainableEngine extends Engine {
  /** What training would take on the engine's device; null where the engine cannot tell. */
  trainingMemory(): Promise<TrainingMemory | null>;
  forward(forest: Forest, options?: ForwardOptions): Promise<Tape>;
  /** Applies the accumulated gradients and clears them. Gives the global norm before clipping. */
  step(options: StepOptions): Promise<{ readonly gradNorm: number }>;
  /** Throws accumulated gradients away. */
  discardGradients(): Promise<void>;
  /**
   * A frozen copy of the weights as they are now. Of a model with adapters, unless another precision is asked for, it
   * is the same weights with the adapters off, in the same memory; it stays as it is while the adapters are trained.
   */
  reference(options?: ReferenceOptions): Promise<Engine>;
  /**
   * Adds adapters that change nothing yet: A is random, uniform within 1/√inputs of 0, and B is zeros. From then on
   * they are what is trained, with the score head if there is one; the other weights are frozen. Accumulated gradients
   * and the optimizer's state are forgotten. Refused where there are adapters.
   */
  addLora(options: LoraOptions): Promise<void>;
  /** Adds a score head of zeros unless the model has one; accumulated gradients and the optimizer's state are forgotten. */
  addScoreHead(): Promise<void>;
  /** Writes a Hugging Face folder: config.json, model.safetensors, tokenizer files, and `optimizer.safetensors` if asked. */
  save(directory: string, options?: SaveOptions): Promise<void>;
  /**
   * Replaces weights, and the optimizer's state if the folder has one, by what {@link save} wrote. A folder of adapters,
   * be it ours or PEFT's, is loaded onto the model that it was made for: it adds adapters, and the score head that comes
   * with them, to a model that has none, and replaces those of the same rank, alpha, dropout and targets.
   */
  load(directory: string): Promise<void>;
}
