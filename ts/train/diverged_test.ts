import { expect } from "expect";
import { join } from "node:path";
import { EngineError } from "../engine/mod.ts";
import { asDiverged, DivergedError } from "./diverged.ts";
import { opener, smallConfig, withFolder } from "./testing/small_run.ts";
import { train } from "./train.ts";

/** Beyond what f32 holds after one step. */
const FATAL = { learningRate: 1e39, warmupSteps: 0 };

async function failure(changes: Record<string, unknown>): Promise<string> {
  return await withFolder(async (folder) => {
    const run = train(smallConfig(changes), { runDirectory: join(folder, "run"), openEngine: opener() });
    return await run.then(() => "", (error: Error) => `${error.name}: ${error.message}`);
  });
}

Deno.test("a learning rate that diverges is named, with the checkpoint there is", async () => {
  expect(await failure({ stage1: { optimizer: FATAL }, stage2: null })).toMatch(
    /^RunError: Stage 1 diverged at step 2: The log-probability of token \d+ of a sequence is "NaN"; lower "stage1\.optimizer\.learningRate"\. There is no checkpoint of this stage$/,
  );
  expect(await failure({ stage1: { optimizer: FATAL }, stage2: null, checkpoint: { every: 1 } })).toMatch(
    /The checkpoint of step 1 is whole, though its weights may be on that way$/,
  );
});

Deno.test("a critic's learning rate that diverges is named as its own", async () => {
  const stage2 = { algorithm: "ppo", steps: 3, rollouts: 1, maxNewTokens: 30, critic: { optimizer: FATAL } };
  expect(await failure({ stage1: null, stage2 })).toMatch(
    /^RunError: Stage 2 diverged at step \d: A value of the critic is ".*"; lower "stage2\.critic\.optimizer\.learningRate"/,
  );
});

Deno.test("what an engine says of numbers that are not finite is a divergence, and nothing else it says", () => {
  const cause = new EngineError("not-finite", "The gradient norm is NaN");
  expect(asDiverged(cause, "critic.optimizer")).toMatchObject({
    message: cause.message,
    optimizer: "critic.optimizer",
    cause,
  });
  expect(asDiverged(new EngineError("input", "no"))).toBeNull();
  const known = new DivergedError("x");
  expect(asDiverged(known, "critic.optimizer")).toBe(known);
});
