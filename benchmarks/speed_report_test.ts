import { expect } from "expect";
import { ROWS } from "./rows.ts";
import {
  formatNumber,
  markdownTable,
  mergeReports,
  type RowReport,
  speedReportSchema,
  TABLE_HEAD,
  tableRows,
} from "./speed_report.ts";
import { refusedReport, rowReport, speedReport } from "./testing/reports.ts";
import { sampleOf } from "./testing/samples.ts";

Deno.test("a report survives its file", () => {
  const whole = speedReport([rowReport("a", 1), refusedReport("b")]);
  expect(speedReportSchema.parse(JSON.parse(JSON.stringify(whole)))).toEqual(whole);
});

Deno.test("a report that lacks something or holds something else is refused", () => {
  const { machine: _, ...rest } = speedReport([]);
  expect(speedReportSchema.safeParse(rest).success).toBe(false);
  expect(speedReportSchema.safeParse({ ...speedReport([]), more: 1 }).success).toBe(false);
  const negative = rowReport("a", 1);
  if (negative.outcome.status !== "measured") throw new Error("not measured");
  const samples = [{ ...sampleOf(1), seconds: -1 }];
  const outcome = { ...negative.outcome, ours: { about: {}, samples } };
  expect(speedReportSchema.safeParse(speedReport([{ ...negative, outcome }])).success).toBe(false);
});

Deno.test("rows measured again take their places", () => {
  const merged = mergeReports(
    speedReport([rowReport("a", 1), refusedReport("b")]),
    speedReport([rowReport("b", 2), rowReport("c", 1)]),
    [
      "c",
      "b",
      "a",
    ],
  );
  expect(merged.rows.map(({ id, outcome }) => `${id} ${outcome.status}`)).toEqual([
    "c measured",
    "b measured",
    "a measured",
  ]);
  const failed: RowReport = { ...rowReport("a", 9), outcome: { status: "failed", reason: "killed" } };
  expect(mergeReports(speedReport([rowReport("a", 1)]), speedReport([failed]), ["a"]).rows).toEqual([
    rowReport("a", 1),
  ]);
  expect(mergeReports(speedReport([]), speedReport([failed]), ["a"]).rows).toEqual([failed]);
  expect(() => mergeReports(speedReport([], "Other"), speedReport([]), [])).toThrow('"Other"');
});

Deno.test("the table tells goals, whether they are met, and what is not available", () => {
  expect(tableRows(rowReport("a", 1))).toEqual([
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
  expect(tableRows(rowReport("a", 1, null))[0]!.slice(-2)).toEqual(["", ""]);
  expect(tableRows(refusedReport("b"))[0]!.at(-1)).toBe("not available: no bf16");
  expect(tableRows(refusedReport("b"))[0]).toHaveLength(TABLE_HEAD.length);
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
