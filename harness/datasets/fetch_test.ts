import { expect } from "expect";
import { createHash } from "node:crypto";
import { mkdtemp, readdir, readFile, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gitBlobId } from "rm-r1/models";
import { FileServer } from "../../ts/models/file_server.ts";
import { DATA, needs } from "../testing/needs.ts";
import { DATA_SETS, type DataSet } from "./catalog.ts";
import { type FetchDataOptions, fetchDataSet } from "./fetch.ts";

const bytes = (text: string): Uint8Array<ArrayBuffer> => new TextEncoder().encode(text);
const sha256 = (content: Uint8Array): string => createHash("sha256").update(content).digest("hex");

const ONE = bytes('[{"id": 1}]');
const TWO = bytes("two\n");
const GITHUB: DataSet = {
  name: "rmb",
  from: {
    home: "github",
    repository: "owner/data",
    revision: "abc",
    blobs: { "set/Open QA/one.json": gitBlobId(ONE), "set/two.json": gitBlobId(TWO) },
  },
};
const ON_GITHUB = { "/owner/data/abc/set/Open%20QA/one.json": ONE, "/owner/data/abc/set/two.json": TWO };

const HUB: DataSet = {
  name: "rewardbench",
  from: { home: "hub", repository: "owner/bench", accepts: (path) => path.endsWith(".parquet") },
};
const LISTING = "/api/datasets/owner/bench/revision/main?blobs=true";
const listing = (sha: string, content: Uint8Array): Uint8Array<ArrayBuffer> =>
  bytes(JSON.stringify({
    sha,
    siblings: [
      { rfilename: "README.md" },
      { rfilename: "data/x.parquet", lfs: { size: content.length, sha256: sha256(content) } },
    ],
  }));

async function optionsFor(set: DataSet, { url }: FileServer, cache?: string): Promise<FetchDataOptions> {
  return {
    cache: cache ?? await mkdtemp(join(tmpdir(), "data-")),
    catalog: [set],
    github: url,
    hub: url,
    pauseSeconds: 0,
  };
}

Deno.test("git's object id is what git makes it", () => {
  // `printf 'two\n' | git hash-object --stdin`
  expect(gitBlobId(TWO)).toBe("f719efd430d52bcfc8566a43b2eb655688d38871");
});

Deno.test("files on GitHub come once, and only those that are not sound come again", async () => {
  await using server = await FileServer.start(ON_GITHUB, [{ status: 503 }]);
  const options = await optionsFor(GITHUB, server);
  const first = await fetchDataSet("rmb", options);
  expect(first).toMatchObject({ files: 2, revision: "abc", cached: false });
  expect(new Uint8Array(await readFile(join(first.path, "set/Open QA/one.json")))).toEqual(ONE);
  expect(new Uint8Array(await readFile(join(first.path, "set/two.json")))).toEqual(TWO);
  const asked = server.seen.length;
  expect(asked).toBe(3);
  expect((await fetchDataSet("rmb", options)).cached).toBe(true);
  expect(server.seen).toHaveLength(asked);
  await writeFile(join(first.path, "set/two.json"), "damaged");
  expect((await fetchDataSet("rmb", options)).cached).toBe(false);
  expect(server.seen.slice(asked).map(({ path }) => path)).toEqual(["/owner/data/abc/set/two.json"]);
});

Deno.test("what is not the pinned file is refused, and not kept", async () => {
  await using server = await FileServer.start(ON_GITHUB, [{ body: bytes("something else") }]);
  const options = await optionsFor(GITHUB, server);
  await expect(fetchDataSet("rmb", options)).rejects.toThrow(
    /one\.json" gives a file with git object id "[0-9a-f]{40}", expected "[0-9a-f]{40}"/,
  );
  expect(await readdir(options.cache!, { recursive: true })).toEqual([]);
});

Deno.test("homes that do not have a file, or do not answer, are named", async () => {
  await using server = await FileServer.start({});
  await expect(fetchDataSet("rmb", await optionsFor(GITHUB, server))).rejects.toThrow(
    /Cannot download .* status 404/,
  );
  await expect(fetchDataSet("rewardbench", await optionsFor(HUB, server))).rejects.toThrow(
    /Cannot ask .* status 404/,
  );
  const gone = { ...await optionsFor(GITHUB, server), github: "http://127.0.0.1:9" };
  await expect(fetchDataSet("rmb", gone)).rejects.toThrow(/Cannot download "http:\/\/127\.0\.0\.1:9/);
  await expect(fetchDataSet("mmlu", gone)).rejects.toThrow(
    'No data set "mmlu" is known to be fetched, expected "rmb"',
  );
});

Deno.test("the hub's data are pinned when they come first", async () => {
  const old = bytes("parquet of old");
  const cache = await mkdtemp(join(tmpdir(), "data-"));
  {
    await using server = await FileServer.start({
      [LISTING]: listing("c0ffee", old),
      "/datasets/owner/bench/resolve/c0ffee/data/x.parquet": old,
    }, [{}, { cutAfter: 5 }]);
    const data = await fetchDataSet("rewardbench", await optionsFor(HUB, server, cache));
    expect(data).toMatchObject({ revision: "c0ffee", files: 1, cached: false });
    expect(new Uint8Array(await readFile(join(data.path, "data/x.parquet")))).toEqual(old);
  }
  // Main has gone on: the pin stays, and a damaged file is fetched at it.
  const young = bytes("parquet of new");
  await using server = await FileServer.start({
    [LISTING]: listing("decade", young),
    "/datasets/owner/bench/resolve/c0ffee/data/x.parquet": old,
    "/datasets/owner/bench/resolve/decade/data/x.parquet": young,
  });
  const options = await optionsFor(HUB, server, cache);
  expect(await fetchDataSet("rewardbench", options)).toMatchObject({ revision: "c0ffee", cached: true });
  await writeFile(join(cache, "data/rewardbench/data/x.parquet"), "damaged");
  expect(await fetchDataSet("rewardbench", options)).toMatchObject({ revision: "c0ffee", cached: false });
  await writeFile(join(cache, "data/rewardbench/pinned.json"), "{}");
  await expect(fetchDataSet("rewardbench", options)).rejects.toThrow(/pinned\.json" is not a pin/);
});

Deno.test("a listing that names no file or no hash is refused", async () => {
  const bad: [unknown, RegExp][] = [
    [{ sha: "x", siblings: [{ rfilename: "README.md" }] }, /lists none of the benchmark's files among 1/],
    [{ sha: "x", siblings: [{ rfilename: "a.parquet" }] }, /gives no SHA-256 of file "a.parquet"/],
    [{ siblings: 3 }, /gives no listing/],
  ];
  for (const [content, message] of bad) {
    await using server = await FileServer.start({ [LISTING]: bytes(JSON.stringify(content)) });
    const options = await optionsFor(HUB, server);
    await expect(fetchDataSet("rewardbench", options)).rejects.toThrow(message);
    expect(await readdir(options.cache!, { recursive: true })).toEqual([]);
  }
});

Deno.test({
  name: "JudgeBench's pinned file is the one that is at hand",
  ...needs("judgebench"),
  async fn() {
    const { from, part } = DATA_SETS.find(({ name }) => name === "judgebench")!;
    const content = await readFile(join(DATA, "judgebench", "judgebench_gpt-4o-2024-05-13.jsonl"));
    expect(gitBlobId(content)).toBe(from.home === "github" ? from.blobs[part!] : "");
  },
});
