import { expect } from "expect";
import { existsSync } from "node:fs";
import { cp, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { basename, join } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { findChromium, ISOLATION, openChromium } from "../../harness/testing/chromium.ts";
import * as engine from "../../ts/engine/mod.ts";
import { SMOLLM2 } from "../../ts/models/testing/smollm2.ts";
import { installPackage, needsPackage, type Project } from "../../tools/installed_package.ts";
import { probe } from "./probe.js";

const ROOT = fileURLToPath(new URL("../../", import.meta.url));
const LIBRARY = join(ROOT, "target", "release", "librmr1_core.so");
/** The embedded base as a folder, and SmolLM2 in 4 bits where it is there. */
const MODELS = [join(ROOT, "models", "embedded-base"), SMOLLM2].filter((path) => existsSync(path));
const CHROMIUM = await findChromium();
if (CHROMIUM === null) process.stderr.write("SKIPPED: no Chromium; set RMR1_CHROMIUM to its file\n");

/** What `task npm` installed to build the package with. */
const TYPESCRIPT = join(ROOT, "npm", "node_modules", "typescript", "bin", "tsc");

interface Probed {
  readonly backend: string;
  readonly tokens: readonly number[];
  readonly logprobs: readonly number[];
}

let project: Promise<Project> | undefined;

async function install(): Promise<Project> {
  const made = await installPackage("koffi@3.3.4", "esbuild@0.28.2", "vite@8");
  await cp(new URL("probe.js", import.meta.url), join(made.folder, "probe.js"));
  return made;
}

/** Installed once for all tests. */
function installed(): Promise<Project> {
  return project ??= install();
}

const NODE = `
import * as engine from "rm-r1/engine";
import { probe } from "./probe.js";
const [model, kind] = process.argv.slice(2);
const door = kind === "wasm" ? await engine.openWasmDoor() : await engine.openDoor();
console.log(JSON.stringify({ ...await probe(engine, model, door), about: door.about }));
`;

const BLOBS = `
import { openAsBlob } from "node:fs";
import { readdir } from "node:fs/promises";
import { CoreReference, modelFromBlobs } from "rm-r1/engine";
const folder = process.argv[2];
const names = await readdir(folder);
const blobs = await Promise.all(names.map(async (name) => [name, await openAsBlob(folder + "/" + name)]));
const model = await CoreReference.open(modelFromBlobs("mine", Object.fromEntries(blobs)));
console.log(model.about);
`;

const PAGE = `
import * as engine from "rm-r1/engine";
import { Judge } from "rm-r1";
import { probe } from "./probe.js";
Object.assign(globalThis, { engine, Judge, probe });
`;

function agree(found: Probed, expected: Probed): void {
  expect(found.tokens).toEqual(expected.tokens);
  const apart = found.logprobs.map((logprob, at) => Math.abs(logprob - expected.logprobs[at]!));
  expect(found.logprobs.length).toBe(expected.logprobs.length);
  expect(Math.max(...apart)).toBeLessThan(1e-3);
}

Deno.test(
  "the same tokens come in native code and WebAssembly, in Deno and Node",
  needsPackage(),
  async () => {
    const { folder, run, packed } = await installed();
    expect(packed).toBeLessThan(3e6);
    await writeFile(join(folder, "node.js"), NODE);
    for (const model of MODELS) {
      const native: Probed = await probe(engine, model, await engine.openDoor());
      expect(native.tokens.length).toBe(24);
      const inDeno: Probed = await probe(engine, model, await engine.openWasmDoor({ threads: 2 }));
      expect(inDeno.backend).toContain("2 threads, simd128");
      agree(inDeno, native);
      const wasm = JSON.parse(await run("node", "node.js", model, "wasm"));
      expect(wasm.backend).toContain("simd128");
      agree(wasm, native);
      expect(wasm.logprobs).toEqual(inDeno.logprobs);
      const node = JSON.parse(
        await run("env", `RMR1_NATIVE_LIB=${LIBRARY}`, "node", "node.js", model, "native"),
      );
      expect(node.about).toContain("native core");
      expect(node.tokens).toEqual(native.tokens);
      expect(node.logprobs).toEqual(native.logprobs);
    }
  },
);

Deno.test("without a native core Node says that it takes WebAssembly, and why", needsPackage(), async () => {
  const { folder, run } = await installed();
  await writeFile(join(folder, "node.js"), NODE);
  const { about } = JSON.parse(await run("node", "node.js", MODELS[0]!, "any"));
  expect(about).toMatch(/^WebAssembly on \d+ threads? \(no native core for \w+-\w+ is installed\)$/);
});

Deno.test(
  "with its package Node takes the native core, and without koffi says so",
  needsPackage(),
  async () => {
    const { folder, run } = await installed();
    const names = await readdir(join(ROOT, "npm"));
    const tarball = names.find((name) => name.startsWith(`rm-r1-${process.platform}-${process.arch}`))!;
    await writeFile(join(folder, "node.js"), NODE);
    await run(
      "npm",
      "install",
      "--silent",
      "--no-audit",
      "--no-fund",
      "--ignore-scripts",
      join(ROOT, "npm", tarball),
    );
    const { about } = JSON.parse(await run("node", "node.js", MODELS[0]!, "any"));
    expect(about).toMatch(/^native core ".*@rm-r1.*" \(the package of this platform\)$/);
    await writeFile(join(folder, "blobs.js"), BLOBS);
    expect(await run("node", "blobs.js", MODELS[0]!)).toContain("the native core reads paths alone");
    await run("npm", "uninstall", "--silent", "koffi");
    const { about: without } = JSON.parse(await run("node", "node.js", MODELS[0]!, "any"));
    expect(without).toMatch(/^WebAssembly .*install koffi beside rm-r1/);
  },
);

Deno.test(
  "the package's declarations hold in a project that knows neither Node nor newer libraries",
  needsPackage(),
  async () => {
    const { folder, run } = await installed();
    await writeFile(
      join(folder, "product.ts"),
      `import { EndpointError, Judge, type Comparison } from "rm-r1";
     import { CoreReference } from "rm-r1/engine";
     export async function best(judge: Judge, a: string, b: string): Promise<Comparison> {
       const compared = await judge.compare({ prompt: "Which?", a, b }, { orders: "given" });
       if (compared.verdict === null && compared.swapped) throw new EndpointError("stop", "", { charged: false });
       return compared;
     }
     export const open = (): Promise<CoreReference> => CoreReference.open("model.gguf");`,
    );
    const options = { noEmit: true, strict: true, target: "es2022", lib: ["es2022", "dom"], types: [] };
    for (const module of ["nodenext", "preserve"]) {
      const config = { compilerOptions: { ...options, module }, files: ["product.ts"] };
      await writeFile(join(folder, "tsconfig.json"), JSON.stringify(config));
      const complaints = await run("node", TYPESCRIPT, "-p", folder).catch(({ stdout }) => stdout);
      expect(complaints).toBe("");
    }
    await rm(join(folder, "tsconfig.json"));
  },
);

Deno.test("the package's program judges, and says what it does not understand", needsPackage(), async () => {
  const { folder, run } = await installed();
  const pair = ["--prompt", "What is 57-25?", "--a", "It is 32.", "--b", "It is 42."];
  const program = join(folder, "node_modules", ".bin", "rm-r1");
  const judged = await run(program, "--judge", MODELS[0]!, "--protocol", "compact", ...pair, "--json");
  expect(JSON.parse(judged).judgements.length).toBe(2);
  await expect(run(program, "--judge", MODELS[0]!, ...pair)).rejects.toThrow(
    "No protocol is known for judge",
  );
  await expect(run(program, "--judge", "nowhere", ...pair)).rejects.toMatchObject({
    code: 1,
    stderr: expect.stringContaining('No model "nowhere"'),
  });
  await expect(run(program, "--orders", "none", "--judge", "x", ...pair)).rejects.toMatchObject({ code: 2 });
  const { version } = JSON.parse(await readFile(join(ROOT, "npm", "package", "package.json"), "utf8"));
  expect(await run(program, "--version")).toBe(`${version}\n`);
  const compact = ["--judge", MODELS[0]!, "--protocol", "compact", "--max-tokens", "4", "--json"];
  const listed = await run(program, ...compact, "--prompt", "Which?", "--a", "- one", "--b", "-1");
  expect(JSON.parse(listed).judgements.length).toBe(2);
  const file = join(folder, "pair.json");
  await writeFile(file, '{"prompt": "Which?", "a": "one", "b": 2}');
  await expect(run(program, ...compact, "--file", file)).rejects.toMatchObject({
    code: 1,
    stderr: `"${file}" has "2" as "b", expected a text\n`,
  });
});

/** Serves files of a folder, and models by their names; below `/isolated/` with {@link ISOLATION}. */
function serve(folder: string): { readonly url: string; readonly server: Deno.HttpServer } {
  const types: Record<string, string> = {
    html: "text/html",
    js: "text/javascript",
    wasm: "application/wasm",
  };
  const server = Deno.serve({ port: 0, onListen: () => {} }, async (request) => {
    const { pathname: asked, searchParams } = new URL(request.url);
    const pathname = asked.replace(/^\/isolated\//, "/");
    const model = MODELS.find((path) => basename(path) === basename(pathname));
    const path = pathname === "/model.safetensors" || pathname.endsWith(".json")
      ? join(MODELS[0]!, basename(pathname))
      : model ?? join(folder, pathname);
    const { size } = await stat(path).catch(() => ({ size: -1 }));
    if (size < 0) return new Response(null, { status: 404 });
    const headers = {
      "content-length": String(size),
      "content-type": types[path.split(".").pop()!] ?? "application/octet-stream",
      ...(pathname !== asked && ISOLATION),
    };
    if (!searchParams.has("fault")) return new Response(await readFile(path), { headers });
    const bytes = await readFile(path);
    if (searchParams.get("fault") === "damaged") {
      bytes[bytes.length >> 1]! ^= 1;
      return new Response(bytes, { headers });
    }
    const half = new ReadableStream({
      start(controller) {
        controller.enqueue(bytes.subarray(0, size >> 1));
      },
      pull(controller) {
        controller.error(new Error("The line is cut"));
      },
    });
    return new Response(half, { headers });
  });
  return { url: `http://127.0.0.1:${(server.addr as Deno.NetAddr).port}`, server };
}

/** Bundles the page by esbuild as the package's guide says. */
async function bundle({ folder, run }: Project): Promise<string> {
  await writeFile(join(folder, "page.js"), PAGE);
  const common = ["--bundle", "--format=esm", "--platform=browser", "--splitting", "--metafile=meta.json"];
  const entries = ["page.js", "worker=rm-r1/worker"];
  await run("npx", "esbuild", ...entries, ...common, "--outdir=site", "--log-level=error");
  await run("cp", "node_modules/rm-r1/dist/engine/wasm/rmr1_core_bg.wasm", "site/");
  const { inputs } = JSON.parse(await readFile(join(folder, "meta.json"), "utf8"));
  const imported = Object.values(inputs as Record<string, { imports: { path: string }[] }>)
    .flatMap(({ imports }) => imports.map(({ path }) => path));
  expect(imported.filter((path) => path.startsWith("node:"))).toEqual([]);
  await writeFile(join(folder, "site", "index.html"), '<script type="module" src="page.js"></script>');
  return folder;
}

const inChromium = { ignore: needsPackage().ignore || CHROMIUM === null };

Deno.test("Chromium comes to the same tokens, and each fault ends cleanly", inChromium, async (test) => {
  const { url, server } = serve(await bundle(await installed()));
  const browser = await openChromium(CHROMIUM!);
  try {
    const page = await browser.newPage();
    const problems: string[] = [];
    page.on("pageerror", (error) => problems.push(String(error)));
    await page.goto(`${url}/site/index.html`);
    await page.waitForFunction("globalThis.engine !== undefined");
    const files = `["model.safetensors", "config.json", "generation_config.json", "tokenizer.json",
      "tokenizer_config.json"].map((name) => engine.fileFromUrl("/" + name, name))`;
    const inPage = (script: string): Promise<unknown> => page.evaluate(`(async () => { ${script} })()`);
    const failing = async (script: string): Promise<string> =>
      await inPage(
        `try { ${script}; return "no error"; } catch (error) { return error.kind + ": " + error.message; }`,
      ) as string;

    for (const model of MODELS) {
      const source = model === SMOLLM2
        ? `engine.modelFromUrl(location.origin + "/${basename(model)}")`
        : `{ name: "embedded", files: ${files} }`;
      await test.step(`tokens of ${basename(model)}`, async () => {
        const native: Probed = await probe(engine, model, await engine.openDoor());
        const script = `return await probe(engine, ${source}, await engine.openDoor())`;
        const alone = await inPage(script) as Probed;
        expect(alone.backend).toContain("1 thread, simd128");
        agree(alone, native);
        const isolated = await browser.newPage();
        isolated.on("pageerror", (error) => problems.push(String(error)));
        await isolated.goto(`${url}/isolated/site/index.html`);
        await isolated.waitForFunction("globalThis.engine !== undefined");
        const threaded = await isolated.evaluate(
          `(async () => await probe(engine, ${source}, await engine.openWasmDoor({ threads: 2 })))()`,
        ) as Probed;
        expect(threaded.backend).toContain("2 threads, simd128");
        expect(threaded).toEqual({ ...alone, backend: threaded.backend });
        await isolated.close();
      });
    }
    await test.step("why there is one thread", async () => {
      expect(await inPage("return (await engine.openDoor()).about")).toBe(
        "WebAssembly on 1 thread (a browser has no other core, and more threads need a page that is " +
          "cross-origin isolated)",
      );
    });
    const open = (source: string): string => `await engine.CoreReference.open(${source})`;
    const weights = (query: string, options = "{}"): string =>
      `{ name: "embedded", files: ${files}.map((file) => file.name.endsWith(".safetensors")
        ? engine.fileFromUrl("/model.safetensors${query}", file.name, ${options}) : file) }`;
    await test.step("a download that is cut", async () => {
      expect(await failing(open(weights("?fault=cut")))).toMatch(
        /^io: Cannot (read ".*model\.safetensors": the stream ended after "\d+" of \d+ bytes|download)/,
      );
    });
    await test.step("a download that is damaged", async () => {
      const options = `{ sha256: "${"0".repeat(64)}" }`;
      expect(await failing(open(weights("?fault=damaged", options)))).toMatch(
        /^format: .*has the SHA-256 "[0-9a-f]{64}"/,
      );
    });
    await test.step("a file that is not there", async () => {
      expect(await failing(open('engine.modelFromUrl(location.origin + "/none.gguf")'))).toMatch(
        /^io: Cannot download ".*none\.gguf": status "404", expected 200$/,
      );
    });
    await test.step("memory that runs out", async () => {
      const huge = `{ name: "huge", files: [{ name: "huge.gguf",
        open: async () => ({ size: 2 ** 32 - 1, stream: new Blob(["x"]).stream() }) }] }`;
      expect(await failing(open(huge))).toMatch(/^memory: /);
    });
    await test.step("a signal", async () => {
      expect(
        await failing(
          `await engine.CoreReference.open(${
            weights("")
          }, { signal: AbortSignal.abort(new Error("enough")) })`,
        ),
      )
        .toBe("undefined: enough");
    });
    await test.step("after all of them the same core still works", async () => {
      const script =
        `return (await probe(engine, { name: "embedded", files: ${files} }, await engine.openDoor())).tokens.length`;
      expect(await inPage(script)).toBe(24);
    });
    await test.step("a tab that closes while it generates", async () => {
      await page.evaluate(`void probe(engine, { name: "embedded", files: ${files} }, engine.openDoor())`);
      await page.close();
      expect((await browser.pages()).length).toBeLessThan(2);
    });
    expect(problems).toEqual([]);
  } finally {
    await browser.close();
    await server.shutdown();
  }
});

Deno.test("Vite bundles the package with its worker and its WebAssembly", needsPackage(), async () => {
  const { folder, run } = await installed();
  await writeFile(join(folder, "page.js"), PAGE);
  await writeFile(join(folder, "index.html"), '<script type="module" src="page.js"></script>');
  await run("npx", "vite", "build", "--outDir", "vite-site", "--logLevel", "error");
  const names = (await run("find", "vite-site", "-type", "f")).split("\n");
  expect(names.some((name) => /rmr1_core_bg.*\.wasm$/.test(name))).toBe(true);
  expect(names.some((name) => /worker.*\.js$/.test(name))).toBe(true);
});

Deno.test.afterAll(async () => {
  const left = await project;
  if (left !== undefined) await rm(left.folder, { recursive: true, force: true });
});
