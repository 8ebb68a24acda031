import { expect } from "expect";
import { DOMParser } from "linkedom";
import { readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { withFolder } from "../train/testing/small_run.ts";
import { PAGE_OPENING, renderPage } from "./page.ts";
import { loadPairs } from "./pairs.ts";
import { readRun } from "./read_run.ts";
import {
  BEGAN,
  EXAMPLE_RESULTS,
  exampleIds,
  type ExampleOptions,
  writeExampleRun,
} from "./testing/example_run.ts";

type Document = ReturnType<DOMParser["parseFromString"]>;
type Element = NonNullable<ReturnType<Document["querySelector"]>>;

interface Rendered {
  readonly text: string;
  readonly document: Document;
}

async function render(folder: string, others: readonly string[] = [], traces = 10): Promise<Rendered> {
  const run = await readRun(folder);
  const text = await renderPage({
    run,
    others: await Promise.all(others.map((other) => readRun(other))),
    pairs: await loadPairs(run),
    traces,
    now: BEGAN,
    code: "0.1.0",
  });
  return { text, document: new DOMParser().parseFromString(text, "text/html") };
}

async function renderExample(options: ExampleOptions, use: (page: Rendered) => void): Promise<void> {
  await withFolder(async (folder) => {
    await writeExampleRun(folder, options);
    use(await render(folder));
  });
}

/** The chart of a title within a section. */
function figureOf(document: Document, section: string, title: string): Element {
  const found = [...document.querySelectorAll(`#${section} figure`)].find((figure) =>
    figure.querySelector("h3")!.textContent.trim().startsWith(title)
  );
  if (found === undefined) throw new Error(`No chart "${title}" in section "${section}"`);
  return found;
}

function textsOf(parent: Document | Element, selector: string): string[] {
  return [...parent.querySelectorAll(selector)].map((each) => each.textContent.trim());
}

/** What is text in a table's body, row by row. */
function bodyOf(document: Document, caption: string): string[][] {
  const table = [...document.querySelectorAll("table")].find((each) =>
    each.querySelector("caption")!.textContent === caption
  );
  return [...table!.querySelectorAll("tbody tr")].map((row) => textsOf(row, "th, td"));
}

for (const [steps1, steps2] of [[1, 1], [4, 6], [50, 90]] as const) {
  Deno.test(`a run of ${steps1} and ${steps2} steps has as many points and rows in each chart`, () =>
    renderExample({ steps: [steps1, steps2] }, ({ document }) => {
      const charts = [
        ["stage-1", steps1, ["Loss", "Gradient norm", "Learning rate", "Speed"]],
        ["stage-2", steps2, [
          "Reward",
          "Accuracy of rollouts",
          "Parse rate",
          "KL",
          "Entropy",
          "Response length",
          "Loss",
          "Gradient norm",
          "Learning rate",
          "Speed",
        ]],
      ] as const;
      for (const [section, steps, titles] of charts) {
        for (const title of titles) {
          const figure = figureOf(document, section, title);
          expect(figure.querySelectorAll(".point circle").length).toBe(steps);
          expect(figure.querySelectorAll("tbody tr").length).toBe(steps);
        }
      }
      const titles = textsOf(document, "#stage-2 figure h3");
      expect(titles.some((title) => title.startsWith("Critic") || title.startsWith("Sampler"))).toBe(false);
    }));
}

Deno.test("evaluations have their points with intervals, at the steps that they follow", () =>
  renderExample({ steps: [4, 6] }, ({ document }) => {
    const held = figureOf(document, "accuracy", "Accuracy on held-out pairs");
    expect(held.querySelectorAll(".point circle").length).toBe(3);
    expect(held.querySelectorAll('[aria-label="rule"] line').length).toBe(3);
    expect([...held.querySelectorAll("tbody tr")].map((row) => textsOf(row, "th, td"))).toEqual([
      ["0", "25 [12.5, 62.5]"],
      ["4", "50 [25, 75]"],
      ["10", "75 [37.5, 87.5]"],
    ]);
    const validation = figureOf(document, "accuracy", "Accuracy on validation pairs");
    expect(textsOf(validation, "tbody th")).toEqual(["10"]);
  }));

Deno.test("the page asks for nothing outside itself, and holds no script", () =>
  renderExample({}, ({ text, document }) => {
    expect(text.startsWith(PAGE_OPENING)).toBe(true);
    expect(document.querySelectorAll("script, link, img, iframe, object, embed, form, base").length).toBe(0);
    expect(document.querySelectorAll("[src], [onload], [onerror], [onclick]").length).toBe(0);
    for (const link of document.querySelectorAll("[href]")) {
      expect(document.querySelector(link.getAttribute("href")!)).not.toBeNull();
    }
    expect(text).not.toMatch(/@import|url\(/);
    const policy = document.querySelector('meta[http-equiv="Content-Security-Policy"]')!;
    expect(policy.getAttribute("content")).toContain("default-src 'none'");
  }));

Deno.test("every chart has words and a table beside it, and headings go down by one", () =>
  renderExample({}, ({ document }) => {
    const figures = [...document.querySelectorAll("figure")];
    expect(figures.length).toBeGreaterThan(12);
    for (const figure of figures) {
      const image = figure.querySelector("svg")!.parentElement!;
      expect(image.getAttribute("role")).toBe("img");
      expect(image.getAttribute("aria-label")).toContain(
        figure.querySelector("h3")!.firstChild!.textContent!.trim(),
      );
      expect(figure.querySelectorAll("table caption").length).toBe(1);
    }
    const levels = [...document.querySelectorAll("h1, h2, h3, h4, h5, h6")].map(({ tagName }) =>
      Number(tagName.slice(1))
    );
    expect(levels.filter((level) => level === 1)).toHaveLength(1);
    levels.forEach((level, index) => expect(level).toBeLessThanOrEqual((levels[index - 1] ?? 0) + 1));
    for (const head of document.querySelectorAll("th")) {
      expect(head.getAttribute("scope")).toMatch(/^(row|col)$/);
    }
    const ids = [...document.querySelectorAll("[id]")].map(({ id }) => id);
    expect(new Set(ids).size).toBe(ids.length);
  }));

const HOSTILE = [
  "<script>alert(1)</script>",
  `"><img src=x onerror=alert(1)>`,
  "'--></style></title></textarea><svg onload=alert(1)>",
  "&lt;script&gt;",
];

for (const inserted of HOSTILE) {
  Deno.test(`text of a run stays text: ${inserted}`, () =>
    withFolder(async (folder) => {
      await writeExampleRun(folder, { inserted });
      const plain = join(folder, "plain");
      await writeExampleRun(plain);
      const { document } = await render(folder);
      const { document: harmless } = await render(plain);
      expect(document.querySelectorAll("script, img, [onerror], [onload]").length).toBe(0);
      const names = (of: Document): string[] =>
        [...of.querySelectorAll("#traces *, #ledger *, #evidence *")].map(({ tagName }) => tagName);
      expect(names(document).filter((name) => name !== "TR" && name !== "TH" && name !== "TD"))
        .toEqual(names(harmless).filter((name) => name !== "TR" && name !== "TH" && name !== "TD"));
      const places = {
        header: `embedded${inserted}`,
        "#warnings": `Rewards are all equal${inserted}`,
        "#accuracy": `no-answer${inserted}`,
        "#ledger": `held-out${inserted}`,
        "#traces": `Counts well${inserted}`,
        "#traces .pair h4": `held-0${inserted}`,
        "#traces .pair .text": `How many of held-0${inserted}?${inserted}`,
        "#traces .meta": `eos${inserted}`,
        "#configuration": `key${inserted}`,
        "#evidence": `what${inserted}`,
      };
      for (const [place, words] of Object.entries(places)) {
        expect(textsOf(document, place).join("\n")).toContain(words);
      }
    }));
}

Deno.test("the name of a run stays text, in charts too", () =>
  withFolder(async (folder) => {
    const name = `"><img onerror=alert(1)>&lt;b&gt;`;
    const paths = [name, "other"].map((each) => join(folder, each));
    for (const path of paths) await writeExampleRun(path);
    const { document } = await render(paths[0]!, paths.slice(1));
    expect(document.querySelectorAll("img, [onerror], b").length).toBe(0);
    expect(document.querySelector("h1")!.textContent).toBe(`Run ${name}`);
    const reward = figureOf(document, "stage-2", "Reward");
    expect(reward.querySelector("circle title")!.textContent).toContain(name);
    expect(reward.querySelector("[role=img]")!.getAttribute("aria-label")).toContain(name);
    expect(textsOf(reward, ".legend li")).toEqual([name, "other"]);
  }));

Deno.test("pairs are counted by their course, and those that changed come first", () =>
  renderExample({}, ({ document }) => {
    const courses = bodyOf(document, "What became of each pair");
    expect(courses.map((row) => row.slice(0, 5))).toEqual([
      ["wrong", "right", "right", "yes", "1"],
      ["unreadable", "wrong", "right", "yes", "1"],
      ["right", "wrong", "wrong", "yes", "1"],
      ["right", "right", "right", "no", "1"],
    ]);
    const ids = exampleIds();
    expect(textsOf(document, ".pair h4")).toEqual([ids[1], ids[2], ids[3], ids[0]]);
  }));

Deno.test("a trace is shown as it was written, with its rubric and its quotes marked by what they are", () =>
  withFolder(async (folder) => {
    await writeExampleRun(folder);
    const { document } = await render(folder);
    const run = await readRun(folder);
    const pairs = [...document.querySelectorAll(".pair")];
    expect(pairs).toHaveLength(4);
    for (const pair of pairs) {
      const id = pair.querySelector("h4")!.textContent;
      const index = exampleIds().indexOf(id);
      const traces = [...pair.querySelectorAll(".trace")];
      expect(traces.map((trace) => trace.querySelector(".badge")!.textContent)).toEqual(
        Object.values(EXAMPLE_RESULTS).map((results) => results[index]),
      );
      (["base", "distilled", "final"] as const).forEach((point, at) => {
        const shown = traces[at]!.querySelector(".text")!;
        expect(textsOf(shown, "mark").map((text) => text.slice(-1))).toEqual([")", ")"]);
        expect([...shown.querySelectorAll("mark")].map((mark) => mark.className)).toEqual([
          "quote exact",
          "quote missing",
        ]);
        for (const sign of shown.querySelectorAll(".sign")) sign.remove();
        expect(shown.textContent).toBe(run.judgements[point]!.find((judged) => judged.id === id)!.text);
        expect(textsOf(traces[at]!, "table tbody td")).toEqual(["70\u00a0%", "30\u00a0%"]);
      });
    }
    expect(bodyOf(document, "Quotes of all judgements")).toEqual([
      ["Before training", "4", "4", "0", "4", "0"],
      ["After stage 1", "4", "4", "0", "4", "0"],
      ["At the end", "4", "4", "0", "4", "0"],
    ]);
  }));

Deno.test("without its data, or with other data, a run's traces stand alone and say why", () =>
  withFolder(async (folder) => {
    await writeExampleRun(folder);
    const held = join(folder, "held.jsonl");
    const before = await readFile(held, "utf8");
    await writeFile(held, before.replaceAll("twelve", "eleven"));
    const changed = await render(folder);
    expect(textsOf(changed.document, "#traces .notice").join()).toContain("The data have changed since");
    await rm(held);
    const { document } = await render(folder);
    expect(textsOf(document, "#traces .notice").join()).toContain(`${held}: File not found`);
    for (const page of [changed.document, document]) {
      expect(textsOf(page, ".trace")).toHaveLength(12);
      expect(page.querySelectorAll("mark.unchecked").length).toBe(24 + 1);
      expect(textsOf(page, ".pair h5").some((heading) => heading.startsWith("Answer"))).toBe(false);
    }
  }));

Deno.test("no more pairs are shown than asked for", () =>
  withFolder(async (folder) => {
    await writeExampleRun(folder);
    for (const most of [0, 1, 3]) {
      expect(textsOf((await render(folder, [], most)).document, ".pair")).toHaveLength(most);
    }
  }));

Deno.test("runs side by side have a curve each, their figures, and where they differ", () =>
  withFolder(async (folder) => {
    const paths = ["one", "two", "three"].map((name) => join(folder, name));
    for (const [index, path] of paths.entries()) await writeExampleRun(path, { steps: [4, 6 + index] });
    const { document } = await render(paths[0]!, paths.slice(1));
    const reward = figureOf(document, "stage-2", "Reward");
    expect([...reward.querySelectorAll(".point")].map((points) => points.querySelectorAll("circle").length))
      .toEqual([6, 7, 8]);
    expect(textsOf(reward, ".legend li")).toEqual(["one", "two", "three"]);
    expect([...reward.querySelectorAll("tbody tr")].at(-1)!.textContent).toBe("8––-0.2".replace("-", "−"));
    expect(bodyOf(document, "The runs, accuracy in per cent with 95 % intervals").map(([name]) => name))
      .toEqual(["one", "two", "three"]);
    const keys = bodyOf(document, "Where the configurations differ").map(([key]) => key);
    expect(keys).toEqual(["data.path", "data.evaluationPath"]);
    expect(textsOf(document, "#comparison .notice")).toEqual([]);
  }));

Deno.test("the configuration shows first what differs from the defaults, and then all", () =>
  withFolder(async (folder) => {
    await writeExampleRun(folder);
    const { document } = await render(folder);
    const changed = bodyOf(document, "What differs from the defaults");
    expect(changed.map(([key]) => key)).toEqual([
      "data.kind",
      "data.path",
      "data.evaluationPath",
      "evaluation.examples",
    ]);
    expect(changed.at(-1)).toEqual(["evaluation.examples", "4", "500"]);
    expect(bodyOf(document, "All values")).toContainEqual(["stage2.kl.coefficient", "0.001"]);
    expect(textsOf(document, "#configuration .notice")).toEqual([]);
  }));

Deno.test("a run of an earlier version has its page: another configuration, no ledger, fewer figures", () =>
  withFolder(async (folder) => {
    await writeExampleRun(folder);
    const file = join(folder, "config.json");
    const config = JSON.parse(await readFile(file, "utf8"));
    delete config.judge;
    delete config.stage2.kl;
    config.stage2.beta = 0.001;
    await writeFile(file, JSON.stringify(config));
    await rm(join(folder, "ledger.jsonl"));
    const journal = join(folder, "journal.jsonl");
    const lines = (await readFile(journal, "utf8")).trimEnd().split("\n").map((line) => JSON.parse(line));
    const older = lines.filter((line) => line.at !== "step").map((line) => {
      const { critic: _, sampler: __, ...rest } = line;
      return rest;
    });
    await writeFile(journal, older.map((line) => `${JSON.stringify(line)}\n`).join(""));
    const { document } = await render(folder);
    expect(textsOf(document, "#configuration .notice").join()).toContain('unknown key "stage2.beta"');
    expect(textsOf(document, "#ledger .notice")).toHaveLength(1);
    expect(bodyOf(document, "Examples by what became of them")).toContainEqual(
      ["stage 2", "unparsable", "no-answer", "6", "–"],
    );
    expect(figureOf(document, "stage-2", "KL").querySelectorAll(".point circle").length).toBe(6);
    expect(textsOf(document, ".trace")).toHaveLength(12);
    expect(document.querySelectorAll("mark.exact").length).toBe(12 + 1);
  }));

Deno.test("a run that has only begun has its page", () =>
  withFolder(async (folder) => {
    await writeExampleRun(folder);
    const journal = join(folder, "journal.jsonl");
    const [first] = (await readFile(journal, "utf8")).split("\n");
    await writeFile(journal, `${first}\n`);
    for (const name of ["ledger.jsonl", "provenance.json", "result.json", "evaluations"]) {
      await rm(join(folder, name), { recursive: true });
    }
    const { document } = await render(folder);
    expect(document.querySelectorAll("figure").length).toBe(0);
    expect(textsOf(document, "#accuracy").join()).toContain("Nothing has been evaluated yet");
    expect(textsOf(document, "header .badge")).toEqual(["running"]);
  }));
