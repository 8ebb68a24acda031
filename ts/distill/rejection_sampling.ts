/**
 * Self-distillation by rejection sampling: a local model judges each pair until it is right, a given number of times
 * at most, and the first right trace is kept (as STaR does, Zelikman et al. 2022, arXiv:2203.14465, without its hints).
 *
 * @module
 */
import { createHash } from "node:crypto";
import type { PlacedPair } from "../data/mod.ts";
import type { DoneEvent, Engine } from "../engine/engine.ts";
import { batchesOf, type TokenizedPrompt } from "../judge/batches.ts";
import { type Answer, type AnswerEnd, type Journal, keyOf } from "../endpoint/mod.ts";
import { assess } from "./assess.ts";
import { renderFirstPass, type TraceProtocol } from "./prompts.ts";
import { type PairResult, recordOf } from "./statistics.ts";

/** A local model, and how it is sampled. */
export interface SamplingEngine {
  readonly engine: Engine;
  /** Names the weights, best by a hash of their files. */
  readonly weights: string;
  /** For the file of traces. */
  readonly name: string;
  readonly protocol: TraceProtocol;
  /** Most samples of a pair. */
  readonly samples: number;
  readonly temperature: number;
  /** Most tokens of a sample. */
  readonly maxTokens: number;
  readonly seed: number;
  /** Most samples generated at once. */
  readonly maxConcurrent: number;
  /** Most tokens held at once, shared prefixes counted once. */
  readonly tokenBudget: number;
}

/** Options of {@link sampleTraces}. */
export interface SampleOptions {
  readonly journal: Journal;
  readonly signal: AbortSignal;
  readonly onProgress?: (done: {
    readonly pairs: number;
    readonly kept: number;
    readonly answers: number;
  }) => void;
}

/** Pairs that are sampled round by round together. */
const WINDOW = 256;

interface Prompt extends TokenizedPrompt {
  /** First word of the hash of the rendered prompt: which stream of draws it uses. */
  readonly stream: number;
  /** What the chat template opened and the model goes on with. */
  readonly opened: string;
}

interface State {
  readonly pair: PlacedPair;
  readonly outcomes: PairResult["outcomes"][number][];
  record: PairResult["record"];
}

/** Samples traces; the results are in the pairs' order. Samples that the journal has are not made again. */
export async function sampleTraces(
  pairs: readonly PlacedPair[],
  model: SamplingEngine,
  { journal, signal, onProgress }: SampleOptions,
): Promise<PairResult[]> {
  const { engine, samples, maxTokens } = model;
  const states: State[] = pairs.map((pair) => ({ pair, outcomes: [], record: null }));
  let number = journal.content.lastNumber;
  let answers = 0;
  for (let start = 0; start < states.length; start += WINDOW) {
    const window = states.slice(start, start + WINDOW);
    const prompts = await tokenize(window, model);
    const fits = ({ tokens }: Prompt): boolean => tokens.length < engine.info.contextLength;
    for (const { index } of prompts.filter((prompt) => !fits(prompt))) {
      window[index]!.outcomes.push({ pass: "pass 1", outcome: "prompt-too-long" });
    }
    for (let sample = 0; sample < samples; sample++) {
      const take = (index: number, { text, end }: Answer): void => {
        const { pair, outcomes } = window[index]!;
        const assessed = assess(text, end, pair);
        outcomes.push({ pass: "pass 1", outcome: assessed.kept ? "kept" : assessed.rejection });
        if (!assessed.kept) return;
        window[index]!.record = recordOf(pair, { trace: assessed.trace, pass: 1, model: model.name });
      };
      const open: Prompt[] = [];
      for (const prompt of prompts) {
        if (!fits(prompt) || window[prompt.index]!.record !== null) continue;
        const known = journal.content.answers.get(keyOfSample(window[prompt.index]!.pair, sample, model));
        if (known === undefined) open.push(prompt);
        else take(prompt.index, known);
      }
      const limits = { ...model, maxNewTokens: maxTokens };
      for (const batch of batchesOf(open, limits)) {
        signal.throwIfAborted();
        for await (const { request, ...done } of generate(batch, sample, model, signal)) {
          const { index, opened, tokens } = batch[request]!;
          const { pair } = window[index]!;
          const about = {
            number: ++number,
            key: keyOfSample(pair, sample, model),
            id: pair.record.id,
            pass: 1,
          } as const;
          const answer: Answer = {
            text: `${opened}${done.text}`,
            end: endOf(done.finish),
            tokens: { input: tokens.length, output: done.tokens.length },
            servedBy: null,
          };
          const worst = { input: tokens.length, output: maxTokens };
          await Promise.all([
            journal.append({ type: "call", ...about, worst }),
            journal.append({ type: "answer", ...about, ...answer }),
          ]);
          answers++;
          take(index, answer);
        }
        onProgress?.({
          pairs: start +
            window.filter(({ record, outcomes }) => record !== null || outcomes.length >= samples).length,
          kept: states.filter(({ record }) => record !== null).length,
          answers,
        });
      }
    }
  }
  return states;
}

function endOf(finish: DoneEvent["finish"]): AnswerEnd {
  return finish === "eos" || finish === "stop" ? "stop" : "length";
}

function keyOfSample(
  pair: PlacedPair,
  sample: number,
  { engine, weights, name, protocol, temperature, maxTokens, seed }: SamplingEngine,
): string {
  return keyOf({
    writer: `${weights} ${engine.info.precision ?? ""}`,
    model: name,
    messages: renderFirstPass(protocol, pair),
    sampling: { temperature, maxTokens, seed },
    sample,
  });
}

async function tokenize(states: readonly State[], { engine, protocol }: SamplingEngine): Promise<Prompt[]> {
  const texts = states.map(({ pair }) =>
    engine.renderChat(renderFirstPass(protocol, pair), { addGenerationPrompt: true })
  );
  const encoded = await engine.encode(texts);
  return texts.map((text, index) => ({
    index,
    tokens: encoded[index]!,
    stream: createHash("sha256").update(text).digest().readUInt32BE(0),
    opened: text.trimEnd().endsWith("<think>") ? "<think>" : "",
  }));
}

async function* generate(
  batch: readonly Prompt[],
  sample: number,
  { engine, temperature, maxTokens, seed }: SamplingEngine,
  signal: AbortSignal,
): AsyncGenerator<DoneEvent> {
  const requests = batch.map(({ tokens, stream }) => ({
    prompt: tokens,
    maxTokens,
    temperature,
    key: { seed, step: 0, prompt: stream, rollout: sample },
  }));
  for await (const event of engine.generate(requests, { signal })) if (event.type === "done") yield event;
}
