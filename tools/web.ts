/**
 * Builds the page that judges in a browser: one HTML file that holds its script, its worker, the core and a judge, and
 * opens from the disk.
 *
 * @module
 */
import { Buffer } from "node:buffer";
import { existsSync } from "node:fs";
import { mkdir, readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import process from "node:process";
import { parseArgs } from "node:util";
import { gzipSync } from "node:zlib";
import { type Html, markup, STYLE } from "rm-r1/report/parts";
import { pageWithScript } from "../harness/page.ts";
import { LAYOUT, pageBody } from "../web/page.ts";
import { runCommand } from "./command.ts";
import { installPackages, PackageError } from "./npm_packages.ts";

const OUTPUT = join("target", "web");
const WASM = join("target", "wasm", "rmr1_core_bg.wasm");
const DEFAULT_JUDGE = join("runs", "default", "final");

async function bundle(entry: string, modules: string): Promise<string> {
  const outfile = join(OUTPUT, `${entry}.js`);
  const { ok } = await runCommand({
    name: "esbuild",
    program: join(modules, ".bin", "esbuild"),
    args: [
      join("web", `${entry}.ts`),
      "--bundle",
      "--minify",
      "--format=iife",
      "--platform=browser",
      "--log-level=error",
      "--log-override:empty-import-meta=silent",
      "--alias:#doors=./ts/engine/doors/browser.ts",
      "--alias:#sources=./ts/api/sources_browser.ts",
      `--outfile=${outfile}`,
    ],
    env: { NODE_PATH: modules },
  });
  if (!ok) throw new PackageError(`Cannot bundle "web/${entry}.ts"`);
  return (await readFile(outfile, "utf8")).replaceAll("</script", "<\\/script");
}

/** An element with bytes for the page's script. */
function packed(id: string, bytes: Uint8Array, attribute = ""): Html {
  const text = Buffer.from(gzipSync(bytes, { level: 9 })).toString("base64");
  return attribute === ""
    ? markup`<script type="application/gzip" id="${id}">${text}</script>
`
    : markup`<script type="application/gzip" id="${id}" data-judge-file>${text}</script>
`;
}

async function judgeFiles(folder: string): Promise<Html[]> {
  const names = (await readdir(folder)).filter((name) => /\.(json|safetensors|gguf)$/.test(name));
  return await Promise.all(
    names.map(async (name) => packed(`judge/${name}`, await readFile(join(folder, name)), "file")),
  );
}

try {
  const { values } = parseArgs({ options: { judge: { type: "string" } } });
  const judge = values.judge ?? (existsSync(DEFAULT_JUDGE) ? DEFAULT_JUDGE : null);
  if (!existsSync(WASM)) throw new PackageError(`There is no "${WASM}": build it with "deno task wasm"`);
  if (values.judge !== undefined && !existsSync(join(values.judge, "rmr1.json"))) {
    throw new PackageError(`There is no judge in "${values.judge}", expected a folder with "rmr1.json"`);
  }
  await mkdir(OUTPUT, { recursive: true });
  const modules = await installPackages(OUTPUT, ["esbuild@0.28.2"]);
  const worker = Buffer.from(await bundle("worker", modules));
  const content = [packed("wasm", await readFile(WASM)), packed("worker", worker)];
  if (judge !== null) content.push(...await judgeFiles(judge));
  const page = await pageWithScript({
    title: "rm-r1: a judge that gives its reasons",
    style: STYLE + LAYOUT,
    script: await bundle("main", modules),
    body: pageBody(judge !== null, content),
    // The core compiles, its worker starts from what the page holds, and models come from wherever their users say.
    allow: { scripts: "'wasm-unsafe-eval' blob:", more: "worker-src blob:; connect-src https: http: blob:;" },
  });
  const file = join(OUTPUT, "index.html");
  await writeFile(file, page);
  const with_ = judge === null ? `no judge: train one with "deno task train"` : `the judge "${judge}"`;
  process.stdout.write(`${file}: ${(page.length / 1e6).toFixed(1)} MB, with ${with_}\n`);
} catch (error) {
  if (!(error instanceof PackageError)) throw error;
  process.stderr.write(`${error.message}\n`);
  process.exitCode = 1;
}
