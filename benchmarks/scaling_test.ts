import { expect } from "expect";
import fc from "fast-check";
import { chartsOf } from "./charts.ts";
import { flatBatches } from "./ours/update.ts";
import { jobOf, pointsOf, STUDIES } from "./scaling_points.ts";
import { mergeStudies, outcomeOf, type PointOutcome, scalingReportSchema } from "./scaling_report.ts";
import { scalingTable } from "./scaling_table.ts";
import { scalingReport, studyReport } from "./testing/reports.ts";
import { sampleOf } from "./testing/samples.ts";

Deno.test("a job's inputs are the warm-up and every repetition, in the point's shape", () => {
  for (const name of STUDIES) {
    for (
      const point of pointsOf(name, 2).filter(({ promptTokens, newTokens }) =>
        promptTokens + newTokens < 1000
      )
    ) {
      const { inputs } = jobOf(point, { precision: "f32", repetitions: 2 });
      expect(inputs).toHaveLength(3);
      const { work, prompts, rollouts, promptTokens, newTokens } = point;
      const own = {
        update: [promptTokens, ...new Array<number>(rollouts).fill(newTokens)],
        sft_step: [promptTokens + newTokens],
        grpo_step: [promptTokens],
      }[work];
      const expected = Array.from({ length: prompts }, () => own).flat();
      expect(inputs[1]!.map((ids) => ids.length)).toEqual(expected);
      expect(inputs[0]!).toHaveLength(expected.length);
      expect(inputs[1]).not.toEqual(inputs[2]);
    }
  }
});

Deno.test("forest and flat stand beside each other at every point", () => {
  const key = ({ promptTokens, rollouts }: { promptTokens: number; rollouts: number }): string =>
    `${promptTokens} ${rollouts}`;
  const points = pointsOf("forest", 2);
  const of = (layout: string): string[] => points.filter((point) => point.layout === layout).map(key);
  expect(of("forest")).toEqual(of("flat"));
  expect(new Set(of("flat")).size).toBe(24);
});

Deno.test("a flat batch holds every sequence whole, within the budget where it can", () => {
  const lengths = fc.array(fc.tuple(fc.integer({ min: 1, max: 20 }), fc.integer({ min: 1, max: 20 })), {
    minLength: 1,
  });
  fc.assert(fc.property(lengths, fc.integer({ min: 1, max: 60 }), (sizes, budget) => {
    const sequences = sizes.map(([prompt, response]) => ({
      prompt: new Uint32Array(prompt),
      response: new Uint32Array(response).fill(1),
    }));
    const batches = [...flatBatches(sequences, budget)];
    expect(batches.flatMap((batch) => batch.sequences)).toEqual(sequences);
    for (const { sequences: own, layout, select } of batches) {
      expect(own.length === 1 || layout.forest.tokens.length <= budget).toBe(true);
      expect([...layout.forest.parents].every((parent) => parent === -1)).toBe(true);
      // Responses are made of ones here, prompts of zeros.
      expect([...select]).toEqual([...layout.forest.tokens]);
    }
  }));
});

Deno.test("a point is summed up by its samples", () => {
  expect(outcomeOf([sampleOf(1), sampleOf(4, { peakBytes: 5e9, overheadSeconds: 0.09 })])).toEqual({
    status: "measured",
    seconds: { min: 1, median: 2.5, max: 4 },
    tokensPerSecond: { min: 25, median: 62.5, max: 100 },
    peakBytes: 5e9,
    overheadShare: expect.closeTo(0.02),
  });
  const { overheadSeconds: _, ...without } = sampleOf(1);
  expect(() => outcomeOf([without])).toThrow(RangeError);
});

Deno.test("a report survives its file, and studies measured again take their places", () => {
  const failed: PointOutcome = { status: "failed", reason: "out of memory" };
  const whole = scalingReport([studyReport("sequence"), studyReport("overhead", failed)]);
  expect(scalingReportSchema.parse(JSON.parse(JSON.stringify(whole)))).toEqual(whole);
  const merged = mergeStudies(whole, scalingReport([studyReport("overhead"), studyReport("batch")]));
  expect(merged.studies.map(({ study, points }) => `${study} ${points[0]!.outcome.status}`)).toEqual([
    "sequence measured",
    "batch measured",
    "overhead measured",
  ]);
});

Deno.test("the overhead is compared with its goal", () => {
  expect(scalingTable(studyReport("overhead"))).toContain("1.00 %, met (< 2 %)");
  const slow = outcomeOf([sampleOf(1, { overheadSeconds: 0.02 })]);
  expect(scalingTable(studyReport("overhead", slow))).toContain("2.00 %, missed (< 2 %)");
  expect(scalingTable(studyReport("batch", { status: "failed", reason: "out of memory" }))).toContain(
    "failed: out of memory",
  );
});

Deno.test("every study but the overhead is drawn, the same each time", () => {
  for (const name of STUDIES) {
    const charts = chartsOf(studyReport(name));
    expect([...charts.keys()]).toEqual(name === "overhead" ? [] : [`${name}-rate.svg`, `${name}-memory.svg`]);
    for (const svg of charts.values()) {
      expect(svg.startsWith("<svg ")).toBe(true);
      expect(svg.match(/<svg\b/g)).toHaveLength(1);
      expect(svg).toContain('xmlns="http://www.w3.org/2000/svg"');
    }
    expect(chartsOf(studyReport(name))).toEqual(charts);
  }
  expect(chartsOf(studyReport("batch", { status: "failed", reason: "" })).size).toBe(0);
});
