import { expect } from "expect";
import { mkdtemp, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import process from "node:process";
import type { Page } from "puppeteer-core";
import { findChromium, openChromium } from "../testing/chromium.ts";
import { HOSTILE, scriptedRun as storedRun } from "../testing/scripted_run.ts";
import { filterCases, type ViewFilter } from "./browser/mod.ts";
import { placeOf, viewData } from "./data.ts";
import { viewPage } from "./page.ts";

const ALL: ViewFilter = { outcome: "", subset: "", order: "", length: "", quotes: "", search: "", sort: "" };

Deno.test("a run becomes cases with their quotes in place", async () => {
  const run = await storedRun(12);
  const { items, cases } = viewData(run);
  expect(cases).toHaveLength(9 * items.length);
  const quotes = cases.flatMap(({ item, better, worse, judgements }) =>
    judgements.flatMap(({ gold, text, quotes = [] }) =>
      quotes.map((quote) => {
        const answer = (quote.side === "A") === (gold === "A") ? better : worse;
        return { quote, said: text.slice(...quote.at), answer: items[item]!.answers[answer]! };
      })
    )
  );
  expect(quotes.length).toBe(2 * run.result.judgements);
  for (const { quote, said, answer } of quotes) {
    if (quote.found === "missing") expect(said).toContain("nothing like it");
    else expect(answer.slice(...quote.in!)).toBe(said);
  }
  expect(quotes.filter(({ quote }) => quote.found === "missing").length).toBeGreaterThan(0);
  const count = (kind: string): number => cases.filter(({ outcome }) => outcome === kind).length;
  expect(cases.filter(({ flip }) => flip)).toHaveLength(run.result.pairwise!.flips);
  expect(count("mixed")).toBe(run.result.pairwise!.flips);
  for (const kind of ["right", "wrong", "unreadable"]) expect(count(kind)).toBeGreaterThan(0);
});

Deno.test("filters keep what they name", async () => {
  const data = viewData(await storedRun(12));
  const list = (filter: Partial<ViewFilter>): number[] => filterCases(data, { ...ALL, ...filter });
  const parts = (["right", "wrong", "mixed", "unreadable"] as const).map((outcome) =>
    list({ outcome }).length
  );
  expect(list({})).toHaveLength(data.cases.length);
  expect(parts.reduce((sum, part) => sum + part, 0)).toBe(data.cases.length);
  expect(list({ outcome: "disagreements" })).toHaveLength(parts[1]! + parts[2]!);
  expect(list({ order: "flip" }).length + list({ order: "steady" }).length).toBe(data.cases.length);
  expect(list({ subset: "math" })).toHaveLength(3 * 9);
  expect(list({ search: "onerror=" }).length).toBeGreaterThanOrEqual(9);
  expect(list({ search: "MATH 1" })).toHaveLength(9);
  expect(list({ search: "[", subset: "nowhere" })).toEqual([]);
  const lead = (index: number): number => {
    const { item, better, worse } = data.cases[index]!;
    return data.items[item]!.answers[better]!.length - data.items[item]!.answers[worse]!.length;
  };
  expect(list({ length: "shorter" }).every((index) => lead(index) < 0)).toBe(true);
  expect(list({ length: "longer" }).every((index) => lead(index) > 0)).toBe(true);
  const sorted = list({ sort: "length" }).map((index) => Math.abs(lead(index)));
  expect(sorted).toEqual(sorted.toSorted((one, two) => two - one));
  const invented = list({ quotes: "invented" });
  expect(invented.length).toBeGreaterThan(0);
  expect(list({ quotes: "true" }).filter((index) => invented.includes(index))).toEqual([]);
});

Deno.test("quotes are found but for case, white space and the form of quotation marks", () => {
  const answer = `He said “Yes,\n  of course (1+1-2/3)”, and left.`;
  expect(answer.slice(...placeOf({ text: `"yes, of COURSE (1+1-2/3)"` }, answer)!)).toBe(
    "Yes,\n  of course (1+1-2/3)",
  );
  expect(placeOf({ text: "of course not" }, answer)).toBeNull();
  expect(placeOf({ text: " “” " }, answer)).toBeNull();
});

/** Chromium, or null with a loud word: then its tests are skipped. */
const CHROMIUM = await findChromium();
if (CHROMIUM === null) process.stderr.write("No Chromium: tests of the page in a browser are skipped\n");

async function inBrowser(html: string, check: (page: Page, url: string) => Promise<void>): Promise<void> {
  const path = join(await mkdtemp(join(tmpdir(), "page-")), "view.html");
  await writeFile(path, html);
  const browser = await openChromium(CHROMIUM!);
  try {
    const page = await browser.newPage();
    const faults: unknown[] = [];
    page.on("pageerror", (error) => faults.push(error));
    page.on("console", (message) => message.type() === "error" && faults.push(message.text()));
    await page.setViewport({ width: 1400, height: 900 });
    await check(page, pathToFileURL(path).href);
    expect(faults).toEqual([]);
  } finally {
    await browser.close();
  }
}

const text = async (page: Page, selector: string): Promise<string> =>
  await page.$eval(selector, (element) => element.textContent ?? "");

Deno.test({
  name: "20,000 judgements are browsed in Chromium by keyboard, filters and search",
  ignore: CHROMIUM === null,
  async fn() {
    const run = await storedRun(1110);
    expect(run.result.judgements).toBeGreaterThan(20_000);
    await inBrowser(await viewPage(run), async (page, url) => {
      await page.goto(url);
      await page.waitForSelector("#list [role=option]");
      // Only rows in sight are there, however many are listed.
      expect(await page.$$eval("#list [role=option]", (rows) => rows.length)).toBeLessThan(60);
      const disagreements = await text(page, "#count");
      expect(disagreements).toMatch(/^[\d,]+ of 10,026 cases$/);
      await page.select("select[name=outcome]", "");
      await page.waitForFunction(`document.getElementById("count").textContent.startsWith("10,026 of")`);
      await page.focus("#list");
      await page.keyboard.press("End");
      const last = "#list [aria-selected=true]";
      expect(await page.$eval(last, (row) => row.getAttribute("aria-posinset"))).toBe("10026");
      expect(await page.$eval("#list", (list) => list.getAttribute("aria-activedescendant"))).toBe(
        "case-10025",
      );
      await page.keyboard.press("ArrowUp");
      expect(await page.$eval(last, (row) => row.getAttribute("aria-posinset"))).toBe("10025");
      await page.keyboard.press("Home");
      expect(await text(page, "#detail h2")).toBe(run.items[0]!.key);

      await page.type("input[name=search]", "onerror=");
      await page.select("select[name=quotes]", "invented");
      await page.waitForFunction(`!document.getElementById("count").textContent.startsWith("10,026")`);
      expect(await page.title()).toBe("scripted on RM-Bench");
      const missing = await page.$$("#judgement mark.missing");
      expect(missing.length).toBe(1);
      expect(await text(page, "#judgement mark.missing")).toContain(HOSTILE);
      expect(await page.$$("#detail img")).toHaveLength(0);
      await page.click("#judgement .quotes button.exact");
      const shown = await page.$$eval("mark.shown", (marks) => marks.map((mark) => mark.textContent));
      expect(shown.length).toBe(2);
      expect(shown[0]).toBe(shown[1]);

      const before = await text(page, "[role=tab][aria-selected=true]");
      await page.focus("[role=tab][aria-selected=true]");
      await page.keyboard.press("ArrowRight");
      expect(await text(page, "[role=tab][aria-selected=true]")).not.toBe(before);
      const address = page.url();
      expect(address).toMatch(/#\d+$/);
      const key = await text(page, "#detail h2");
      await page.reload();
      await page.waitForSelector("#detail h2");
      expect(await text(page, "#detail h2")).toBe(key);
    });
  },
});

Deno.test({
  name: "a page whose data are damaged says so",
  ignore: CHROMIUM === null,
  async fn() {
    const page = (await viewPage(await storedRun(2))).replace(/(id="data">.{200}).{40}/, "$1");
    await inBrowser(page, async (tab, url) => {
      await tab.goto(url);
      await tab.waitForSelector("[role=alert]");
      expect(await text(tab, "[role=alert]")).toContain("This page's data cannot be read");
      expect(await tab.$eval("#browser", (element) => element.hasAttribute("hidden"))).toBe(true);
    });
  },
});
