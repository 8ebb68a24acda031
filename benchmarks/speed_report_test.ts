import { expect } from "expect";
import { ROWS } from "./rows.ts";
import {
  formatNumber,
  markdownTable,
  mergeReports,
  type RowReport,
  type SpeedReport,
  speedReportSchema,
  TABLE_HEAD,
  tableRows,
} from "./speed_report.ts";
import { compare, type Goal } from "./statistics.ts";
import { sampleOf } from "./testing/samples.ts";

const MACHINE = { cpu: "Test", cores: 2, memoryBytes: 2 ** 33, system: "linux x64" };

function row(id: string, seconds: number, goal: Goal | null = { atLeast: 2 }): RowReport {
  const [ours, peer] = [[sampleOf(seconds)], [sampleOf(3)]];
  return {
    id,
    work: `work of ${id}`,
    peer: "PyTorch",
    outcome: {
      status: "measured",
      ours: { about: { "rm-r1": "0" }, samples: ours },
      peer: { about: { torch: "2" }, samples: peer },
      comparisons: [
        compare({ kind: "step", goal }, ours, peer),
        compare({ kind: "memory", goal: { atMost: 0.5 } }, ours, peer),
      ],
    },
    measuredAt: "2026-01-02T03:04:05.000Z",
    code: "0",
    threads: 2,
    repetitions: 1,
    rest: { busyShare: 0, loadAverage: 0.1 },
  };
}

function report(rows: readonly RowReport[], cpu = "Test"): SpeedReport {
  return { kind: "speed", machine: { ...MACHINE, cpu }, command: "deno task bench:speed", rows };
}

const REFUSED: RowReport = { ...row("b", 1), outcome: { status: "not available", reason: "no bf16" } };

Deno.test("a report survives its file", () => {
  const whole = report([row("a", 1), REFUSED]);
  expect(speedReportSchema.parse(JSON.parse(JSON.stringify(whole)))).toEqual(whole);
});

Deno.test("a report that lacks something or holds something else is refused", () => {
  const { machine: _, ...rest } = report([]);
  expect(speedReportSchema.safeParse(rest).success).toBe(false);
  expect(speedReportSchema.safeParse({ ...report([]), more: 1 }).success).toBe(false);
  const negative = row("a", 1);
  if (negative.outcome.status !== "measured") throw new Error("not measured");
  const samples = [{ ...sampleOf(1), seconds: -1 }];
  const outcome = { ...negative.outcome, ours: { about: {}, samples } };
  expect(speedReportSchema.safeParse(report([{ ...negative, outcome }])).success).toBe(false);
});

Deno.test("rows measured again take their places", () => {
  const merged = mergeReports(report([row("a", 1), REFUSED]), report([row("b", 2), row("c", 1)]), [
    "c",
    "b",
    "a",
  ]);
  expect(merged.rows.map(({ id, outcome }) => `${id} ${outcome.status}`)).toEqual([
    "c measured",
    "b measured",
    "a measured",
  ]);
  expect(() => mergeReports(report([], "Other"), report([]), [])).toThrow('"Other"');
});

Deno.test("the table tells goals, whether they are met, and what is not available", () => {
  expect(tableRows(row("a", 1))).toEqual([
    [
      "work of a",
      "step, s",
      "1.00 / 1.00 / 1.00",
      "PyTorch 3.00 / 3.00 / 3.00",
      "3.00 × (3.00 – 3.00)",
      "≥ 2 ×",
      "met",
    ],
    [
      "",
      "memory, GB",
      "1.00 / 1.00 / 1.00",
      "1.00 / 1.00 / 1.00",
      "1.00 × (1.00 – 1.00)",
      "≤ 0.5 ×",
      "missed",
    ],
  ]);
  expect(tableRows(row("a", 1, null))[0]!.slice(-2)).toEqual(["", ""]);
  expect(tableRows(REFUSED)[0]!.at(-1)).toBe("not available: no bf16");
  expect(tableRows(REFUSED)[0]).toHaveLength(TABLE_HEAD.length);
});

Deno.test("numbers have three significant digits", () => {
  const numbers = [0, 0.01234, 0.5, 1, 12.345, 123.4, 1234.5].map(formatNumber);
  expect(numbers).toEqual(["0", "0.0123", "0.500", "1.00", "12.3", "123", "1235"]);
});

Deno.test("a Markdown table is aligned and keeps its columns", () => {
  expect(markdownTable(["a", "long"], [["x|y", "1\n2"]])).toBe(
    "| a    | long |\n| ---- | ---- |\n| x\\|y | 1 2  |\n",
  );
});

Deno.test("every row of the comparison has an id and a metric, and processes of one repetition where it needs them", () => {
  expect(new Set(ROWS.map(({ id }) => id)).size).toBe(ROWS.length);
  for (const { metrics, lifetime } of ROWS) {
    expect(metrics.length).toBeGreaterThan(0);
    if (metrics.some(({ kind }) => kind === "process")) expect(lifetime).toBe("repetition");
  }
});
