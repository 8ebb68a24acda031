import { expect } from "expect";
import { createHash } from "node:crypto";
import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { downloadFile, type DownloadOptions } from "./download.ts";
import { type Fault, FileServer } from "./file_server.ts";

const CONTENT = Uint8Array.from({ length: 200_000 }, (_, i) => (i * 31 + (i >> 8)) & 255);
const EXPECTED = { bytes: CONTENT.length, sha256: createHash("sha256").update(CONTENT).digest("hex") };
const FAST: DownloadOptions = { pauseSeconds: 0, connectSeconds: 2, stallSeconds: 0.2 };

async function withServer(
  faults: readonly Fault[],
  body: (place: { server: FileServer; url: string; folder: string; path: string }) => Promise<void>,
): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), "rmr1-download-"));
  await using server = await FileServer.start({ "/f": CONTENT }, faults);
  try {
    await body({ server, url: `${server.url}/f`, folder, path: join(folder, "f") });
  } finally {
    await rm(folder, { recursive: true });
  }
}

Deno.test("a file arrives whole and leaves nothing beside it", () =>
  withServer([], async ({ server, url, folder, path }) => {
    await downloadFile(url, path, EXPECTED, FAST);
    expect(Uint8Array.from(await readFile(path))).toEqual(CONTENT);
    expect(await readdir(folder)).toEqual(["f"]);
    expect(server.seen).toEqual([{ path: "/f", range: null }]);
  }));

Deno.test("a cut connection goes on where it stopped", () =>
  withServer([{ cutAfter: 50_000 }, { cutAfter: 30_000 }], async ({ server, url, path }) => {
    await downloadFile(url, path, EXPECTED, FAST);
    expect(Uint8Array.from(await readFile(path))).toEqual(CONTENT);
    const starts = server.seen.map(({ range }) => Number(/\d+/.exec(range ?? "0")![0]));
    expect(starts).toHaveLength(3);
    expect(starts[0]).toBe(0);
    expect(starts[1]).toBeGreaterThan(0);
    expect(starts[2]).toBeGreaterThan(starts[1]!);
  }));

Deno.test("a later call goes on from the part that is there", () =>
  withServer([], async ({ server, url, path }) => {
    await writeFile(`${path}.part`, CONTENT.subarray(0, 123_456));
    await downloadFile(url, path, EXPECTED, FAST);
    expect(Uint8Array.from(await readFile(path))).toEqual(CONTENT);
    expect(server.seen).toEqual([{ path: "/f", range: "bytes=123456-" }]);
  }));

Deno.test("a server that knows no ranges starts again from the first byte", () =>
  withServer([{ ignoreRange: true }], async ({ url, path }) => {
    await writeFile(`${path}.part`, CONTENT.subarray(0, 1000));
    await downloadFile(url, path, EXPECTED, FAST);
    expect(Uint8Array.from(await readFile(path))).toEqual(CONTENT);
  }));

Deno.test("a stalled connection is given up and tried again", () =>
  withServer([{ stall: true }, { status: 503 }], async ({ server, url, path }) => {
    await downloadFile(url, path, EXPECTED, FAST);
    expect(server.seen).toHaveLength(3);
  }));

Deno.test("other content of the right size is refused and nothing is kept", () =>
  withServer([{ body: CONTENT.map((byte) => byte ^ 1) }], async ({ url, folder, path }) => {
    await expect(downloadFile(url, path, EXPECTED, FAST)).rejects.toMatchObject({ kind: "damaged" });
    expect(await readdir(folder)).toEqual([]);
  }));

Deno.test("a damaged part is found out, and the next call starts anew", () =>
  withServer([], async ({ url, folder, path }) => {
    await writeFile(`${path}.part`, new Uint8Array(5000));
    await expect(downloadFile(url, path, EXPECTED, FAST)).rejects.toMatchObject({ kind: "damaged" });
    expect(await readdir(folder)).toEqual([]);
    await downloadFile(url, path, EXPECTED, FAST);
    expect(Uint8Array.from(await readFile(path))).toEqual(CONTENT);
  }));

Deno.test("a longer file than expected is refused", () =>
  withServer([], async ({ url, folder, path }) => {
    const shorter = { ...EXPECTED, bytes: 1000 };
    await expect(downloadFile(url, path, shorter, FAST)).rejects.toMatchObject({ kind: "damaged" });
    expect(await readdir(folder)).toEqual([]);
  }));

Deno.test("what the server does not have is not asked for twice", () =>
  withServer([], async ({ server, path }) => {
    const failure = downloadFile(`${server.url}/g`, path, EXPECTED, FAST);
    await expect(failure).rejects.toMatchObject({ kind: "unreachable" });
    expect(server.seen).toHaveLength(1);
  }));

Deno.test("a server that keeps failing is given up", () =>
  withServer(Array(10).fill({ status: 500 }), async ({ server, url, path }) => {
    await expect(downloadFile(url, path, EXPECTED, FAST)).rejects.toMatchObject({ kind: "unreachable" });
    expect(server.seen).toHaveLength(3);
  }));

Deno.test("an abort keeps what has arrived", () =>
  withServer([{ cutAfter: 50_000 }, { stall: true }], async ({ url, path }) => {
    const controller = new AbortController();
    const onProgress = (): void => controller.abort(new Error("enough"));
    const failure = downloadFile(url, path, EXPECTED, { ...FAST, signal: controller.signal, onProgress });
    await expect(failure).rejects.toThrow("enough");
    expect((await readFile(`${path}.part`)).length).toBeGreaterThan(0);
  }));
