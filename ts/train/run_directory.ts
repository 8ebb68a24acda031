/**
 * The folder of a run: evidence that is only ever added to.
 *
 * ```
 * config.json          the configuration, defaults filled in
 * provenance.json      code version, hashes of the model and of the data
 * journal.jsonl        what happened, in order
 * evaluations/*.jsonl  every judgement of each evaluation
 * checkpoints/NNNNNN/  weights, optimizer state, rmr1.json, manifest.json
 * distilled/ final/    the models after stage 1 and at the end
 * result.json          there once the run has finished
 * ```
 *
 * @module
 */
import { createHash } from "node:crypto";
import { mkdir, readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { readConfig, type TrainConfig } from "./config.ts";
import { exists, isUnfinished, removeUnfinished, writeFileDurably } from "./durable.ts";
import type { TrainResult } from "./records.ts";
import { RunError } from "./run_error.ts";

/** Keys that do not change what is trained, so that a run may go on with other values. */
const FREE_KEYS: ReadonlySet<string> = new Set(["threads", "checkpoint.every", "checkpoint.keep"]);

/** The folder of a run. */
export class RunDirectory {
  readonly path: string;

  private constructor(path: string) {
    this.path = path;
  }

  /**
   * Whether a run may begin in a folder: it is not there, or empty.
   *
   * @throws {RunError} The folder holds anything.
   */
  static async checkFree(path: string): Promise<void> {
    if (!(await exists(path))) return;
    if (await exists(join(path, "config.json"))) {
      throw new RunError(`Folder "${path}" already holds a run; resume it, or name another folder`);
    }
    const found = (await readdir(path)).find((name) => !isUnfinished(name));
    if (found !== undefined) {
      throw new RunError(`Folder "${path}" is not empty: it holds "${found}"; name a new folder for the run`);
    }
  }

  /**
   * Begins a run in a folder that is new or empty.
   *
   * @throws {RunError} The folder holds anything.
   */
  static async create(path: string, config: TrainConfig): Promise<RunDirectory> {
    await RunDirectory.checkFree(path);
    await mkdir(path, { recursive: true });
    await writeFileDurably(join(path, "config.json"), `${JSON.stringify(config, null, 2)}\n`);
    return await new RunDirectory(path).#prepared();
  }

  /**
   * Opens a run to go on with it.
   *
   * @throws {RunError} There is none, or it was begun with another configuration: the keys that differ are named.
   */
  static async resume(path: string, config: TrainConfig): Promise<RunDirectory> {
    const before = await readStoredConfig(path);
    const differences = differingKeys(before, config).filter(({ key }) => !FREE_KEYS.has(key));
    if (differences.length > 0) {
      const listed = differences.map(({ key, x, y }) => `"${key}" was ${show(x)}, now ${show(y)}`);
      throw new RunError(`Run "${path}" was begun with another configuration: ${listed.join("; ")}`);
    }
    return await new RunDirectory(path).#prepared();
  }

  async #prepared(): Promise<RunDirectory> {
    for (const folder of [this.path, this.file("checkpoints"), this.file("evaluations")]) {
      await mkdir(folder, { recursive: true });
      await removeUnfinished(folder);
    }
    return this;
  }

  /** Path of something in the folder. */
  file(...names: readonly string[]): string {
    return join(this.path, ...names);
  }

  /**
   * Records what the run depends on, once; later it must be the same.
   *
   * @throws {RunError} It is another than at the start.
   */
  async pin(name: string, value: string): Promise<void> {
    const before = await this.#provenance();
    const known = before[name];
    if (known === undefined) {
      await writeFileDurably(
        this.file("provenance.json"),
        `${JSON.stringify({ ...before, [name]: value }, null, 2)}\n`,
      );
    } else if (known !== value) {
      throw new RunError(
        `The ${name} of run "${this.path}" changed since it began: it was "${known}" and is "${value}"`,
      );
    }
  }

  /** As {@link RunDirectory.pin}, for what may change: gives the value at the start. */
  async recall(name: string, value: string): Promise<string> {
    const known = (await this.#provenance())[name];
    if (known === undefined) await this.pin(name, value);
    return known ?? value;
  }

  async #provenance(): Promise<Record<string, string>> {
    const path = this.file("provenance.json");
    return await exists(path) ? JSON.parse(await readFile(path, "utf8")) : {};
  }

  /** The result of a run that has finished, else null. */
  async result(): Promise<TrainResult | null> {
    const path = this.file("result.json");
    return await exists(path) ? JSON.parse(await readFile(path, "utf8")) : null;
  }

  /** Stores the result: from then on the run has finished. */
  async finish(result: TrainResult): Promise<void> {
    await writeFileDurably(this.file("result.json"), `${JSON.stringify(result, null, 2)}\n`);
  }
}

/**
 * The configuration that a run was begun with, for going on with it by its folder alone.
 *
 * @throws {RunError} The folder holds no run.
 * @throws {ConfigError} Its configuration is damaged.
 */
export async function readStoredConfig(path: string): Promise<TrainConfig> {
  const file = join(path, "config.json");
  if (!(await exists(file))) {
    throw new RunError(`Folder "${path}" holds no run to resume: it has no config.json`);
  }
  return await readConfig(file);
}

/** SHA-256 of what a configuration trains: of all but the keys that do not change it. */
export function hashConfig(config: TrainConfig): string {
  const leaves = [...leavesOf(config)].filter(([key]) => !FREE_KEYS.has(key)).sort(([x], [y]) =>
    x < y ? -1 : 1
  );
  return createHash("sha256").update(JSON.stringify(leaves)).digest("hex");
}

/** The leaves of a configuration by their paths, each as JSON; an array is one. */
export function* leavesOf(value: unknown, path = ""): Generator<[string, string]> {
  if (value !== null && typeof value === "object" && !Array.isArray(value)) {
    for (const [key, child] of Object.entries(value)) {
      yield* leavesOf(child, path === "" ? key : `${path}.${key}`);
    }
  } else {
    yield [path, JSON.stringify(value)];
  }
}

/** Keys whose values differ, by path, with both values; a key that one side lacks has undefined there. */
function differingKeys(
  x: unknown,
  y: unknown,
): { key: string; x: string | undefined; y: string | undefined }[] {
  const before = new Map(leavesOf(x));
  const now = new Map(leavesOf(y));
  return [...new Set([...before.keys(), ...now.keys()])]
    .filter((key) => before.get(key) !== now.get(key))
    .map((key) => ({ key, x: before.get(key), y: now.get(key) }));
}

function show(json: string | undefined): string {
  return json === undefined ? "not set" : json;
}
