/**
 * Whether a file on the disk is the one that was published.
 *
 * @module
 */
import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { stat } from "node:fs/promises";
import type { CatalogFile } from "./catalog.ts";

/** Size and hash that a file should have. */
export type FileCheck = Pick<CatalogFile, "bytes" | "sha256">;

/** What is wrong with a file; null where it is as expected, `absent` where it is not there. */
export async function findFault(path: string, expected: FileCheck): Promise<string | "absent" | null> {
  const found = await stat(path).catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT") return null;
    throw error;
  });
  if (found === null) return "absent";
  if (found.size !== expected.bytes) {
    return `File "${path}" has ${found.size} bytes, expected ${expected.bytes}`;
  }
  const sha256 = await hashFile(path);
  return sha256 === expected.sha256
    ? null
    : `File "${path}" has SHA-256 "${sha256}", expected "${expected.sha256}"`;
}

async function hashFile(path: string): Promise<string> {
  const hash = createHash("sha256");
  for await (const chunk of createReadStream(path, { highWaterMark: 1 << 20 })) hash.update(chunk);
  return hash.digest("hex");
}
