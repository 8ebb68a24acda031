/**
 * Precision bf16 beside PyTorch's autocast to bfloat16: how far log-probabilities and gradients of each are from
 * PyTorch in float32. Run by `deno task test:peers`.
 */
import { expect } from "expect";
import { existsSync } from "node:fs";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { CoreEngine, flatForest } from "../../ts/engine/mod.ts";
import { cacheFolder, CATALOG, placeOf } from "../../ts/models/mod.ts";
import { inTemporary, python } from "./python.ts";

const SCRIPT = fileURLToPath(new URL("check_bf16.py", import.meta.url));
const TINY = fileURLToPath(new URL("../fixtures/tiny-models", import.meta.url));
const LICENSE = fileURLToPath(new URL("../../LICENSE", import.meta.url));

/** What our distance may be at most, of PyTorch's. */
const FACTOR = 1.5;
/**
 * One passage's rounding errors favour either side by chance, in tensors with few elements by more than a factor of
 * two: distances are root mean squares over passages.
 */
const PASSAGES = 6;
const PASSAGE_TOKENS = 256;

type Distance = readonly [ours: number, theirs: number];

/** What the script prints of a passage. */
interface Passage {
  readonly mean_nll: number;
  readonly distances: Readonly<Record<string, Distance>>;
}

/** A forward and backward pass at bf16, and how far each side is from float32. */
async function differentiate(engine: CoreEngine, ids: Uint32Array, folder: string): Promise<Passage> {
  using tape = await engine.forward(flatForest([ids]).forest);
  const dLogprobs = new Float32Array(ids.length).fill(-1 / (ids.length - 1));
  dLogprobs[0] = 0;
  await tape.backward({ dLogprobs });
  // Without decay the first moment is the gradient, and a learning rate of 0 leaves the weights as they are.
  const decay = { beta1: 0, beta2: 0, weightDecay: 0 };
  await engine.step({ ...decay, learningRate: 0, epsilon: 1, maxGradNorm: 0 });
  const [saved, told] = [join(folder, "model"), join(folder, "told.json")];
  await engine.save(saved, { optimizer: true });
  await writeFile(told, JSON.stringify({ ids: [...ids], logprobs: [...tape.logprobs.subarray(1)] }));
  const { code, stdout, stderr } = await python([SCRIPT, saved, told]);
  expect({ code, stderr: code === 0 ? "" : stderr }).toEqual({ code: 0, stderr: "" });
  return JSON.parse(stdout);
}

function rootMeanSquare(values: readonly number[]): number {
  return Math.sqrt(values.reduce((sum, value) => sum + value * value, 0) / values.length);
}

function median(values: readonly number[]): number {
  const sorted = values.toSorted((x, y) => x - y);
  return sorted[sorted.length >> 1]!;
}

interface Compared {
  readonly ours: number;
  readonly theirs: number;
  readonly ratio: number;
}

function describe(name: string, { ratio, ours, theirs }: Compared): string {
  return `${name} ${ours.toExponential(1)}, autocast ${theirs.toExponential(1)}, ratio ${ratio.toFixed(2)}`;
}

/** Writes both sides' distances to standard error, and holds ours to PyTorch's. */
async function compare(
  path: string,
  tokensOf: (engine: CoreEngine) => Promise<Uint32Array>,
): Promise<void> {
  await inTemporary(async (folder) => {
    await using engine = await CoreEngine.open(path, { precision: "bf16" });
    const tokens = await tokensOf(engine);
    const passages: Passage[] = [];
    for (let start = 0; passages.length < PASSAGES; start += PASSAGE_TOKENS) {
      const ids = tokens.slice(start, start + PASSAGE_TOKENS);
      expect(ids).toHaveLength(PASSAGE_TOKENS);
      passages.push(await differentiate(engine, ids, folder));
    }
    const compared = new Map(
      Object.keys(passages[0]!.distances).map((name): [string, Compared] => {
        const side = (at: 0 | 1): number =>
          rootMeanSquare(passages.map(({ distances }) => distances[name]![at]));
        const [ours, theirs] = [side(0), side(1)];
        return [name, { ours, theirs, ratio: ours / theirs }];
      }),
    );
    const values = ["log-probabilities", "mean NLL"];
    const gradients = [...compared].filter(([name]) => !values.includes(name));
    const middle = (of: keyof Compared): number => median(gradients.map(([, each]) => each[of]));
    const [farthest, most] = gradients.toSorted(([, x], [, y]) => y.ratio - x.ratio)[0]!;
    const lines = [
      ...values.map((name) => describe(name, compared.get(name)!)),
      describe("gradients, medians:", {
        ours: middle("ours"),
        theirs: middle("theirs"),
        ratio: middle("ratio"),
      }),
      describe(`largest ratio of ${gradients.length}: ${farthest}`, most),
    ];
    process.stderr.write(`Distance from float32 at bf16:\n${lines.join("\n")}\n`);
    expect([...compared].filter(([, { ratio }]) => !(ratio <= FACTOR))).toEqual([]);
  });
}

for (const name of ["mha_tied_f32", "qwen2_bf16"]) {
  Deno.test(`bf16 is at most ${FACTOR} times as far from float32 as PyTorch's autocast in ${name}`, async () => {
    const { cases } = JSON.parse(await readFile(join(TINY, `${name}.json`), "utf8"));
    const tokens = cases.flatMap(({ tokens }: { readonly tokens: readonly number[] }) => tokens);
    await compare(join(TINY, name), () => Promise.resolve(Uint32Array.from(tokens)));
  });
}

const smollm2 = placeOf(CATALOG.get("smollm2-135m")!, "pypi", cacheFolder());
const unfetched = existsSync(smollm2) ? "" : "SKIPPED, fetch smollm2-135m --source pypi: ";

Deno.test({
  name: `${unfetched}bf16 is at most ${FACTOR} times as far from float32 as PyTorch's autocast in SmolLM2`,
  ignore: unfetched !== "",
  async fn() {
    const text = await readFile(LICENSE, "utf8");
    await compare(smollm2, async (engine) => (await engine.encode([text]))[0]!);
  },
});
