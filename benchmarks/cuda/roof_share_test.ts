import { expect } from "expect";
import { shapeOf } from "../shapes.ts";
import { sampleOf } from "../testing/samples.ts";
import { decodingBytes, trainingFlops } from "./costs.ts";
import { type Roof, roofShare } from "./roof_share.ts";
import { cudaRows } from "./rows.ts";

const about = {};

Deno.test("work at the roof has the share 1, and half the speed has half", () => {
  for (const row of cudaRows("full").filter(({ roof }) => roof !== null)) {
    const { kind } = row.roof!;
    const meanContext = 1000;
    const shape = shapeOf(row.shape);
    const rate = kind === "arithmetic"
      ? 100 * trainingFlops(shape, row.inputs.tokens)
      : 100 / row.inputs.count * decodingBytes(shape, row.inputs.count, meanContext);
    const roof: Roof = { kind, rate, source: "test" };
    const side = (seconds: number) => ({ about, samples: [sampleOf(seconds, { meanContext })] });
    const share = roofShare(row, roof, { ours: side(1), peer: side(2) });
    expect(share.ours.median).toBeCloseTo(1, 12);
    expect(share.peer.median).toBeCloseTo(0.5, 12);
    expect(share.met).toBe(row.roof!.goal === null ? null : true);
  }
});

Deno.test("a rollout without its context is refused", () => {
  const row = cudaRows("full").find(({ roof }) => roof?.kind === "bandwidth")!;
  const side = { about, samples: [sampleOf(1)] };
  const roof: Roof = { kind: "bandwidth", rate: 1, source: "test" };
  expect(() => roofShare(row, roof, { ours: side, peer: side })).toThrow("mean context");
});

Deno.test("both sizes have the same rows, each with a file", async () => {
  const [full, tiny] = [cudaRows("full"), cudaRows("tiny")];
  expect(tiny.map(({ id }) => id)).toEqual(full.map(({ id }) => id));
  expect(new Set(full.map(({ id }) => id)).size).toBe(full.length);
  for (const { script } of full) {
    expect((await Deno.stat(new URL(script, import.meta.url))).isFile).toBe(true);
  }
});
