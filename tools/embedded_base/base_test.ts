import { readdir, stat } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { expect } from "expect";
import { publishedForm } from "../../ts/cor/mod.ts";
import { generateTasks } from "../../ts/data/tasks/mod.ts";
import { CoreEngine } from "../../ts/engine/core/core_engine.ts";
import { evaluate } from "../../ts/train/evaluate.ts";
import { CHAT_TEMPLATE, CONTROL_TOKENS, PROTOCOL_TOKENS } from "./tokenizer.ts";

const FOLDER = fileURLToPath(new URL("../../models/embedded-base", import.meta.url));

Deno.test("the base model takes at most 8 MB", async () => {
  const files = await readdir(FOLDER);
  const sizes = await Promise.all(files.map(async (file) => (await stat(`${FOLDER}/${file}`)).size));
  expect(files).toContain("model.safetensors");
  expect(sizes.reduce((sum, size) => sum + size, 0)).toBeLessThan(8e6);
});

Deno.test("each tag and marker is one token, which only control tokens hide from decoded text", async () => {
  await using engine = await CoreEngine.open(FOLDER);
  for (const token of [...CONTROL_TOKENS, ...PROTOCOL_TOKENS]) {
    const [ids] = await engine.encode([token]);
    expect([token, ids!.length]).toEqual([token, 1]);
    expect(await engine.decode([ids!])).toEqual([CONTROL_TOKENS.includes(token) ? "" : token]);
  }
  expect(engine.info.chatTemplate).toBe(CHAT_TEMPLATE);
});

Deno.test("the base model knows the form of a judgement and nothing of its content", async () => {
  await using engine = await CoreEngine.open(FOLDER);
  const { report } = await evaluate(engine, generateTasks({ seed: 11, split: "test", count: 200 }), {
    kind: "reasrm",
    form: publishedForm("compact"),
    config: { batch: 100, maxNewTokens: 192 },
  });
  expect(report.parseRate.value).toBeGreaterThan(0.97);
  // Three standard deviations of a fair coin.
  expect(Math.abs(report.accuracy.value - 0.5)).toBeLessThan(3 * Math.sqrt(0.25 / 200));
});
