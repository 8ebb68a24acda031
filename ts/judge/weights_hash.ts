/**
 * Names a model by the content of its files.
 *
 * @module
 */
import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { readdir, stat } from "node:fs/promises";
import { join } from "node:path";

/** Files that decide what a model says; an optimizer's state and notes on the checkpoint do not. */
const MODEL_FILE = /\.(safetensors|gguf|json|jinja|model)$/;
const NOT_MODEL = new Set(["optimizer.safetensors", "rmr1.json", "manifest.json"]);

async function hashFile(path: string): Promise<string> {
  const hash = createHash("sha256");
  for await (const chunk of createReadStream(path, { highWaterMark: 1 << 20 })) hash.update(chunk);
  return hash.digest("hex");
}

/**
 * `sha256:…` of a model file, or of a folder's model files (weights, configuration, tokenizer, template) and their
 * names, in order. A copy elsewhere has the same hash.
 */
export async function hashModel(path: string): Promise<string> {
  if (!(await stat(path)).isDirectory()) return `sha256:${await hashFile(path)}`;
  const names = (await readdir(path, { withFileTypes: true }))
    .filter((entry) => !entry.isDirectory() && MODEL_FILE.test(entry.name) && !NOT_MODEL.has(entry.name))
    .map((entry) => entry.name).sort();
  const hash = createHash("sha256");
  for (const name of names) hash.update(`${name} ${await hashFile(join(path, name))}\n`);
  return `sha256:${hash.digest("hex")}`;
}
