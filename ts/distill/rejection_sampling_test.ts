import { join } from "node:path";
import { expect } from "expect";
import { readTraces } from "../data/mod.ts";
import { ScriptedEngine } from "../judge/scripted_engine.ts";
import { distill, type DistillResult } from "./distill.ts";
import { BETTER } from "../endpoint/testing/oracle_server.ts";
import { withPairs } from "./testing/small_distillation.ts";

/** Says the right verdict at the attempt that the pair's number gives, counted from 0. */
class LateEngine extends ScriptedEngine {
  constructor(contextLength = 1 << 20) {
    const attempts = new Map<string, number>();
    super((prompt) => {
      const attempt = attempts.get(prompt) ?? 0;
      attempts.set(prompt, attempt + 1);
      const number = Number(/Is (\d+) a number/.exec(prompt)![1]);
      const better = prompt.indexOf(BETTER) < prompt.indexOf("Chatbot B") ? "A" : "B";
      const worse = better === "A" ? "B" : "A";
      return `<eval>attempt ${attempt}</eval><answer>[[${attempt >= number ? better : worse}]]</answer>`;
    }, { contextLength });
  }

  get keys(): (number | undefined)[] {
    return this.calls.flatMap((requests) => requests.map(({ key }) => key?.rollout));
  }
}

async function run(
  engine: LateEngine,
  { data, out, samples = 3 }: { readonly data: string; readonly out: string; readonly samples?: number },
): Promise<DistillResult> {
  return await distill({
    data,
    out,
    heldOut: [],
    seed: 0,
    source: {
      kind: "engine",
      engine: {
        engine,
        weights: "sha256:0",
        name: "late",
        protocol: "compact",
        samples,
        temperature: 1,
        maxTokens: 100,
        seed: 5,
        maxConcurrent: 4,
        tokenBudget: 1 << 16,
      },
    },
  });
}

Deno.test("each pair is sampled until it is right, and the first right trace is kept", async () => {
  await withPairs(5, async (folder, data) => {
    const out = join(folder, "traces.jsonl");
    const engine = new LateEngine();
    const { statistics } = await run(engine, { data, out });
    expect(statistics.passes["pass 1"]).toEqual({ kept: 3, "wrong-verdict": 1 + 2 + 3 + 3 });
    const traces = await readTraces(out);
    for (const { id, trace, pass, model } of traces) {
      expect([trace.includes(`attempt ${id.slice(1)}<`), pass, model]).toEqual([true, 1, "late"]);
    }
    expect(traces.map(({ id }) => id).sort()).toEqual(["p0", "p1", "p2"]);
    // Each round draws from a stream of its own.
    expect(engine.keys.sort()).toEqual([0, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2]);
  });
});

Deno.test("samples that the journal has are not made again, and more can be asked for", async () => {
  await withPairs(5, async (folder, data) => {
    const out = join(folder, "traces.jsonl");
    const engine = new LateEngine();
    await run(engine, { data, out });
    const before = engine.keys.length;
    const first = await readTraces(out);
    await run(engine, { data, out });
    expect([engine.keys.length, await readTraces(out)]).toEqual([before, first]);
    const { statistics } = await run(engine, { data, out, samples: 5 });
    expect(statistics.kept).toBe(5);
    expect(engine.keys.length).toBe(before + 1 + 2);
  });
});

Deno.test("a prompt that leaves no room in the context is told of, and not sampled", async () => {
  await withPairs(3, async (folder, data) => {
    const engine = new LateEngine(10);
    const { statistics } = await run(engine, { data, out: join(folder, "traces.jsonl") });
    expect([statistics.passes["pass 1"], engine.calls.length]).toEqual([{ "prompt-too-long": 3 }, 0]);
  });
});

Deno.test("traces from the data need no journal, and pairs without one are counted by reason", async () => {
  await withPairs(4, async (folder, data) => {
    const out = join(folder, "traces.jsonl");
    const { statistics } = await distill({ data, out, heldOut: [], seed: 0, source: { kind: "data" } });
    expect(statistics.passes).toEqual({ data: { "no-solution": 4 } });
    await expect(distill({ data, out, heldOut: [], seed: 0, source: { kind: "data" } })).rejects.toThrow(
      `File "${out}" exists already`,
    );
  });
});
