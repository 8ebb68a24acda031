import { expect } from "expect";
import { formatMarkdown } from "./results.ts";
import { resultsPage } from "./results_page.ts";
import { chartsOf } from "./charts.ts";
import { scalingReport, speedReport, studyReport } from "./testing/reports.ts";

const NO_GPU = { cuda: null, curves: [], training: null };

Deno.test("the page names the machine, the versions and the commands, and shows the charts that there are", () => {
  const charts = [...chartsOf(studyReport("forest")).keys()];
  const page = resultsPage({
    speed: speedReport(),
    scaling: scalingReport([studyReport("forest"), studyReport("overhead")]),
    ...NO_GPU,
    charts,
  });
  expect(page).toContain("Test, 2 cores, 8 GiB");
  expect(page).toContain("rm-r1 0, torch 2");
  expect(page).toContain("`deno task bench:speed`");
  expect(page).toContain("`deno task bench:scaling`");
  expect(charts).toHaveLength(2);
  for (const name of charts) expect(page).toContain(`](results/${name})`);
});

Deno.test("what is not measured is not on the page", () => {
  expect(resultsPage({ speed: null, scaling: scalingReport([studyReport("batch")]), ...NO_GPU, charts: [] }))
    .not
    .toContain(
      "## Beside the peers",
    );
  expect(resultsPage({ speed: speedReport(), scaling: null, ...NO_GPU, charts: [] })).not.toContain(
    "## How cost grows",
  );
});

Deno.test("the formatter keeps all that the page says, and leaves what it has made", () => {
  const scaling = scalingReport([studyReport("forest"), studyReport("overhead")]);
  const page = resultsPage({
    speed: speedReport(),
    scaling,
    ...NO_GPU,
    charts: ["forest-rate.svg", "forest-memory.svg"],
  });
  const formatted = formatMarkdown(page);
  const words = (text: string): string[] => text.split(/[\s-]+/);
  expect(words(formatted)).toEqual(words(page));
  expect(formatMarkdown(formatted)).toBe(formatted);
});
