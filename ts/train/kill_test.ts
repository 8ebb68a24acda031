import { expect } from "expect";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { finalWeights, withFolder } from "./testing/small_run.ts";

const CHILD = fileURLToPath(new URL("./testing/run_child.ts", import.meta.url));
const KILLS = 10;
const MOST_PROCESSES = 60;

/** Runs a training process, for at most so many milliseconds. */
async function runChild(runDirectory: string, life: number): Promise<{ killed: boolean }> {
  const args = ["run", "--quiet", "--no-check", "--allow-all", CHILD, runDirectory];
  const child = new Deno.Command(Deno.execPath(), { args, stdout: "null", stderr: "piped" }).spawn();
  const timer = setTimeout(() => child.kill("SIGKILL"), life);
  const [errors, { signal, success }] = await Promise.all([new Response(child.stderr).text(), child.status]);
  clearTimeout(timer);
  if (signal !== "SIGKILL" && !success) throw new Error(`The training process failed: ${errors}`);
  return { killed: signal === "SIGKILL" };
}

Deno.test("processes killed at random moments, and started again each time, end with the unbroken run's bytes", async () => {
  await withFolder(async (folder) => {
    const began = performance.now();
    await runChild(join(folder, "unbroken"), 60_000);
    const whole = performance.now() - began;
    const weights = await finalWeights(join(folder, "unbroken"));
    let kills = 0;
    let runs = 0;
    let resumed = 0;
    let open = false;
    for (let processes = 0; processes < MOST_PROCESSES && (kills < KILLS || open); processes++) {
      const path = join(folder, `${runs}`);
      const { killed } = await runChild(path, kills < KILLS ? whole * (0.2 + 0.8 * Math.random()) : 60_000);
      open = killed;
      if (killed) {
        kills++;
        continue;
      }
      expect(await finalWeights(path)).toBe(weights);
      resumed += (await readFile(join(path, "journal.jsonl"), "utf8")).split('"type":"resume"').length - 1;
      runs++;
    }
    expect({ kills, open }).toEqual({ kills: KILLS, open: false });
    expect(resumed).toBeGreaterThan(0);
  });
});
