import { expect } from "expect";
import { mkdir, readdir, readFile, rename, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { findDamage, removeUnfinished, writeFileDurably, writeFolderDurably } from "./durable.ts";
import { withFolder } from "./testing/small_run.ts";

async function save(path: string, text: string): Promise<void> {
  await writeFolderDurably(path, (folder) => writeFile(join(folder, "weights"), text));
}

Deno.test("a folder is there whole, with a manifest that finds every kind of damage", async () => {
  await withFolder(async (folder) => {
    const path = join(folder, "saved");
    await save(path, "12345678");
    expect(await findDamage(path)).toBeNull();
    await writeFile(join(path, "weights"), "12345679");
    expect(await findDamage(path)).toContain('file "weights" has the SHA-256');
    await writeFile(join(path, "weights"), "1234");
    expect(await findDamage(path)).toBe('its file "weights" has 4 bytes, expected 8');
    await rename(join(path, "weights"), join(path, "other"));
    expect(await findDamage(path)).toBe('its file "weights" is missing');
    await writeFile(join(path, "manifest.json"), "{");
    expect(await findDamage(path)).toContain("its manifest.json cannot be read");
  });
});

Deno.test("a save that fails half-way leaves the one before, and nothing else", async () => {
  await withFolder(async (folder) => {
    const path = join(folder, "saved");
    await save(path, "before");
    const failing = writeFolderDurably(path, async (temporary) => {
      await writeFile(join(temporary, "weights"), "af");
      throw new Error("No space left on device");
    });
    await expect(failing).rejects.toThrow(
      `Could not save "${path}", what was saved before is untouched: No space left`,
    );
    expect(await readFile(join(path, "weights"), "utf8")).toBe("before");
    expect(await readdir(folder)).toEqual(["saved"]);
  });
});

Deno.test("a folder that is saved again is replaced whole", async () => {
  await withFolder(async (folder) => {
    await save(join(folder, "saved"), "before");
    await save(join(folder, "saved"), "after");
    expect(await readFile(join(folder, "saved", "weights"), "utf8")).toBe("after");
    expect(await readdir(folder)).toEqual(["saved"]);
  });
});

Deno.test("what an earlier process left unfinished goes, and what it was replacing comes back", async () => {
  await withFolder(async (folder) => {
    await mkdir(join(folder, ".tmp-000004"));
    await mkdir(join(folder, ".old-000002"));
    await mkdir(join(folder, ".old-000003"));
    await mkdir(join(folder, "000003"));
    await removeUnfinished(folder);
    expect((await readdir(folder)).sort()).toEqual(["000002", "000003"]);
  });
});

Deno.test("a file that cannot be written leaves the one before", async () => {
  await withFolder(async (folder) => {
    const path = join(folder, "result.json");
    await writeFileDurably(path, "before");
    await mkdir(join(folder, ".tmp-result.json"));
    await expect(writeFileDurably(path, "after")).rejects.toThrow(`Could not write "${path}"`);
    expect(await readFile(path, "utf8")).toBe("before");
  });
});
