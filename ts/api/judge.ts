/**
 * A judge as a product uses it.
 *
 * @module
 */
import type { VerdictRule } from "../cor/verdict.ts";
import type { ApiName } from "../endpoint/api_name.ts";
import type { Door } from "../engine/core/door.ts";
import type { DownloadProgress, ModelFiles } from "../engine/core/model_files.ts";
import type { Device } from "../engine/device.ts";
import type { InferencePrecision, Message } from "../engine/engine.ts";
import type { BestOfN, BestOfNMethod } from "../judge/best_of_n.ts";
import type { Judge as PairJudge, JudgeInput } from "../judge/judge.ts";
import type { JudgeProtocolName } from "../judge/judge_card.ts";
import { type Comparison, comparisonOf, type JudgedOnce, judgedOnce } from "./comparison.ts";

// What opens a judge is loaded when one is opened: importing this module costs little.

/** How a local model is computed. */
export interface CoreChoice {
  /** Which core computes. Default: the first of those that there are. */
  readonly door?: Door;
  /** Where it computes. Default "auto". */
  readonly device?: Device;
  /**
   * Threads of the whole process from now on. Default: as many as the machine offers; in WebAssembly up to 8, or as many
   * as its door was opened with, which is also the most.
   */
  readonly threads?: number;
  /** Most bytes of keys and values. Default: half of the free memory. */
  readonly kvBytes?: number;
  /** Told as files arrive in a core that has no files of its own. */
  readonly onDownload?: (progress: DownloadProgress) => void;
}

/** Options of {@link Judge.open}. */
export interface OpenOptions {
  /** The model of a server, where the source is a server's URL. */
  readonly model?: string;
  /**
   * The server's key; null sends none. Default: `OPENAI_API_KEY` or `ANTHROPIC_API_KEY` of the environment, by what the
   * server speaks, over https or to this machine alone.
   */
  readonly key?: string | null;
  /** What the server speaks. Default: by its URL. */
  readonly api?: ApiName;
  /**
   * How the model is asked. Default: as its checkpoint says; a model that was not trained here needs one, a server's is
   * asked by `instruct` unless told otherwise.
   */
  readonly protocol?: JudgeProtocolName;
  /** How verdicts are read. Default `strict`. */
  readonly verdicts?: VerdictRule;
  /** Most tokens of a judgement. Default 8192. */
  readonly maxNewTokens?: number;
  /** 0 takes the most likely token. Default 0. */
  readonly temperature?: number;
  /** Of a local model's draws at a temperature above 0; a server draws by itself. Default 0. */
  readonly seed?: number;
  /** What a local model's products read. Default "f32". */
  readonly precision?: InferencePrecision;
  /** How a local model is computed. */
  readonly core?: CoreChoice;
  /** Ends the opening. */
  readonly signal?: AbortSignal;
}

/** A question with two answers. */
export interface Pair {
  /** The question, or a conversation that ends with the user's message. */
  readonly prompt: string | readonly Message[];
  /** One answer. */
  readonly a: string;
  /** The other one. */
  readonly b: string;
}

/** A question with several answers. */
export interface Answers {
  /** As {@link Pair.prompt}. */
  readonly prompt: string | readonly Message[];
  /** At least one. */
  readonly answers: readonly string[];
}

/** Options of {@link Judge.compare}. */
export interface CompareOptions {
  /** Judge with the answers in both places, or only as given. Judges lean to a place: default `both`. */
  readonly orders?: "both" | "given";
  /** Judgements of each order; more than one needs a temperature. Default 1. */
  readonly samples?: number;
  /** Ends the work. */
  readonly signal?: AbortSignal;
}

/** Options of {@link Judge.bestOf}. */
export interface BestOfOptions {
  /** `knockout` takes n − 1 comparisons, `all-pairs` n(n − 1)/2. Default `knockout`. */
  readonly method?: BestOfNMethod;
  /** Of the order in which the answers meet. Default 0. */
  readonly seed?: number;
  /** Ends the work. */
  readonly signal?: AbortSignal;
}

/** What {@link Judge.stream} tells: the text of a judgement so far, by its index, and at the end the comparison. */
export type CompareEvent =
  | { readonly type: "trace"; readonly judgement: number; readonly swapped: boolean; readonly text: string }
  | { readonly type: "comparison"; readonly comparison: Comparison };

/**
 * A judge of answers: a model in this process, or one behind a server.
 *
 * @example A model's folder: here the small base of this project's repository, which has not learnt to judge yet
 * ```ts
 * import { Judge } from "rm-r1";
 *
 * await using judge = await Judge.open("models/embedded-base", { protocol: "compact" });
 * const { verdict, votes, quotes, trace } = await judge.compare({
 *   prompt: "Anna has 57 pens. Later 25 of the pens are sold. How many pens does Anna have now?",
 *   a: "So the answer is 32.",
 *   b: "So the answer is 42.",
 * });
 * console.assert(votes.A + votes.B + votes.none === 2 && trace.includes("<eval>"), verdict, quotes);
 * ```
 *
 * @example The trace as it is written, and the best of several answers
 * ```ts
 * import { Judge } from "rm-r1";
 *
 * await using judge = await Judge.open("models/embedded-base", { protocol: "compact" });
 * const prompt = "Anna has 57 pens. Later 25 of the pens are sold. How many pens does Anna have now?";
 * for await (const event of judge.stream({ prompt, a: "So the answer is 32.", b: "So the answer is 42." })) {
 *   if (event.type === "comparison") console.assert(event.comparison.judgements.length === 2);
 * }
 * const { best } = await judge.bestOf({ prompt, answers: ["It is 32.", "It is 42.", "It is 3."] });
 * console.assert(best >= 0 && best < 3);
 * ```
 *
 * @example A server that speaks OpenAI's API; nothing is computed here
 * ```ts ignore
 * import { Judge } from "rm-r1";
 *
 * await using judge = await Judge.open("http://localhost:8000/v1", { model: "gaotang/RM-R1-Qwen2.5-Instruct-7B" });
 * for await (const event of judge.stream({ prompt: "Name a prime.", a: "9", b: "7" })) {
 *   if (event.type === "trace") console.log(event.text);
 *   else console.log(event.comparison.verdict);
 * }
 * ```
 */
export class Judge implements AsyncDisposable {
  /** As it was named. */
  readonly name: string;
  /** What computes, in words: a device, or a server's address. */
  readonly where: string;
  readonly #judge: PairJudge;
  readonly #temperature: number;

  private constructor(judge: PairJudge, where: string, temperature = 0) {
    this.#judge = judge;
    this.#temperature = temperature;
    this.name = judge.name;
    this.where = where;
  }

  /**
   * Opens a judge.
   *
   * @param source a model's folder or GGUF file; a server's URL with `model` in the options; the URL of a GGUF file; or a
   * model's files, from wherever they come. Downloads and files go to the core in WebAssembly.
   * @throws {EngineError | ModelError | JudgeSpecError | RangeError} It cannot be opened, or is no judge.
   */
  static async open(source: string | URL | ModelFiles, options: OpenOptions = {}): Promise<Judge> {
    options.signal?.throwIfAborted();
    const { checkOpenOptions } = await import("./options.ts");
    checkOpenOptions(options);
    const url = urlOf(source);
    if (url !== null && (options.model !== undefined || !/\.gguf$/i.test(url.pathname))) {
      const { openServed } = await import("./open_served.ts");
      const { judge, where } = openServed(url, options);
      return new Judge(judge, where, options.temperature);
    }
    const { openLocal } = await import("./open_local.ts");
    const { judge, where } = await openLocal(url ?? source, options);
    return new Judge(judge, where, options.temperature);
  }

  /**
   * Says which of two answers is the better, and why.
   *
   * @throws {RangeError} An option is none, or the pair has no texts.
   * @throws {EngineError | EndpointError} The model or the server failed.
   * @throws The signal's reason.
   */
  async compare(pair: Pair, options: CompareOptions = {}): Promise<Comparison> {
    return await this.#compare(pair, options);
  }

  /** As {@link Judge.compare}, telling what is written as it is written. Leaving the iteration ends the work. */
  async *stream(pair: Pair, options: CompareOptions = {}): AsyncGenerator<CompareEvent, void, undefined> {
    const left = new AbortController();
    const signal = options.signal === undefined
      ? left.signal
      : AbortSignal.any([left.signal, options.signal]);
    const waiting: CompareEvent[] = [];
    let wake = (): void => {};
    let ended = false;
    const compared = this.#compare(pair, { ...options, signal }, (judgement, swapped, text) => {
      waiting.push({ type: "trace", judgement, swapped, text });
      wake();
    }).finally(() => {
      ended = true;
      wake();
    });
    // It is awaited below, unless the iteration is left before.
    compared.catch(() => {});
    try {
      while (!ended || waiting.length > 0) {
        if (waiting.length === 0) await new Promise<void>((resolve) => wake = resolve);
        yield* waiting.splice(0);
      }
      yield { type: "comparison", comparison: await compared };
    } finally {
      left.abort();
    }
  }

  /**
   * Finds the best of several answers.
   *
   * @throws {RangeError} There is no answer, or there is no such method.
   * @throws {EngineError | EndpointError} The model or the server failed.
   */
  async bestOf({ prompt, answers }: Answers, options: BestOfOptions = {}): Promise<BestOfN> {
    const { BEST_OF_N_METHODS, bestOfN } = await import("../judge/best_of_n.ts");
    const { method } = options;
    if (method !== undefined && !BEST_OF_N_METHODS.includes(method)) {
      throw new RangeError(`Option method is "${method}", expected one of ${BEST_OF_N_METHODS.join(", ")}`);
    }
    answers.forEach((answer, at) => checkText(`answers[${at}]`, answer));
    const conversation = conversationOf(prompt);
    try {
      const [best] = await bestOfN(this.#judge, [{ id: "answers", conversation, answers }], options);
      return best!;
    } catch (error) {
      // Which call of which judge it was says nothing here.
      throw error instanceof Error && error.cause instanceof Error ? error.cause : error;
    }
  }

  /** Frees the model. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#judge[Symbol.asyncDispose]();
  }

  async #compare(
    { prompt, a, b }: Pair,
    { orders = "both", samples = 1, signal }: CompareOptions,
    onText?: (judgement: number, swapped: boolean, text: string) => void,
  ): Promise<Comparison> {
    if (!Number.isSafeInteger(samples) || samples < 1) {
      throw new RangeError(`Option samples is "${samples}", expected a positive integer`);
    }
    if (samples > 1 && this.#temperature === 0) {
      throw new RangeError(
        `Option samples is "${samples}", expected 1 at temperature 0: all would be the same`,
      );
    }
    if (orders !== "both" && orders !== "given") {
      throw new RangeError(`Option orders is "${orders}", expected one of both, given`);
    }
    checkText("a", a);
    checkText("b", b);
    const conversation = conversationOf(prompt);
    const places = orders === "both" ? [{ a, b }, { a: b, b: a }] : [{ a, b }];
    const inputs: JudgeInput[] = Array.from(
      { length: samples },
      (_, sample) => places.map((answers) => ({ conversation, ...answers, sample })),
    ).flat();
    const isSwapped = (index: number): boolean => index % places.length === 1;
    const judgements: JudgedOnce[] = [];
    const answering = this.#judge.judge(inputs, {
      ...(signal !== undefined && { signal }),
      ...(onText !== undefined && { onText: (index, text) => onText(index, isSwapped(index), text) }),
    });
    for await (const { index, answer, error } of answering) {
      if (error !== undefined) throw error;
      judgements[index] = judgedOnce(inputs[index]!, answer, isSwapped(index));
    }
    return comparisonOf(judgements);
  }
}

function checkText(name: string, value: unknown): void {
  if (typeof value !== "string") throw new RangeError(`Answer ${name} is "${value}", expected a text`);
}

function conversationOf(prompt: Pair["prompt"]): readonly Message[] {
  if (typeof prompt !== "string" && !(Array.isArray(prompt) && prompt.length > 0)) {
    throw new RangeError(`Option prompt is "${prompt}", expected a text, or messages`);
  }
  return typeof prompt === "string" ? [{ role: "user", content: prompt }] : prompt;
}

function urlOf(source: string | URL | ModelFiles): URL | null {
  if (source instanceof URL) return source;
  return typeof source === "string" && /^https?:/i.test(source) && URL.canParse(source)
    ? new URL(source)
    : null;
}
