/// <reference lib="dom" />
import axe from "axe-core";
import { expect } from "expect";
import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { availableParallelism, tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { fileURLToPath, pathToFileURL } from "node:url";
import { promisify } from "node:util";
import type { ElementHandle, Page } from "puppeteer-core";
import { findChromium, ISOLATION, openChromium } from "../harness/testing/chromium.ts";
import { scriptedRun } from "../harness/testing/scripted_run.ts";
import { viewPage } from "../harness/view/page.ts";
import { needsPackage } from "../tools/installed_package.ts";
import { SMOLLM2 } from "../ts/models/testing/smollm2.ts";

const ROOT = fileURLToPath(new URL("../", import.meta.url));
const BASE = join(ROOT, "models", "embedded-base");
const CHROMIUM = await findChromium();

async function status(page: Page, words: string): Promise<void> {
  const seen = (words: string): boolean => document.getElementById("status")!.textContent!.includes(words);
  await page.waitForFunction(seen, { timeout: 60_000 }, words).catch(async () => {
    const found = await page.$eval("#status", (element) => element.textContent);
    throw new Error(`The page says "${found}", expected "${words}"`);
  });
}

async function choose(page: Page, files: readonly string[]): Promise<void> {
  await page.select("#source", "files");
  const input = await page.$("#files") as ElementHandle<HTMLInputElement>;
  await input.uploadFile(...files);
  await page.click("#load");
}

Deno.test(
  "the page opens from the disk, loads a model, judges, cancels and says what is wrong",
  { ignore: needsPackage().ignore || CHROMIUM === null },
  async (test) => {
    await promisify(execFile)(process.execPath, ["task", "--quiet", "web"], { cwd: ROOT });
    const browser = await openChromium(CHROMIUM!);
    try {
      const page = await browser.newPage();
      const problems: string[] = [];
      page.on("pageerror", (error) => problems.push(String(error)));
      page.on("console", (message) => {
        if (message.type() === "error") problems.push(message.text());
      });
      await page.goto(pathToFileURL(join(ROOT, "target", "web", "index.html")).href);
      await page.waitForSelector("html[data-ready]");

      await test.step("a judge's files, by keyboard", async () => {
        await page.select("#protocol", "compact");
        await choose(page, (await readdir(BASE)).map((name) => join(BASE, name)));
        await status(page, "Ready: ");
        await status(page, "simd128");
        await page.focus("#judge");
        await page.keyboard.press("Enter");
        await status(page, "Judged in");
        const focused = await page.evaluate(() => document.activeElement!.id);
        expect(focused).toBe("verdict");
        const trace = await page.$eval("#trace", (element) => element.textContent);
        expect(trace).toContain("<type>Reasoning</type>");
        const verdict = await page.$eval("#verdict", (element) => element.textContent);
        expect(verdict).toMatch(/^(Answer [AB] is the better one|No verdict: )/);
        expect(await page.$$eval(".quotes li", (items) => items.length)).toBeGreaterThan(0);
      });

      await test.step("an accessibility checker finds nothing, in light and dark", async () => {
        for (const value of ["light", "dark"]) {
          await page.emulateMediaFeatures([{ name: "prefers-color-scheme", value }]);
          const found = await page.evaluate(`(async () => {
            ${axe.source};
            return (await axe.run()).violations.map(({ id, nodes }) => [id, nodes.map(({ html }) => html)]);
          })()`);
          expect(found).toEqual([]);
        }
      });

      await test.step("a file that is no model", async () => {
        await choose(page, [join(BASE, "README.md")]);
        await status(page, "Holds no config.json");
        expect(await page.$eval("#judge", (button) => (button as HTMLButtonElement).disabled)).toBe(true);
      });

      await test.step("a URL that does not answer", async () => {
        await page.select("#source", "url");
        await page.type("#url", "http://127.0.0.1:9/model.gguf");
        await page.click("#load");
        await status(page, 'Cannot download "http://127.0.0.1:9/model.gguf"');
        // The browser reports the refused connection itself.
        expect(problems.splice(0).every((problem) => problem.includes("ERR_"))).toBe(true);
      });

      await test.step({
        name: "SmolLM2 streams, and is cancelled",
        ignore: !existsSync(SMOLLM2),
        fn: async () => {
          await page.select("#protocol", "instruct");
          await page.select("#precision", "int8");
          await choose(page, [SMOLLM2]);
          await status(page, "Ready: ");
          await page.click("#judge");
          await page.waitForFunction(() => document.getElementById("trace")!.textContent!.length > 40, {
            timeout: 60_000,
          });
          await page.click("#cancel");
          await status(page, "Cancelled");
          expect(await page.$eval("#judge", (button) => (button as HTMLButtonElement).disabled)).toBe(false);
        },
      });

      await test.step("a run of the harness, twice, and files that are none", async () => {
        const folder = await mkdtemp(join(tmpdir(), "rm-r1-web-"));
        const [run, damaged] = [join(folder, "view.html"), join(folder, "damaged.html")];
        const written = await viewPage(await scriptedRun(6));
        await writeFile(run, written);
        await writeFile(damaged, written.replace(/(id="data">.{200}).{40}/, "$1"));
        const input = await page.$("#run-file") as ElementHandle<HTMLInputElement>;
        for (const _ of [1, 2]) {
          await input.uploadFile(run);
          await page.waitForFunction(() => document.activeElement!.id === "run-title");
          expect(await page.$eval("#run-title", (element) => element.textContent)).toBe(
            "scripted on RM-Bench",
          );
          await page.select("select[name=outcome]", "");
          await page.waitForFunction(() =>
            /^(\d+) of \1 cases$/.test(document.getElementById("count")!.textContent!)
          );
          expect(await page.$$eval("#detail mark", (marks) => marks.length)).toBeGreaterThan(0);
        }
        for (
          const [file, words] of [[damaged, "is damaged"], [join(BASE, "README.md"), "holds no run"]] as const
        ) {
          await input.uploadFile(file);
          await page.waitForFunction(
            (words) => document.getElementById("run-status")!.textContent!.includes(words),
            { timeout: 5000 },
            words,
          );
        }
        await rm(folder, { recursive: true });
      });

      await test.step("served so that memory may be shared it computes on several threads", async () => {
        const content = await readFile(join(ROOT, "target", "web", "index.html"));
        const headers = { "content-type": "text/html", ...ISOLATION };
        const server = Deno.serve({ port: 0, onListen: () => {} }, () => new Response(content, { headers }));
        const isolated = await browser.newPage();
        await isolated.goto(`http://127.0.0.1:${(server.addr as Deno.NetAddr).port}/`);
        await isolated.waitForSelector("html[data-ready]");
        await isolated.select("#protocol", "compact");
        await choose(isolated, (await readdir(BASE)).map((name) => join(BASE, name)));
        const threads = Math.min(8, availableParallelism());
        await status(isolated, `Ready: model.safetensors, on cpu (${threads} thread`);
        await isolated.click("#judge");
        await status(isolated, "Judged in");
        await isolated.close();
        await server.shutdown();
      });

      await test.step("every field has a name, for who hears the page", async () => {
        const nameless = await page.$$eval(
          "input, select, textarea, button",
          (fields) =>
            fields.filter((field) => field.closest("label") === null && field.textContent === "").length,
        );
        expect(nameless).toBe(0);
      });
      expect(problems).toEqual([]);
    } finally {
      await browser.close();
    }
  },
);
