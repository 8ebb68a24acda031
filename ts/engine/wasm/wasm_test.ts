import { expect } from "expect";
import { existsSync } from "node:fs";
import { mkdtemp, readFile, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { SMOLLM2 } from "../../models/testing/smollm2.ts";
import { openWasmDoor } from "../doors/server.ts";
import { CoreEngine, CoreReference } from "../core/core_engine.ts";
import { flatForest } from "../forest.ts";
import { loadGlue, WASM_URL } from "./glue.ts";
import { failureOf, WasmDoor } from "./wasm_door.ts";

const BASE = fileURLToPath(new URL("../../../models/embedded-base", import.meta.url));
const ADAM_W = { learningRate: 1e-3, beta1: 0.9, beta2: 0.99, epsilon: 1e-8, weightDecay: 0, maxGradNorm: 1 };
const missing = !existsSync(WASM_URL);
if (missing) {
  process.stderr.write(
    'SKIPPED: the core has not been built for WebAssembly; build it with "deno task wasm"\n',
  );
}
const options = { ignore: missing };

/** A core on the thread of the tests, which has one. */
async function openHere(): Promise<WasmDoor> {
  return await WasmDoor.open(await loadGlue(), await readFile(WASM_URL) as Uint8Array<ArrayBuffer>);
}

Deno.test("where there is no SIMD, or what is loaded is no core, an error says so", options, async () => {
  const { validate } = WebAssembly;
  WebAssembly.validate = () => false;
  try {
    await expect(openHere()).rejects.toMatchObject({
      kind: "device",
      message: "There is no WebAssembly with SIMD here, expected a browser or runtime of 2023 or newer",
    });
  } finally {
    WebAssembly.validate = validate;
  }
  const glue = await loadGlue();
  await expect(WasmDoor.open(glue, Uint8Array.of(1, 2, 3))).rejects.toMatchObject({
    kind: "library",
    message: expect.stringMatching(/^Cannot start the WebAssembly core: /),
  });
  await expect(WasmDoor.open(glue, new URL("none.wasm", import.meta.url))).rejects.toMatchObject({
    kind: "library",
  });
});

Deno.test(
  "training in WebAssembly comes to what it comes to natively, and saves and restores",
  options,
  async () => {
    const folder = await mkdtemp(join(tmpdir(), "rm-r1-wasm-"));
    const door = await openWasmDoor();
    try {
      const losses = await Promise.all([{}, { door }].map(async (place, at) => {
        await using engine = await CoreEngine.open(BASE, place);
        const tokens = await engine.encode(["Anna has 57 pens.", "Tom buys 12 apples."]);
        const { forest } = flatForest(tokens);
        const seen: number[] = [];
        for (let step = 0; step < 3; step++) {
          using tape = await engine.forward(forest);
          const dLogprobs = tape.logprobs.map((logprob) => Number.isNaN(logprob) ? 0 : -0.1);
          seen.push(tape.logprobs.filter((x) => !Number.isNaN(x)).reduce((sum, x) => sum + x, 0));
          await tape.backward({ dLogprobs });
          await engine.step(ADAM_W);
        }
        const saved = join(folder, String(at));
        const gradients = join(folder, `gradients-${at}.safetensors`);
        await engine.forward(forest).then(async (tape) => {
          using kept = tape;
          await kept.backward({ dLogprobs: kept.logprobs.map((logprob) => Number.isNaN(logprob) ? 0 : 1) });
        });
        await engine.saveGradients(gradients);
        expect((await stat(gradients)).size).toBeGreaterThan(3e6);
        await engine.discardGradients();
        await engine.save(saved, { optimizer: true });
        await engine.load(saved);
        expect(JSON.parse(await readFile(join(saved, "config.json"), "utf8")).model_type).toBe("llama");
        return seen;
      }));
      expect(losses[0]!.length).toBe(3);
      expect(losses[0]![0]).not.toBeCloseTo(losses[0]![2]!, 1);
      for (const [at, loss] of losses[0]!.entries()) expect(losses[1]![at]).toBeCloseTo(loss, 2);
    } finally {
      door.terminate();
      await rm(folder, { recursive: true, force: true });
    }
  },
);

Deno.test(
  "memory that runs out in the middle ends the core with that error, on each number of threads, and nothing hangs",
  options,
  async () => {
    const config = JSON.parse(await readFile(join(BASE, "config.json"), "utf8"));
    const huge = { ...config, vocab_size: 300_000, hidden_size: 4096 };
    for (const threads of [1, 3]) {
      const door = await openWasmDoor({ threads });
      await expect(CoreEngine.init(huge, { door })).rejects.toMatchObject({
        kind: "memory",
        message: expect.stringMatching(/^WebAssembly has no memory for/),
      });
      await expect(CoreReference.open(BASE, { door })).rejects.toMatchObject({ kind: "memory" });
      expect(door.isEnded).toBe(true);
    }
  },
);

Deno.test(
  "the bits do not depend on the threads, which can be fewer from one model to the next",
  options,
  async () => {
    const found: Float32Array[] = [];
    for (const threads of [1, 3]) {
      const door = await openWasmDoor({ threads });
      try {
        expect(door.about).toBe(`WebAssembly on ${threads} thread${threads === 1 ? "" : "s"} (asked for)`);
        for (const asked of [threads, 2, 64]) {
          await using engine = await CoreReference.open(BASE, { door, threads: asked });
          const used = Math.min(asked, threads);
          expect(engine.info.backend).toContain(`cpu (${used} thread${used === 1 ? "" : "s"}, simd128)`);
          const [tokens] = await engine.encode([
            "Anna has 57 pens. Later 25 of the pens are sold. ".repeat(4),
          ]);
          found.push(await engine.logprobs(flatForest([tokens!]).forest));
        }
      } finally {
        door.terminate();
      }
    }
    for (const logprobs of found) expect(logprobs).toEqual(found[0]);
    for (const threads of [0, -1, 1.5, 256]) {
      await expect(openWasmDoor({ threads })).rejects.toMatchObject({
        kind: "input",
        message: `Option threads is "${threads}", expected a whole number from 1 to 255`,
      });
    }
  },
);

Deno.test("memory that runs out on a lent thread ends the core, too", options, async () => {
  const config = JSON.parse(await readFile(join(BASE, "config.json"), "utf8"));
  const door = await openWasmDoor({ threads: 2 });
  const wide = { ...config, vocab_size: 100_000, hidden_size: 1024, num_hidden_layers: 1 };
  const engine = await CoreEngine.init(wide, { door });
  const copies = async (): Promise<void> => {
    while (true) await engine.reference();
  };
  await expect(copies()).rejects.toMatchObject({ kind: "memory" });
  expect(door.isEnded).toBe(true);
});

Deno.test("a file beyond what 32 bits count is refused, and the core goes on", options, async () => {
  const door = await openWasmDoor({ threads: 1 });
  try {
    for (const size of [2 ** 32, 2 ** 32 + 70_000, NaN]) {
      const stream = new Blob([new Uint8Array(100_000)]).stream();
      await expect(door.files!.write("large", size, stream)).rejects.toMatchObject({ kind: "memory" });
    }
    await using engine = await CoreReference.open(BASE, { door });
    expect((await engine.encode(["Anna"]))[0]!.length).toBeGreaterThan(0);
  } finally {
    door.terminate();
  }
});

Deno.test("a core that cannot even say why it failed has failed", async () => {
  const trap = new Error("unreachable");
  const silent = {
    failure: () => {
      throw trap;
    },
  } as unknown as Parameters<typeof failureOf>[0];
  await expect(Promise.reject(failureOf(silent, trap))).rejects.toMatchObject({
    kind: "internal",
    message: "The WebAssembly core ended with a trap and could not say why (unreachable)",
  });
});

Deno.test(
  "a quantised model takes little more memory than its file, while it opens and after",
  { ignore: missing || !existsSync(SMOLLM2) },
  async () => {
    const door = await openHere();
    const before = door.shared.memory.buffer.byteLength;
    await using engine = await CoreReference.open(SMOLLM2, { door });
    expect(engine.info.parameters).toBe(134_515_008);
    const taken = door.shared.memory.buffer.byteLength - before;
    const { size } = await stat(SMOLLM2);
    expect(taken / size).toBeGreaterThan(0.9);
    expect(taken / size).toBeLessThan(1.5);
  },
);

Deno.test(
  "a job that is cancelled ends within a turn, on this thread as on a worker's",
  options,
  async () => {
    const here = await openHere();
    const worker = await openWasmDoor();
    try {
      for (const door of [here, worker]) {
        await using engine = await CoreReference.open(BASE, { door });
        const [prompt] = await engine.encode(["Anna has"]);
        const enough = new AbortController();
        const request = {
          prompt: prompt!,
          maxTokens: 400,
          temperature: 0,
          ignoreEos: true,
          key: { seed: 0, step: 0, prompt: 0, rollout: 0 },
        };
        let tokens = 0;
        const generated = async (): Promise<void> => {
          for await (const event of engine.generate([request], { stream: true, signal: enough.signal })) {
            if (event.type === "token" && ++tokens === 5) enough.abort(new Error("enough"));
          }
        };
        await expect(generated()).rejects.toThrow("enough");
        expect(tokens).toBeLessThan(40);
        expect((await engine.logprobs(flatForest([prompt!]).forest)).length).toBe(prompt!.length);
      }
    } finally {
      worker.terminate();
    }
  },
);
