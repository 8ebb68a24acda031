/**
 * `bench leaderboard`: our runs among the published results.
 *
 * @module
 */
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import {
  formatLeaderboard,
  leaderboard,
  leaderboardCsv,
  leaderboardMarkdown,
  leaderboardPage,
  readResult,
  readResults,
} from "rm-r1-harness";
import { anyText, type Command, defineCommand, type JsonObject, optional, repeated } from "./parser.ts";
import { RUNS } from "./run_names.ts";

/** The command. */
export const benchLeaderboard: Command = defineCommand({
  name: "bench leaderboard",
  brief: "Show our runs among the published results",
  options: {
    runs: repeated(
      "--run",
      anyText("RUN"),
      "The folder of a run; may be given again; all in runs if not given",
    ),
    folder: optional("--out", anyText("DIR"), "Also write leaderboard.md, .csv and .html there"),
  },
  async run({ runs, folder }, { out }) {
    const stored = runs.length === 0 ? await readResults(RUNS) : await Promise.all(
      runs.map(async (directory) => ({ directory, result: await readResult(directory) })),
    );
    const rows = leaderboard(stored);
    out(`${formatLeaderboard(rows)}\n`);
    if (folder !== undefined) {
      await mkdir(folder, { recursive: true });
      const files = {
        "leaderboard.md": leaderboardMarkdown(rows),
        "leaderboard.csv": leaderboardCsv(rows),
        "leaderboard.html": await leaderboardPage(rows),
      };
      for (const [name, text] of Object.entries(files)) await writeFile(join(folder, name), text);
      out(`\nWrote ${Object.keys(files).join(", ")} to ${folder}\n`);
    }
    return { rows: rows as unknown as JsonObject[] };
  },
});
