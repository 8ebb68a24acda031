import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect } from "expect";
import { hashFraction } from "../data/mod.ts";
import { OracleServer } from "../endpoint/testing/oracle_server.ts";
import { type JournalContent, readJournal } from "../endpoint/mod.ts";
import { runSmall, type SmallDistillation, withPairs } from "./testing/small_distillation.ts";

const CHILD = fileURLToPath(new URL("./testing/distill_child.ts", import.meta.url));
const KILLS = 20;
const CONCURRENCY = 5;

/** Runs a distilling process; `kill` ends it as no process can prevent. */
async function runChild(small: SmallDistillation, armed: (kill: () => void) => void): Promise<boolean> {
  const args = ["run", "--quiet", "--no-check", "--allow-all", CHILD, JSON.stringify(small)];
  const child = new Deno.Command(Deno.execPath(), { args, stdout: "null", stderr: "piped" }).spawn();
  armed(() => child.kill("SIGKILL"));
  const [errors, { signal, success }] = await Promise.all([new Response(child.stderr).text(), child.status]);
  if (signal !== "SIGKILL" && !success) throw new Error(`The distilling process failed: ${errors}`);
  return signal === "SIGKILL";
}

async function journalOf(out: string): Promise<JournalContent | null> {
  const path = `${out}.journal.jsonl`;
  const text = await readFile(path, "utf8").catch(() => null);
  if (text === null) return null;
  // The process that wrote a torn line cuts it when it is begun again.
  await writeFile(`${path}.read`, text.slice(0, text.lastIndexOf("\n") + 1));
  return await readJournal(`${path}.read`);
}

Deno.test("killed 20 times, a distillation ends with the unbroken one's file and asks nothing again that was journalled", async () => {
  let arrived: () => void = () => {};
  await using server = await OracleServer.start({
    faults: 0.25,
    latency: 3,
    onCall: () => arrived(),
  });
  await using calm = await OracleServer.start();
  await withPairs(100, async (folder, data) => {
    const unbroken = join(folder, "unbroken.jsonl");
    await runSmall({ url: calm.url, data, out: unbroken });

    const out = join(folder, "traces.jsonl");
    const calls = 400;
    const small = { url: server.url, data, out, concurrency: CONCURRENCY, budget: { calls } };
    let kills = 0;
    let again = 0;
    for (let session = 0; session < KILLS + 1; session++) {
      const known = new Set((await journalOf(out))?.answers.keys());
      const begun = server.calls.length;
      // The last session is left alone; each other one is killed some calls and some moments after its start.
      const life = 3 + Math.floor(3 * hashFraction(1, `calls${session}`));
      const delay = 12 * hashFraction(1, `delay${session}`);
      const killed = await runChild(small, (kill) => {
        arrived = (): void => {
          if (session < KILLS && server.calls.length === begun + life) setTimeout(kill, delay);
        };
      });
      if (killed) kills++;
      again += server.calls.slice(begun).filter(({ key }) => known.has(key)).length;
    }
    expect(kills).toBe(KILLS);
    expect(again).toBe(0);
    expect(await readFile(out, "utf8")).toBe(await readFile(unbroken, "utf8"));

    const { answers, open, spent } = (await journalOf(out))!;
    const sent = server.calls.length;
    const written = spent[1].calls + spent[2].calls;
    // What was under way at a kill is known by its number, whether or not it had been sent.
    expect(open).toBeLessThanOrEqual(KILLS * CONCURRENCY);
    expect(sent).toBeLessThanOrEqual(written);
    expect(sent).toBeGreaterThanOrEqual(written - open);
    expect(written).toBeLessThanOrEqual(calls);
    // Answers that the server sent to their end but that were not journalled: those alone were paid for again.
    const answered = server.calls.filter((call) => call.answered).length;
    expect(answered - answers.size).toBeGreaterThanOrEqual(0);
    expect(answered - answers.size).toBeLessThanOrEqual(open);
    // By the server's own count no more was taken than the journal says.
    expect(server.tokens.input).toBeLessThanOrEqual(spent[1].tokens.input + spent[2].tokens.input);
    expect(server.tokens.output).toBeLessThanOrEqual(spent[1].tokens.output + spent[2].tokens.output);
  });
});
