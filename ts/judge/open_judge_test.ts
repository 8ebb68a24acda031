import { expect } from "expect";
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { openJudge } from "./open_judge.ts";
import { ScriptedEngine } from "./scripted_engine.ts";
import { hashModel } from "./weights_hash.ts";

const openEngine = (path: string): Promise<ScriptedEngine> =>
  Promise.resolve(new ScriptedEngine(() => "", { name: path }));

async function folder(files: Record<string, string>): Promise<string> {
  const path = await Deno.makeTempDir();
  for (const [name, content] of Object.entries(files)) await writeFile(join(path, name), content);
  return path;
}

Deno.test("openJudge opens the baselines without an engine", async () => {
  const refuse = (): never => {
    throw new Error("No engine is needed");
  };
  for (const spec of ["baseline:longest", "baseline:shortest", "baseline:random:12"]) {
    const judge = await openJudge(spec, { openEngine: refuse });
    expect([judge.name, judge.identity]).toEqual([spec, spec]);
  }
});

Deno.test("openJudge names what it understands when a judge is unknown", async () => {
  const specs = [
    "baseline:longer",
    "baseline:random",
    "baseline:random:x",
    "baseline:random:1:2",
    "/no/such/model",
  ];
  for (const spec of [...specs, "baseline:longest:3", ""]) {
    await expect(openJudge(spec, { openEngine })).rejects.toThrow(
      `Unknown judge "${spec}", expected a model folder or GGUF file, baseline:longest, baseline:shortest, ` +
        "baseline:random:SEED",
    );
  }
});

Deno.test("openJudge takes the protocol from the checkpoint unless one is given", async () => {
  const path = await folder({ "rmr1.json": '{"protocol":"reasoning","more":1}', "model.safetensors": "w" });
  const [own, given] = [
    await openJudge(path, { openEngine }),
    await openJudge(path, { openEngine, protocol: "compact" }),
  ];
  expect(JSON.parse(own.identity)).toMatchObject({ protocol: "reasoning", weights: await hashModel(path) });
  expect(JSON.parse(given.identity)).toMatchObject({ protocol: "compact" });
});

Deno.test("openJudge says what is wrong with a checkpoint's protocol", async () => {
  const cases: [Record<string, string>, string][] = [
    [{}, "it has no rmr1.json"],
    [{ "rmr1.json": "{" }, "is not JSON"],
    [{ "rmr1.json": "null" }, "has protocol undefined"],
    [{ "rmr1.json": '{"protocol":"resoning"}' }, 'has protocol "resoning", expected one of "instruct"'],
  ];
  for (const [files, message] of cases) {
    await expect(openJudge(await folder(files), { openEngine })).rejects.toThrow(message);
  }
});

Deno.test("hashModel follows the content of a model's files and not its place", async () => {
  const files = { "config.json": "{}", "model.safetensors": "weights" };
  const hash = await hashModel(await folder(files));
  expect(await hashModel(await folder(files))).toBe(hash);
  expect(
    await hashModel(
      await folder({ ...files, "optimizer.safetensors": "state", "rmr1.json": "{}", "manifest.json": "{}" }),
    ),
  )
    .toBe(hash);
  const nested = await folder(files);
  await mkdir(join(nested, "sub.json"));
  expect(await hashModel(nested)).toBe(hash);
  expect(await hashModel(await folder({ ...files, "model.safetensors": "Weights" }))).not.toBe(hash);
  expect(await hashModel(await folder({ "config.json": "{}", "other.safetensors": "weights" }))).not.toBe(
    hash,
  );
  expect(await hashModel(join(nested, "config.json"))).toMatch(/^sha256:44136fa355b3678a1146ad16f7e8649e/);
});

Deno.test("openJudge takes the kind of judge and its chain from the checkpoint", async () => {
  const card = (more: object): Record<string, string> => ({
    "rmr1.json": JSON.stringify({ protocol: "compact", ...more }),
    "model.safetensors": "w",
  });
  const identityOf = async (more: object): Promise<Record<string, unknown>> =>
    JSON.parse((await openJudge(await folder(card(more)), { openEngine })).identity);
  expect(await identityOf({})).not.toHaveProperty("kind");
  expect(await identityOf({ judge: "genrm" })).toMatchObject({ kind: "genrm" });
  const chain = { rubrics: false, taskTypes: true };
  expect(await identityOf({ judge: "reasrm", chain })).toMatchObject({ chain });
  await expect(identityOf({ judge: "scalar" })).rejects.toThrow(
    'has judge "scalar", expected one of "reasrm"',
  );
  await expect(identityOf({ chain: { rubrics: 1 } })).rejects.toThrow('expected "rubrics" and "taskTypes"');
});

Deno.test("openJudge opens what has a score head as a scalar judge, by its card or without one", async () => {
  const scoring = (path: string): Promise<ScriptedEngine> =>
    Promise.resolve(new ScriptedEngine(() => "", { name: path, hasScoreHead: true }));
  const carded = await folder({
    "rmr1.json": '{"protocol":"compact","judge":"scalarrm"}',
    "model.safetensors": "w",
  });
  const bare = await folder({ "model.safetensors": "w" });
  for (const path of [carded, bare]) {
    const judge = await openJudge(path, { openEngine: scoring });
    expect(JSON.parse(judge.identity)).toMatchObject({ judge: "scalar" });
  }
  expect(JSON.parse((await openJudge(bare, { openEngine: scoring, protocol: "instruct" })).identity).judge)
    .toBe("rm-r1");
  await expect(openJudge(carded, { openEngine })).rejects.toThrow("has no score head");
});
