/**
 * Configurations on the page.
 *
 * @module
 */
import { leavesOf } from "../train/run_directory.ts";
import { ConfigError, parseConfig } from "../train/mod.ts";
import { type Html, markup } from "./markup.ts";
import type { RunRecords } from "./records.ts";
import { table } from "./table.ts";

type Config = RunRecords["config"];

const NOT_SET = "–";

/** What differs from the defaults, then all. */
export function configSection({ config }: RunRecords): Html {
  const defaults = new Map(leavesOf(defaultsFor(config)));
  const leaves = [...leavesOf(config)].filter(([, value]) => value !== undefined);
  const changed = leaves.filter(([key, value]) => defaults.get(key) !== value);
  const rows = changed.map(([key, value]) => [key, value, defaults.get(key) ?? NOT_SET]);
  const refused = refusalOf(config);
  return markup`${
    refused === null
      ? ""
      : markup`<p class="notice">An earlier version wrote this configuration; this one would refuse it: ${refused}</p>`
  }
${table("What differs from the defaults", ["Key", "Value", "Default"], rows, "config")}
<details><summary>The whole configuration: ${leaves.length} values</summary>${
    table(
      "All values",
      ["Key", "Value"],
      leaves,
      "config",
    )
  }</details>`;
}

/** The keys in which runs differ. */
export function differencesTable(runs: readonly RunRecords[]): Html {
  const all = runs.map(({ config }) => new Map(leavesOf(config)));
  const keys = [...new Set(all.flatMap((leaves) => [...leaves.keys()]))].filter((key) =>
    new Set(all.map((leaves) => leaves.get(key))).size > 1
  );
  if (keys.length === 0) return markup`<p>The configurations are the same.</p>`;
  const rows = keys.map((key) => [key, ...all.map((leaves) => leaves.get(key) ?? NOT_SET)]);
  return table("Where the configurations differ", ["Key", ...runs.map(({ name }) => name)], rows, "config");
}

/** The defaults of a configuration with the same kind of data; those of its own file have none. */
function defaultsFor({ data }: Config): unknown {
  const kind = (data as { readonly kind?: unknown } | undefined)?.kind;
  const { data: defaults, ...others } = parseConfig(
    kind === "gsm8k" ? { data: { kind } } : kind === "jsonl" ? { data: { kind, path: NOT_SET } } : {},
  );
  return { ...others, data: { ...defaults, kind: "tasks" } };
}

function refusalOf(config: Config): string | null {
  try {
    parseConfig(config, "config.json");
    return null;
  } catch (error) {
    if (error instanceof ConfigError) return error.problems.join("; ");
    throw error;
  }
}
