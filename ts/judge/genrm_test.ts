import { expect } from "expect";
import { fileURLToPath } from "node:url";
import { publishedForm } from "../cor/mod.ts";
import { generateTasks } from "../data/mod.ts";
import { CoreEngine, forestOf, gather } from "../engine/mod.ts";
import { RmR1Judge } from "./rm_r1_judge.ts";

const BASE = fileURLToPath(new URL("../../models/embedded-base", import.meta.url));
const inputs = generateTasks({ seed: 3, split: "test", count: 4 }).map((
  { conversation, chosen: a, rejected: b },
) => ({
  conversation,
  a,
  b,
}));

Deno.test("the probability of a verdict is that of its tokens behind what was written, against the other's", async () => {
  await using engine = await CoreEngine.open(BASE);
  const judge = new RmR1Judge(engine, { ...publishedForm("compact"), maxNewTokens: 192 });
  let compared = 0;
  for await (const { index, answer } of judge.judge(inputs, { probability: true })) {
    const { outcome, text, probabilityA } = answer!;
    if (outcome.kind !== "A" && outcome.kind !== "B") continue;
    // The judge is greedy, and its verdict is at the end: what it wrote is the likelier of the two.
    expect(probabilityA! > 0.5 ? "A" : "B").toBe(outcome.kind);
    const prompt = (await engine.encode([
      engine.renderChat(judge.render(inputs[index]!), { addGenerationPrompt: true }),
    ]))[0]!;
    const before = text.slice(0, text.lastIndexOf("[[") + 2);
    const sides = await engine.encode(["A", "B"].map((side) => `${before}${side}]]</answer>`));
    const { forest, maps } = forestOf(sides.map((tokens) => Uint32Array.of(...prompt, ...tokens)));
    const logprobs = await engine.logprobs(forest);
    const [a, b] = maps.map((map) =>
      Math.exp(gather(map.subarray(prompt.length), logprobs).reduce((sum, value) => sum + value, 0))
    );
    expect(probabilityA).toBeCloseTo(a! / (a! + b!), 4);
    compared++;
  }
  expect(compared).toBeGreaterThan(2);
});

Deno.test("probabilities are given where the verdict is all that is written, and else where they are asked for", async () => {
  await using engine = await CoreEngine.open(BASE);
  for (const [kind, given] of [["genrm", true], ["reasrm", false]] as const) {
    const judge = new RmR1Judge(engine, { ...publishedForm("compact"), kind, maxNewTokens: 192 });
    for await (const { answer } of judge.judge(inputs.slice(0, 2))) {
      const isRead = answer!.outcome.kind === "A" || answer!.outcome.kind === "B";
      expect(answer!.probabilityA !== undefined).toBe(given && isRead);
    }
  }
});

Deno.test("a verdict behind a given rationale is as likely as behind the same one where it was written", async () => {
  await using engine = await CoreEngine.open(BASE);
  const judge = new RmR1Judge(engine, { ...publishedForm("compact"), maxNewTokens: 192 });
  const given: { input: (typeof inputs)[number]; rationale: string; probabilityA: number }[] = [];
  for await (const { index, answer } of judge.judge(inputs, { probability: true })) {
    const { text, probabilityA } = answer!;
    if (probabilityA === undefined) continue;
    given.push({
      input: inputs[index]!,
      rationale: text.slice(0, text.lastIndexOf("<answer>")),
      probabilityA,
    });
  }
  expect(given.length).toBeGreaterThan(1);
  let compared = 0;
  for await (const { index, answer } of judge.verdictsGiven(given)) {
    expect(answer).toBeCloseTo(given[index]!.probabilityA, 6);
    compared++;
  }
  expect(compared).toBe(given.length);
  for await (
    const { index, answer } of judge.continued(
      given.map(({ input, rationale }) => ({ input, prefix: rationale })),
    )
  ) {
    expect(answer).toEqual({ kind: given[index]!.probabilityA > 0.5 ? "A" : "B" });
  }
});
