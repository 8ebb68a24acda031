import { expect } from "expect";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { DoneEvent, Engine, GenerateRequest, GenerateSummary, TokenEvent } from "../engine.ts";
import { EngineError } from "../error.ts";
import { flatForest, forestOf, gather } from "../forest.ts";
import { secondsWaited } from "./job.ts";
import { openDoor } from "#doors";
import { CoreEngine, type CoreInitOptions } from "./core_engine.ts";

let missing = "";
try {
  // Here and not in a test, because the sanitizers count what a test opens and the library stays open.
  await openDoor();
} catch (error) {
  if (!(error instanceof EngineError && error.kind === "library")) throw error;
  missing = error.message;
}

function test(name: string, fn: () => Promise<void>): void {
  Deno.test({
    name: missing === "" ? name : `SKIPPED: ${name}: ${missing}`,
    ignore: missing !== "",
    sanitizeOps: true,
    sanitizeResources: true,
    fn,
  });
}

const END = 1;

/** A byte-level tokenizer with no merges: <s> 0, </s> 1, then the bytes. */
function byteTokenizer(): string {
  const printable = (byte: number): boolean =>
    (byte >= 33 && byte <= 126) || (byte >= 161 && byte <= 172) || byte >= 174;
  let unprintable = 256;
  const letters = Array.from(
    { length: 256 },
    (_, byte) => String.fromCodePoint(printable(byte) ? byte : unprintable++),
  );
  const special = ["<s>", "</s>"];
  const added = special.map((content, id) => ({
    id,
    content,
    single_word: false,
    lstrip: false,
    rstrip: false,
    normalized: false,
    special: true,
  }));
  return JSON.stringify({
    version: "1.0",
    truncation: null,
    padding: null,
    added_tokens: added,
    normalizer: null,
    pre_tokenizer: { type: "ByteLevel", add_prefix_space: false, trim_offsets: true, use_regex: true },
    post_processor: null,
    decoder: { type: "ByteLevel", add_prefix_space: true, trim_offsets: true, use_regex: true },
    model: {
      type: "BPE",
      dropout: null,
      unk_token: null,
      continuing_subword_prefix: null,
      end_of_word_suffix: null,
      fuse_unk: false,
      byte_fallback: false,
      ignore_merges: false,
      vocab: Object.fromEntries([...special, ...letters].map((token, id) => [token, id])),
      merges: [],
    },
  });
}

function config(sizes: Record<string, number> = {}): Record<string, unknown> {
  return {
    model_type: "llama",
    vocab_size: 258,
    hidden_size: 32,
    intermediate_size: 48,
    num_hidden_layers: 2,
    num_attention_heads: 4,
    num_key_value_heads: 2,
    max_position_embeddings: 512,
    tie_word_embeddings: true,
    bos_token_id: 0,
    eos_token_id: END,
    ...sizes,
  };
}

function tiny(options: CoreInitOptions = {}, sizes?: Record<string, number>): Promise<CoreEngine> {
  return CoreEngine.init(config(sizes), {
    tokenizer: byteTokenizer(),
    chatTemplate: "{% for m in messages %}{{ bos_token + m['content'] }}{% endfor %}" +
      "{% if add_generation_prompt %}>{% endif %}",
    seed: 7,
    device: "cpu",
    ...options,
  });
}

const adamW = { learningRate: 0.01, beta1: 0.9, beta2: 0.99, epsilon: 1e-8, weightDecay: 0, maxGradNorm: 1 };

async function all(events: AsyncIterable<TokenEvent | DoneEvent>): Promise<(TokenEvent | DoneEvent)[]> {
  const found = [];
  for await (const event of events) found.push(event);
  return found;
}

function doneOf(events: readonly (TokenEvent | DoneEvent)[]): DoneEvent[] {
  return events.filter((event) => event.type === "done").toSorted((a, b) => a.request - b.request);
}

async function kindOf(work: Promise<unknown>): Promise<string> {
  try {
    await work;
    return "none";
  } catch (error) {
    return error instanceof EngineError ? error.kind : String(error);
  }
}

function group(prompt: string, size: number, maxTokens: number): GenerateRequest[] {
  const tokens = Uint32Array.from(prompt, (letter) => 2 + letter.charCodeAt(0) - 33);
  return Array.from({ length: size }, (_, rollout) => ({
    prompt: tokens,
    maxTokens,
    ignoreEos: true,
    key: { seed: 1, step: 2, prompt: 3, rollout },
  }));
}

test("an engine says what it is and never hides its device", async () => {
  await using engine = await tiny({ threads: 1, name: "tiny" });
  const { info } = engine;
  expect(info).toMatchObject({
    name: "tiny",
    vocabSize: 258,
    contextLength: 512,
    eosTokenIds: [END],
    bosToken: "<s>",
    eosToken: "</s>",
    hasTokenizer: true,
    precision: "f32",
    frozen: false,
    hasScoreHead: false,
    exact: true,
  });
  expect(info.backend).toMatch(/^cpu \(1 thread, .+\)$/);
  expect(info.parameters).toBeGreaterThan(258 * 32);
});

test("texts become tokens and texts again, special tokens recognised", async () => {
  await using engine = await tiny();
  const texts = ["<s>Grüße, 世界\n", "", "a b"];
  const tokens = await engine.encode(texts);
  expect([tokens[0]![0], tokens[1]!.length]).toEqual([0, 0]);
  expect(await engine.decode(tokens, { keepSpecial: true })).toEqual(texts);
  expect((await engine.decode(tokens))[0]).toBe("Grüße, 世界\n");
});

test("recorded log-probabilities are the trainer's, bit for bit", async () => {
  await using engine = await tiny();
  for (const temperature of [1, 0.7]) {
    const requests = group("judge", 3, 12).map((request) => ({ ...request, temperature }));
    const done = doneOf(await all(engine.generate(requests)));
    const { forest, maps } = forestOf(
      done.map(({ tokens }, i) => Uint32Array.of(...requests[i]!.prompt as Uint32Array, ...tokens)),
    );
    expect(forest.lengths.length).toBeGreaterThan(1);
    using tape = await engine.forward(forest, { temperature, entropy: true });
    expect(tape.entropies.length).toBe(forest.tokens.length);
    done.forEach(({ logprobs, promptTokens }, i) =>
      expect(gather(maps[i]!, tape.logprobs).subarray(promptTokens)).toEqual(logprobs)
    );
  }
});

test("a stream yields each token before its rollout's end, and the same tokens", async () => {
  await using engine = await tiny();
  const events = await all(engine.generate(group("stream", 2, 6), { stream: true }));
  for (const done of doneOf(events)) {
    const own = events.filter((event) => event.request === done.request);
    expect(own.at(-1)).toBe(done);
    const tokens = own.filter((event) => event.type === "token");
    expect(tokens.map(({ token }) => token)).toEqual([...done.tokens]);
    expect(tokens.map(({ logprob }) => logprob)).toEqual([...done.logprobs]);
    expect(done).toMatchObject({ finish: "length", promptTokens: 6 });
  }
});

test("requests wait for memory, and what they give does not change", async () => {
  const requests: GenerateRequest[] = Array.from({ length: 40 }, (_, i) => ({
    prompt: Uint32Array.from({ length: 20 + i % 3 }, (_, j) => 2 + (j * 7 + (j > 10 ? i % 3 : 0)) % 250),
    maxTokens: 5 + i % 9,
    minP: i % 2 * 0.01,
    logitBias: { 40: 3, 41: -Infinity },
    seed: i,
  }));
  const summaries: GenerateSummary[] = [];
  const onSummary = (summary: GenerateSummary): void => void summaries.push(summary);
  const byRequest = (x: DoneEvent, y: DoneEvent): number => x.request - y.request;
  await using wide = await tiny({ onSummary });
  const together = doneOf(await all(wide.generate(requests))).toSorted(byRequest);
  await using narrow = await tiny({ kvBytes: 60_000, onSummary });
  const streamed = await all(narrow.generate(requests, { stream: true }));
  expect(doneOf(streamed).toSorted(byRequest)).toEqual(together);
  expect(together.every(({ tokens }) => !tokens.includes(41))).toBe(true);
  const [free, tight] = summaries as [GenerateSummary, GenerateSummary];
  expect(free).toMatchObject({ waited: 0, prefilled: 41 });
  expect(tight).toMatchObject({ kvBudget: 60_000 });
  expect(tight.waited).toBeGreaterThan(0);
  expect(tight.kvPeak).toBeLessThanOrEqual(60_000);
  // The same draws by the whole key.
  const key = { seed: 3, step: 0, prompt: 0, rollout: 0 };
  const { seed: _, ...unseeded } = requests[3]!;
  expect(doneOf(await all(wide.generate([{ ...unseeded, key }])))[0]!.tokens).toEqual(together[3]!.tokens);
  const large = all(narrow.generate([...requests, { prompt: requests[0]!.prompt, maxTokens: 400 }]));
  await expect(large).rejects.toThrow(
    /^Request 40: .* need "\d+" bytes, expected at most the budget of 60000/,
  );
  await expect(tiny({ kvBytes: 0.5 })).rejects.toThrow('kvBytes is "0.5"');
});

test("two models generate at once, and a slow reader of one holds nothing up", async () => {
  await using one = await tiny();
  await using other = await tiny({ seed: 8 });
  const requests = Array.from({ length: 3 }, (_, seed) => ({
    prompt: Uint32Array.of(5, 6),
    maxTokens: 30,
    ignoreEos: true,
    seed,
  }));
  const slow = one.generate(requests, { stream: true });
  await slow.next();
  expect(doneOf(await all(other.generate(requests)))).toHaveLength(3);
  expect(doneOf(await all(slow))).toHaveLength(3);
});

test("messages are rendered by the model's template before generation", async () => {
  await using engine = await tiny();
  const prompt = [{ role: "user", content: "Hi" }] as const;
  const rendered = engine.renderChat(prompt, { addGenerationPrompt: true });
  expect(rendered).toBe("<s>Hi>");
  const [tokens] = await engine.encode([rendered]);
  const both = [{ prompt, maxTokens: 4 }, { prompt: tokens!, maxTokens: 4 }];
  const [byMessages, byTokens] = doneOf(await all(engine.generate(both)));
  expect(byMessages!.tokens).toEqual(byTokens!.tokens);
  expect(byMessages!.promptTokens).toBe(4);
  await using bare = await CoreEngine.init(config());
  expect(() => bare.renderChat(prompt)).toThrow("no chat template");
});

test("a device that is chosen is said with the reason, and one that is not there is refused", async () => {
  await using engine = await tiny({ device: "auto" });
  expect(engine.info.backend).toMatch(/^(cuda:0 \(.+\)|cpu \(.+; .+\))/);
  await expect(tiny({ device: "cuda:99" })).rejects.toThrow('"cuda:99"');
});

test("what training would take is told, and less of it once gradients and moments are there", async () => {
  await using engine = await tiny();
  const before = (await engine.trainingMemory())!;
  expect(before.state).toBe(12 * engine.info.parameters);
  expect(before.reference).toBeGreaterThanOrEqual(4 * engine.info.parameters);
  expect(before.free).toBeGreaterThan(2 ** 20);
  expect(before.token).toBeGreaterThan(before.recomputedToken);
  using tape = await engine.forward(flatForest([Uint32Array.of(5, 6, 7)]).forest);
  await tape.backward({ dLogprobs: Float32Array.of(0, -1, -1) });
  expect((await engine.trainingMemory())!.state).toBe(8 * engine.info.parameters);
  await engine.step(adamW);
  expect((await engine.trainingMemory())!.state).toBe(4 * engine.info.parameters);
});

test("gradients are saved by the names of their tensors, and have the norm that the step says", async () => {
  const folder = await mkdtemp(join(tmpdir(), "rmr1-gradients-"));
  try {
    await using engine = await tiny();
    const file = join(folder, "gradients.safetensors");
    await expect(engine.saveGradients(file)).rejects.toThrow("There are no gradients to save");
    using tape = await engine.forward(flatForest([Uint32Array.of(40, 41, 42, 43)]).forest);
    await tape.backward({ dLogprobs: Float32Array.of(0, -1, 2, -1) });
    await engine.saveGradients(file);
    const { gradNorm } = await engine.step({ ...adamW, maxGradNorm: 0 });
    const bytes = await readFile(file);
    const end = 8 + Number(bytes.readBigUInt64LE());
    const header = JSON.parse(bytes.toString("utf8", 8, end));
    expect(header["model.layers.0.mlp.down_proj.weight"].dtype).toBe("F32");
    const values = new Float32Array(
      bytes.buffer.slice(bytes.byteOffset + end, bytes.byteOffset + bytes.length),
    );
    expect(Math.sqrt(values.reduce((sum, value) => sum + value * value, 0)) / gradNorm).toBeCloseTo(1, 6);
  } finally {
    await rm(folder, { recursive: true });
  }
});

test("a step moves the weights, and the reference stays", async () => {
  await using engine = await tiny();
  await using reference = await engine.reference();
  const { forest } = flatForest([Uint32Array.of(5, 6, 7, 8)]);
  const before = await engine.logprobs(forest);
  {
    using tape = await engine.forward(forest);
    await tape.backward({ dLogprobs: Float32Array.of(0, -1, -1, -1) });
  }
  const { gradNorm } = await engine.step(adamW);
  expect(gradNorm).toBeGreaterThan(0);
  const sum = (values: Float32Array): number => values.slice(1).reduce((a, b) => a + b, 0);
  expect(sum(await engine.logprobs(forest))).toBeGreaterThan(sum(before));
  expect(await reference.logprobs(forest)).toEqual(before);
});

test("a reference in 8-bit integers is another policy, and what is trained cannot be one", async () => {
  await using engine = await tiny();
  await using rounded = await engine.reference({ precision: "int8" });
  expect(rounded.info).toMatchObject({ precision: "int8", frozen: true });
  expect(rounded.info.backend).toContain(", int8");
  const { forest } = flatForest([Uint32Array.of(5, 6, 7, 8)]);
  const [own, other] = [await engine.logprobs(forest), await rounded.logprobs(forest)];
  for (let t = 1; t < 4; t++) {
    expect(other[t]).not.toBe(own[t]);
    expect(Math.abs(other[t]! - own[t]!)).toBeLessThan(0.1);
  }
  const trained = CoreEngine.init(config(), { precision: "int8" as "f32" });
  await expect(trained).rejects.toThrow('Precision "int8" is for inference alone, expected "f32" or "bf16"');
});

test("select leaves tokens out, and scores need a head", async () => {
  await using engine = await tiny();
  const { forest } = flatForest([Uint32Array.of(5, 6, 7)]);
  const chosen = await engine.logprobs(forest, { select: Uint8Array.of(1, 0, 1) });
  expect(Array.from(chosen, Number.isNaN)).toEqual([true, true, false]);
  const scores = Uint32Array.of(2);
  expect(await kindOf(engine.forward(forest, { scores }))).toBe("input");
  await engine.addScoreHead();
  expect(engine.info).toMatchObject({ hasScoreHead: true, chatTemplate: expect.any(String) });
  using tape = await engine.forward(forest, { scores, recompute: true });
  expect(tape.scores.length).toBe(1);
  await tape.backward({ dScores: Float32Array.of(1) });
});

test("training goes on bit for bit after save and load", async () => {
  const folder = await mkdtemp(join(tmpdir(), "rmr1-native-"));
  try {
    const { forest } = flatForest([Uint32Array.of(5, 6, 7, 8)]);
    const train = async (engine: CoreEngine): Promise<void> => {
      using tape = await engine.forward(forest);
      await tape.backward({ dLogprobs: Float32Array.of(0, -1, 0.5, -1) });
      await engine.step(adamW);
    };
    await using engine = await tiny();
    await train(engine);
    await engine.save(folder, { optimizer: true });
    await train(engine);
    await using other = await CoreEngine.open(folder);
    await other.load(folder);
    await train(other);
    expect(await other.logprobs(forest)).toEqual(await engine.logprobs(forest));
    expect(other.info.chatTemplate).toBe(engine.info.chatTemplate);
  } finally {
    await rm(folder, { recursive: true });
  }
});

test("the event loop goes on during a long job", async () => {
  await using engine = await tiny({}, { hidden_size: 256, intermediate_size: 1024, num_hidden_layers: 6 });
  const { forest } = flatForest(
    Array.from({ length: 4 }, (_, i) => Uint32Array.from({ length: 512 }, (_, j) => (i + j) % 258)),
  );
  const ticks: number[] = [performance.now()];
  const timer = setInterval(() => ticks.push(performance.now()), 2);
  const started = performance.now();
  await engine.logprobs(forest);
  const took = performance.now() - started;
  clearInterval(timer);
  ticks.push(performance.now());
  const longest = Math.max(...ticks.slice(1).map((tick, i) => tick - ticks[i]!));
  expect(took).toBeGreaterThan(50);
  expect(longest).toBeLessThan(took / 2);
  expect(ticks.length).toBeGreaterThan(7);
});

test("waiting for the core is counted once, however many jobs are waited for", async () => {
  await using engine = await tiny();
  const [before, began] = [secondsWaited(), performance.now()];
  const forest = flatForest([new Uint32Array(200).fill(5)]).forest;
  await Promise.all([engine.logprobs(forest), engine.logprobs(forest), engine.logprobs(forest)]);
  const [waited, elapsed] = [secondsWaited() - before, (performance.now() - began) / 1000];
  expect(waited).toBeGreaterThan(0);
  expect(waited).toBeLessThanOrEqual(elapsed);
});

test("aborting ends a generation with the signal's reason", async () => {
  await using engine = await tiny();
  const controller = new AbortController();
  const reason = new Error("the user left");
  const reading = (async () => {
    for await (
      const _ of engine.generate(group("abort", 4, 500), { stream: true, signal: controller.signal })
    ) {
      controller.abort(reason);
    }
  })();
  await expect(reading).rejects.toBe(reason);
  const late = engine.generate(group("abort", 1, 4), { signal: controller.signal });
  await expect(all(late)).rejects.toBe(reason);
  expect((await all(engine.generate(group("abort", 1, 4)))).length).toBe(1);
});

test("aborting wakes a reader that waits for the first rollout", async () => {
  await using engine = await tiny({}, { hidden_size: 256, intermediate_size: 1024, num_hidden_layers: 6 });
  const started = performance.now();
  const reading = all(engine.generate(group("abort", 8, 500), { signal: AbortSignal.timeout(20) }));
  await expect(reading).rejects.toThrow(expect.objectContaining({ name: "TimeoutError" }));
  expect(performance.now() - started).toBeLessThan(2000);
});

test("weights do not change under a generation that is being read", async () => {
  await using engine = await tiny();
  const { forest } = flatForest([Uint32Array.of(5, 6)]);
  using tape = await engine.forward(forest);
  for await (const _ of engine.generate(group("held", 2, 100), { stream: true })) {
    await expect(tape.backward({ dLogprobs: Float32Array.of(0, 1) })).rejects.toThrow("is being read");
    expect((await engine.logprobs(forest))[1]).toBe(tape.logprobs[1]);
    break;
  }
  await tape.backward({ dLogprobs: Float32Array.of(0, 1) });
});

test("a closed tape and a closed engine refuse, and closing twice is harmless", async () => {
  const engine: CoreEngine = await tiny();
  const { forest } = flatForest([Uint32Array.of(5, 6)]);
  const tape = await engine.forward(forest);
  const last = tape.backward({ dLogprobs: Float32Array.of(0, 1) });
  tape.close();
  tape.close();
  await last;
  expect(await kindOf(tape.backward({}))).toBe("handle");
  const open = await engine.forward(forest);
  await engine[Symbol.asyncDispose]();
  await engine[Symbol.asyncDispose]();
  expect(await kindOf(engine.logprobs(forest))).toBe("handle");
  open.close();
});

test("closing an engine ends what is under way", async () => {
  const engine: Engine = await tiny();
  const reading = kindOf(all(engine.generate(group("close", 4, 500))));
  await new Promise((resolve) => setTimeout(resolve, 5));
  await engine[Symbol.asyncDispose]();
  expect(await reading).toBe("handle");
});

test("errors of the core come as engine errors of their kind", async () => {
  expect(await kindOf(CoreEngine.open("/no/such/model"))).toBe("io");
  expect(await kindOf(CoreEngine.init({ model_type: "llama" }))).toBe("format");
  expect(await kindOf(CoreEngine.init(config(), { seed: 0.5 }))).toBe("input");
  await using engine = await tiny();
  const outside = flatForest([Uint32Array.of(5, 999)]).forest;
  await expect(engine.logprobs(outside)).rejects.toThrow('"999"');
  expect(await kindOf(engine.step(adamW))).toBe("input");
  expect(await kindOf(all(engine.generate([{ prompt: new Uint32Array(), maxTokens: 1 }])))).toBe("input");
  const { forest } = flatForest([Uint32Array.of(5, 6)]);
  expect(await kindOf(engine.logprobs(forest, { temperature: NaN }))).toBe("input");
});
