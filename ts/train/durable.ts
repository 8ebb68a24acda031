/**
 * Files and folders that are there whole or not at all, whenever the process or the machine stops.
 *
 * @module
 */
import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { mkdir, open, readdir, readFile, rename, rm, stat } from "node:fs/promises";
import { basename, dirname, join, relative, sep } from "node:path";
import { RunError } from "./run_error.ts";

const MANIFEST = "manifest.json";
const UNFINISHED = ".tmp-";
const REPLACED = ".old-";

interface Manifest {
  readonly files: { readonly [name: string]: { readonly bytes: number; readonly sha256: string } };
}

/** Forces a file's or folder's content to the disk. */
async function sync(path: string): Promise<void> {
  const handle = await open(path, "r");
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

async function writeSynced(path: string, text: string): Promise<void> {
  const handle = await open(path, "w");
  try {
    await handle.writeFile(text);
    await handle.sync();
  } finally {
    await handle.close();
  }
}

/** Writes a file beside its place and moves it there. A failure leaves what was there before. */
export async function writeFileDurably(path: string, text: string): Promise<void> {
  const temporary = join(dirname(path), UNFINISHED + basename(path));
  try {
    await writeSynced(temporary, text);
    await rename(temporary, path);
    await sync(dirname(path));
  } catch (error) {
    await rm(temporary, { force: true }).catch(() => {});
    throw new RunError(`Could not write "${path}": ${(error as Error).message}`, { cause: error });
  }
}

async function hashFile(path: string): Promise<string> {
  const hash = createHash("sha256");
  for await (const chunk of createReadStream(path, { highWaterMark: 1 << 20 })) hash.update(chunk);
  return hash.digest("hex");
}

/**
 * Lets `fill` write files and folders into an empty folder, adds a manifest with the SHA-256 of each, and moves the folder to its
 * place. A folder that stood there gives way only then. A failure leaves what was there before.
 *
 * @throws {RunError} Anything failed, such as a full disk.
 */
export async function writeFolderDurably(
  path: string,
  fill: (folder: string) => Promise<void>,
): Promise<void> {
  const parent = dirname(path);
  const temporary = join(parent, UNFINISHED + basename(path));
  const replaced = join(parent, REPLACED + basename(path));
  try {
    await rm(temporary, { recursive: true, force: true });
    await rm(replaced, { recursive: true, force: true });
    await mkdir(temporary, { recursive: true });
    await fill(temporary);
    const files: { [name: string]: { bytes: number; sha256: string } } = {};
    for (const entry of await readdir(temporary, { recursive: true, withFileTypes: true })) {
      const file = join(entry.parentPath, entry.name);
      if (entry.isDirectory()) {
        await sync(file);
        continue;
      }
      const name = relative(temporary, file).replaceAll(sep, "/");
      await sync(file);
      files[name] = { bytes: (await stat(file)).size, sha256: await hashFile(file) };
    }
    const sorted = Object.fromEntries(Object.entries(files).sort(([x], [y]) => x < y ? -1 : 1));
    await writeSynced(
      join(temporary, MANIFEST),
      `${JSON.stringify({ files: sorted } satisfies Manifest, null, 2)}\n`,
    );
    await sync(temporary);
    if (await exists(path)) await rename(path, replaced);
    await rename(temporary, path);
    await sync(parent);
    await rm(replaced, { recursive: true, force: true });
  } catch (error) {
    await rm(temporary, { recursive: true, force: true }).catch(() => {});
    throw new RunError(
      `Could not save "${path}", what was saved before is untouched: ${(error as Error).message}`,
      {
        cause: error,
      },
    );
  }
}

/** What is wrong with a folder that {@link writeFolderDurably} wrote: null where nothing is. */
export async function findDamage(path: string): Promise<string | null> {
  let manifest: Manifest;
  try {
    manifest = JSON.parse(await readFile(join(path, MANIFEST), "utf8"));
  } catch (error) {
    return `its ${MANIFEST} cannot be read: ${(error as Error).message}`;
  }
  for (const [name, { bytes, sha256 }] of Object.entries(manifest.files ?? {})) {
    const file = join(path, name);
    const size = await stat(file).then((found) => found.size, () => null);
    if (size === null) return `its file "${name}" is missing`;
    if (size !== bytes) return `its file "${name}" has ${size} bytes, expected ${bytes}`;
    const found = await hashFile(file);
    if (found !== sha256) return `its file "${name}" has the SHA-256 "${found}", expected "${sha256}"`;
  }
  return null;
}

/** Whether a name is of something that an earlier process did not finish. */
export function isUnfinished(name: string): boolean {
  return name.startsWith(UNFINISHED) || name.startsWith(REPLACED);
}

/** Removes what an earlier process did not finish, and puts back what it was about to replace. */
export async function removeUnfinished(folder: string): Promise<void> {
  for (const name of await readdir(folder)) {
    const path = join(folder, name);
    const place = join(folder, name.slice(REPLACED.length));
    if (name.startsWith(REPLACED) && !(await exists(place))) await rename(path, place);
    else if (isUnfinished(name)) await rm(path, { recursive: true });
  }
}

/** Whether a file or folder is there. */
export async function exists(path: string): Promise<boolean> {
  try {
    await stat(path);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return false;
    throw error;
  }
}
