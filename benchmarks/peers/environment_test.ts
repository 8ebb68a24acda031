import { expect } from "expect";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { findPeersFault, peersPython, readPins, versionFaults } from "./environment.ts";

async function inTemporary(body: (folder: string) => Promise<void>): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), "rmr1-pins-"));
  try {
    await body(folder);
  } finally {
    await rm(folder, { recursive: true });
  }
}

Deno.test("the committed pins name every peer", async () => {
  expect(Object.keys(await readPins())).toEqual(
    expect.arrayContaining(["torch", "transformers", "trl", "llama-cpp-python"]),
  );
});

Deno.test("pins are read with what they include, and anything else is refused", async () => {
  await inTemporary(async (folder) => {
    await writeFile(join(folder, "base.txt"), "# a comment\nnumpy==2.1 # why\n");
    await writeFile(join(folder, "more.txt"), "-r base.txt\n\ntorch==2.0.1\n");
    expect(await readPins(join(folder, "more.txt"))).toEqual({ numpy: "2.1", torch: "2.0.1" });
    await writeFile(join(folder, "loose.txt"), "torch>=2\n");
    await expect(readPins(join(folder, "loose.txt"))).rejects.toThrow('loose.txt:1: "torch>=2"');
  });
});

Deno.test("missing and other versions are faults, a build's name is not", () => {
  const pins = { torch: "2.1", trl: "1.0", numpy: "3" };
  expect(versionFaults(pins, { torch: "2.1+cpu", trl: "1.1", numpy: null })).toEqual([
    'trl is "1.1", expected "1.0"',
    'numpy is "missing", expected "3"',
  ]);
});

Deno.test("a folder without an environment is told", async () => {
  await inTemporary(async (folder) => {
    expect(await findPeersFault(folder)).toBe("the peers' environment is missing");
  });
});

Deno.test("a machine's own interpreter takes the environment's place where it is named", () => {
  const before = process.env["RMR1_PEERS_PYTHON"];
  try {
    process.env["RMR1_PEERS_PYTHON"] = "/usr/bin/python3";
    expect(peersPython("folder")).toBe("/usr/bin/python3");
    process.env["RMR1_PEERS_PYTHON"] = "";
    expect(peersPython("folder").startsWith(join("folder", "venv"))).toBe(true);
  } finally {
    if (before === undefined) delete process.env["RMR1_PEERS_PYTHON"];
    else process.env["RMR1_PEERS_PYTHON"] = before;
  }
});
