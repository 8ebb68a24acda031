/**
 * Builds the npm package `rm-r1` in `npm/package` and packs it: JavaScript and declarations by tsc, the core in
 * WebAssembly, and a package.json whose conditions choose what a runtime can load. `--check` holds it to publint and
 * to "Are the types wrong?".
 *
 * @module
 */
import { existsSync } from "node:fs";
import { cp, mkdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import process from "node:process";
import { packPlatform, platformPackages } from "./npm_platform.ts";
import { dependencies, installPackages, PackageError, readJson, run } from "./npm_packages.ts";

const FOLDER = "npm";
const PACKAGE = join(FOLDER, "package");
const WASM = join("target", "wasm");
/** The newest tsc that is JavaScript and writes declarations of what it emits. */
const TYPESCRIPT = "typescript@5.9.3";
const TYPES = ["@types/node@20", "@types/deno@2.5.0"];
const ENTRIES = [
  "mod.ts",
  "engine/mod.ts",
  "api/bin.ts",
  "engine/wasm/worker.ts",
  "engine/wasm/node_worker.ts",
  "engine/doors/browser.ts",
  "api/sources_browser.ts",
];

async function emit(): Promise<void> {
  const modules = await installPackages(FOLDER, [TYPESCRIPT, ...TYPES]);
  const config = {
    compilerOptions: {
      target: "ES2022",
      lib: ["ES2023", "ES2024.String", "DOM", "DOM.Iterable", "DOM.AsyncIterable", "ESNext.Disposable"],
      module: "ESNext",
      moduleResolution: "bundler",
      moduleDetection: "force",
      types: ["node", "deno"],
      strict: true,
      exactOptionalPropertyTypes: true,
      noUncheckedIndexedAccess: true,
      skipLibCheck: true,
      declaration: true,
      rewriteRelativeImportExtensions: true,
      resolvePackageJsonImports: false,
      rootDir: "source",
      outDir: "package/dist",
      paths: {
        "#doors": ["./source/engine/doors/server.ts"],
        "#sources": ["./source/api/sources_server.ts"],
      },
    },
    files: ENTRIES.map((entry) => join("source", entry)),
  };
  await writeFile(join(FOLDER, "tsconfig.json"), JSON.stringify(config, null, 2));
  await rm(join(FOLDER, "source"), { recursive: true, force: true });
  await cp("ts", join(FOLDER, "source"), { recursive: true });
  await run(
    process.execPath,
    "run",
    "-A",
    "--node-modules-dir=manual",
    join(modules, "typescript", "bin", "tsc"),
    "-p",
    FOLDER,
  );
}

/** Replaces what tsc leaves as it is. */
async function edit(file: string, find: string, replace: string): Promise<void> {
  const path = join(PACKAGE, "dist", file);
  const text = await readFile(path, "utf8");
  if (!text.includes(find)) throw new PackageError(`"${path}" has no ${JSON.stringify(find)}`);
  await writeFile(path, text.replaceAll(find, replace));
}

/** In place of the workspace's module: a static path, which bundlers can follow. */
const GLUE = `import * as glue from "./rmr1_core.js";

export const WASM_URL = new URL("./rmr1_core_bg.wasm", import.meta.url);
export function loadGlue() {
  return Promise.resolve(glue);
}
`;

/** What the declarations use beyond the libraries that a project of today names. */
async function nameLibraries(): Promise<void> {
  for (const file of ["mod.d.ts", join("engine", "mod.d.ts")]) {
    const path = join(PACKAGE, "dist", file);
    await writeFile(path, `/// <reference lib="esnext.disposable" />\n${await readFile(path, "utf8")}`);
  }
}

async function addWasm(): Promise<void> {
  const target = join(PACKAGE, "dist", "engine", "wasm");
  for (const file of ["rmr1_core.js", "rmr1_core_bg.wasm"]) {
    if (!existsSync(join(WASM, file))) {
      throw new PackageError(`There is no "${join(WASM, file)}": build it with "deno task wasm"`);
    }
    await cp(join(WASM, file), join(target, file));
  }
  await writeFile(join(target, "glue.js"), GLUE);
  await edit("engine/wasm/start_node_worker.js", "./node_worker.ts", "./node_worker.js");
  await edit("engine/wasm/start_web_worker.js", "./worker.ts", "./worker.js");
}

async function manifest(): Promise<Record<string, unknown>> {
  const { version, license } = await readJson(join("ts", "deno.json"));
  const swapped = (server: string, browser: string): Record<string, string> => ({
    types: `./dist/${server}.d.ts`,
    browser: `./dist/${browser}.js`,
    default: `./dist/${server}.js`,
  });
  return {
    name: "rm-r1",
    version,
    description:
      "Judges that reason before they decide: reasoning reward models in Node, Deno, Bun and browsers",
    keywords: ["reward model", "llm judge", "rlhf", "webassembly"],
    license,
    type: "module",
    sideEffects: ["./dist/engine/wasm/worker.js", "./dist/engine/wasm/node_worker.js"],
    engines: { node: ">=20.19" },
    files: ["dist"],
    exports: {
      ".": { types: "./dist/mod.d.ts", default: "./dist/mod.js" },
      "./engine": { types: "./dist/engine/mod.d.ts", default: "./dist/engine/mod.js" },
      "./worker": "./dist/engine/wasm/worker.js",
      "./rmr1_core_bg.wasm": "./dist/engine/wasm/rmr1_core_bg.wasm",
      "./package.json": "./package.json",
    },
    bin: { "rm-r1": "dist/api/bin.js" },
    imports: {
      "#doors": swapped("engine/doors/server", "engine/doors/browser"),
      "#sources": swapped("api/sources_server", "api/sources_browser"),
    },
    dependencies: await dependencies(),
    optionalDependencies: platformPackages(String(version)),
    peerDependencies: { koffi: "^3.3.4" },
    peerDependenciesMeta: { koffi: { optional: true } },
  };
}

async function check(tarball: string): Promise<void> {
  await run("npx", "-y", "publint@0.3.25", "--strict", PACKAGE);
  await run(
    "npx",
    "-y",
    "@arethetypeswrong/cli@0.18.5",
    tarball,
    "--profile",
    "esm-only",
    "--exclude-entrypoints",
    "worker",
    "rmr1_core_bg.wasm",
  );
}

try {
  await rm(PACKAGE, { recursive: true, force: true });
  await mkdir(PACKAGE, { recursive: true });
  await emit();
  await addWasm();
  await nameLibraries();
  const content = await manifest();
  await writeFile(join(PACKAGE, "package.json"), `${JSON.stringify(content, null, 2)}\n`);
  await cp("LICENSE", join(PACKAGE, "LICENSE"));
  await cp(join("docs", "package.md"), join(PACKAGE, "README.md"));
  await run("npm", "pack", "--silent", "--pack-destination", FOLDER, `./${PACKAGE}`);
  const tarball = join(FOLDER, `rm-r1-${content["version"]}.tgz`);
  process.stdout.write(`${tarball}: ${((await stat(tarball)).size / 1e6).toFixed(2)} MB\n`);
  const [version, license] = [String(content["version"]), String(content["license"])];
  const native = await packPlatform({ folder: FOLDER, version, license });
  if (native !== null) {
    process.stdout.write(`${native}: ${((await stat(native)).size / 1e6).toFixed(2)} MB\n`);
  }
  if (process.argv.includes("--check")) await check(tarball);
} catch (error) {
  if (!(error instanceof PackageError)) throw error;
  process.stderr.write(`${error.message}\n`);
  process.exitCode = 1;
}
