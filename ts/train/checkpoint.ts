/**
 * Checkpoints: folders with weights, the optimizer's state, and where the run stands.
 *
 * @module
 */
import { mkdir, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { Chain, JudgeKind, Protocol } from "../cor/mod.ts";
import type { SaveOptions, TrainableEngine } from "../engine/mod.ts";
import { exists, findDamage, writeFolderDurably } from "./durable.ts";
import { RunError } from "./run_error.ts";

const CARD = "rmr1.json";

/** What a saved model says of itself, in `rmr1.json`: how to ask it, and where it is from. */
export interface ModelCard {
  readonly format: 1;
  readonly protocol: Protocol;
  readonly judge: JudgeKind;
  /** What a `reasrm` writes. */
  readonly chain: Chain;
  /** The model that the run started from. */
  readonly base: string;
  /** The stage that was trained last. */
  readonly stage: 1 | 2;
  /** Steps of that stage. */
  readonly step: number;
  /** Steps of the run. */
  readonly globalStep: number;
  readonly seed: number;
  /** SHA-256 of the run's configuration. */
  readonly config: string;
  /** Version of the code. */
  readonly code: string;
}

/** Saves a model with its card: Hugging Face layout, adapters merged into it. */
export async function saveModel(path: string, engine: TrainableEngine, card: ModelCard): Promise<void> {
  const merged = (engine.info.lora ?? null) === null ? {} : { adapters: "merged" as const };
  await write(path, engine, card, { optimizer: false, ...merged });
}

/** What is saved to be gone on with. */
export interface Trained {
  readonly engine: TrainableEngine;
  /** Models that are trained beside it, by name. */
  readonly companions: ReadonlyMap<string, TrainableEngine>;
}

/** Saves models as they are, adapters apart, for {@link loadState}. */
export async function saveState(
  path: string,
  { engine, companions }: Trained,
  card: ModelCard,
  { optimizer }: { readonly optimizer: boolean },
): Promise<void> {
  await write(path, engine, card, { optimizer }, async (folder) => {
    for (const [name, companion] of companions) {
      await mkdir(join(folder, name));
      await companion.save(join(folder, name), { dtype: "f32", optimizer });
    }
  });
}

/** Loads what {@link saveState} saved. */
export async function loadState(path: string, { engine, companions }: Trained): Promise<void> {
  await engine.load(path);
  for (const [name, companion] of companions) await companion.load(join(path, name));
}

async function write(
  path: string,
  engine: TrainableEngine,
  card: ModelCard,
  options: SaveOptions,
  more?: (folder: string) => Promise<void>,
): Promise<void> {
  await writeFolderDurably(path, async (folder) => {
    await engine.save(folder, { dtype: "f32", ...options });
    await more?.(folder);
    await writeFile(join(folder, CARD), `${JSON.stringify(card, null, 2)}\n`);
  });
}

/**
 * Reads a saved model's card.
 *
 * @throws {RunError} There is none, or it is of another format.
 */
export async function readCard(path: string): Promise<ModelCard> {
  const file = join(path, CARD);
  let card: Partial<ModelCard> | null;
  try {
    card = JSON.parse(await readFile(file, "utf8"));
  } catch (error) {
    throw new RunError(`File "${file}" cannot be read: ${(error as Error).message}`, { cause: error });
  }
  if (card?.format !== 1) throw new RunError(`File "${file}" has format "${card?.format}", expected 1`);
  return card as ModelCard;
}

/** A checkpoint that can be loaded. */
export interface Checkpoint {
  readonly path: string;
  readonly card: ModelCard;
}

/** The checkpoints of a run, `NNNNNN` by its steps. */
export class Checkpoints {
  readonly #folder: string;
  readonly #keep: number;

  constructor(folder: string, options: { readonly keep: number }) {
    this.#folder = folder;
    this.#keep = options.keep;
  }

  /**
   * Saves a checkpoint, then removes the oldest beyond those to keep: never before the new one is on the disk, and
   * never one of a later step, which a run that fell back to an earlier one will reach again.
   */
  async save(trained: Trained, card: ModelCard): Promise<string> {
    await mkdir(this.#folder, { recursive: true });
    const path = join(this.#folder, String(card.globalStep).padStart(6, "0"));
    await saveState(path, trained, card, { optimizer: true });
    const old = (await this.#steps()).filter((step) => step <= card.globalStep).slice(this.#keep);
    for (const step of old) await rm(join(this.#folder, String(step).padStart(6, "0")), { recursive: true });
    return path;
  }

  /**
   * The newest whole checkpoint of a stage, null where there is none.
   *
   * @param onDamage told of each newer one that is damaged
   */
  async latest(stage: 1 | 2, onDamage: (message: string) => Promise<void>): Promise<Checkpoint | null> {
    for (const step of await this.#steps()) {
      const path = join(this.#folder, String(step).padStart(6, "0"));
      const card = await readCard(path).catch(() => null);
      if (card !== null && card.stage !== stage) continue;
      const damage = await findDamage(path);
      if (card !== null && damage === null) return { path, card };
      await onDamage(`Checkpoint "${path}" is damaged and is passed over: ${damage ?? "it has no card"}`);
    }
    return null;
  }

  /** Newest first. */
  async #steps(): Promise<number[]> {
    if (!(await exists(this.#folder))) return [];
    const names = (await readdir(this.#folder)).filter((name) => /^\d{6,}$/.test(name));
    return names.map(Number).sort((x, y) => y - x);
  }
}
