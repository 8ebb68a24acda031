/**
 * Preference pairs whose better answers {@link OracleServer} knows.
 *
 * @module
 */
import { mkdtemp, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { BETTER } from "../../ts/endpoint/testing/oracle_server.ts";

/** Writes a file of that many pairs. */
export async function writePairs(count: number): Promise<string> {
  const path = join(await mkdtemp(join(tmpdir(), "pairs-")), "pairs.jsonl");
  const pairs = Array.from({ length: count }, (_, id) => ({
    id: `pair-${id}`,
    prompt: `Which number follows ${id}?`,
    chosen: `${BETTER} ${id + 1}`,
    rejected: `Perhaps ${id + 2}`,
  }));
  await writeFile(path, pairs.map((pair) => `${JSON.stringify(pair)}\n`).join(""));
  return path;
}
