import { expect } from "expect";
import { measureRow } from "./measure.ts";
import { scriptedSide } from "./testing/samples.ts";
import { UnavailableError } from "./unavailable.ts";
import { WorkerError } from "./worker_process.ts";

const METRICS = [{ kind: "step", goal: { atLeast: 2 } }] as const;

Deno.test("lasting processes are measured in turn", async () => {
  const log: string[] = [];
  const sides = {
    ours: scriptedSide("ours", log, () => 1),
    peer: scriptedSide("peer", log, (repetition) => 2 + repetition),
  };
  const outcome = await measureRow(sides, {
    lifetime: "row",
    repetitions: 3,
    discarded: 0,
    metrics: METRICS,
  });
  expect(log).toEqual([
    "ours start 0,1,2",
    "peer start 0,1,2",
    ...["ours 0", "peer 0", "ours 1", "peer 1", "ours 2", "peer 2"],
    "peer end",
    "ours end",
  ]);
  expect(outcome).toMatchObject({
    status: "measured",
    ours: { about: { name: "ours" } },
    comparisons: [{ ratio: { min: 2, median: 3, max: 4 }, met: true }],
  });
});

Deno.test("processes of one repetition are never alive together, and their time is taken", async () => {
  const log: string[] = [];
  const pairs: number[] = [];
  const outcome = await measureRow({
    ours: scriptedSide("ours", log, () => 1),
    peer: scriptedSide("peer", log, () => 1),
  }, {
    lifetime: "repetition",
    repetitions: 1,
    discarded: 1,
    metrics: METRICS,
    onPair: (repetition) => pairs.push(repetition),
  });
  const round = (at: number): string[] =>
    ["ours", "peer"].flatMap((name) => [`${name} start ${at}`, `${name} ${at}`, `${name} end`]);
  expect(log).toEqual([...round(0), ...round(1)]);
  expect(pairs).toEqual([0]);
  if (outcome.status !== "measured") throw new Error(outcome.reason);
  expect(outcome.ours.samples).toHaveLength(1);
  expect(outcome.ours.samples[0]!.processSeconds).toBe(7);
});

Deno.test("what a side cannot do is told, and the other side is ended", async () => {
  const log: string[] = [];
  const ours = scriptedSide("ours", log, () => 1);
  const options = { lifetime: "row", repetitions: 1, discarded: 0, metrics: METRICS } as const;
  const refusing = { start: () => Promise.reject(new UnavailableError("no such precision")) };
  expect(await measureRow({ ours, peer: refusing }, options)).toEqual({
    status: "not available",
    reason: "no such precision",
  });
  expect(log.at(-1)).toBe("ours end");
  const dying = { start: () => Promise.reject(new WorkerError("killed")) };
  expect(await measureRow({ ours: dying, peer: ours }, options)).toEqual({
    status: "failed",
    reason: "killed",
  });
  const broken = { start: () => Promise.reject(new TypeError("a fault of the harness")) };
  await expect(measureRow({ ours: broken, peer: ours }, options)).rejects.toThrow(TypeError);
});
