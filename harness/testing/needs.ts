/**
 * Real data for tests, where there are some.
 *
 * @module
 */
import { existsSync } from "node:fs";
import process from "node:process";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

/** Folder of the real data. */
export const DATA: string = process.env["RMR1_DATA"] ??
  fileURLToPath(new URL("../../../shared/data", import.meta.url));

/** Options of a test that needs some of the data; names why it does not run, where it can be seen. */
export function needs(name: string): { readonly ignore: boolean } {
  const path = join(DATA, name);
  const ignore = !existsSync(path);
  if (ignore) {
    process.stderr.write(`SKIPPED: no data at "${path}"; set RMR1_DATA to the folder that holds it\n`);
  }
  return { ignore };
}
