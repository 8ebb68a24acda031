/**
 * Which code this is.
 *
 * @module
 */
import { readFile } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";

/** Version of the package. */
export const VERSION: string = "0.1.0";

/** The package's version, and the commit where it runs from a checkout: `0.1.0+1a2b3c4d5e6f`. */
export async function codeVersion(): Promise<string> {
  const commit = await checkedOutCommit(new URL("../../.git", import.meta.url));
  return commit === null ? VERSION : `${VERSION}+${commit.slice(0, 12)}`;
}

/** The commit of a repository's HEAD, null where there is no repository or it may not be read. */
async function checkedOutCommit(git: URL): Promise<string | null> {
  if (git.protocol !== "file:") return null;
  const { own, shared } = await gitFolders(fileURLToPath(git));
  const read = (name: string, folder = shared): Promise<string> => readFile(join(folder, name), "utf8");
  try {
    const head = (await read("HEAD", own)).trim();
    const reference = /^ref: (.+)$/.exec(head)?.[1];
    if (reference === undefined) return head;
    const packed = async (): Promise<string | undefined> =>
      (await read("packed-refs")).split("\n").find((line) => line.endsWith(` ${reference}`))?.split(" ")[0];
    return (await read(reference).catch(packed))?.trim() ?? null;
  } catch {
    return null;
  }
}

/** Where HEAD is, and where branches are: in a linked worktree `.git` is a file that names the first (gitrepository-layout). */
async function gitFolders(git: string): Promise<{ readonly own: string; readonly shared: string }> {
  const linked = await readFile(git, "utf8").catch(() => null);
  const own = linked === null ? git : resolve(dirname(git), linked.replace(/^gitdir: /, "").trim());
  const common = await readFile(join(own, "commondir"), "utf8").catch(() => null);
  return { own, shared: common === null ? own : resolve(own, common.trim()) };
}
