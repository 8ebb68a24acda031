import { expect } from "expect";
import process from "node:process";
import { EndpointError } from "../endpoint/endpoint_error.ts";
import { CoreReference } from "../engine/core/core_engine.ts";
import { type CompareEvent, Judge, type OpenOptions } from "./judge.ts";

const PAIR = { prompt: "Name a prime.", a: "It is 9.", b: "It is 7." };

function trace(verdict: string, quoteA: string): string {
  return `<type>Chat</type><rubric>1. Correct (60%)\n2. Short (40%)<justify>It matters.</justify></rubric>` +
    `<eval><quote_A>${quoteA}</quote_A> is weighed.</eval><answer>[[${verdict}]]</answer>`;
}

/** A server that speaks OpenAI's API piece by piece; `write` gives the text from what it was asked. */
async function served(
  write: (asked: string) => string,
  use: (url: string, state: { calls: number; ended: number; key: string | null }) => Promise<void>,
  pause = 0,
): Promise<void> {
  const state = { calls: 0, ended: 0, key: null as string | null };
  const server = Deno.serve({ port: 0, onListen: () => {} }, async (request) => {
    state.calls++;
    state.key = request.headers.get("authorization");
    const { messages } = await request.json();
    const text = write(messages.at(-1).content);
    if (text.startsWith("status ")) return new Response("busy", { status: Number(text.slice(7)) });
    const pieces = text.match(/[^]{1,20}/g)!.map((content) => ({ choices: [{ delta: { content } }] }));
    const events = [...pieces, { choices: [{ delta: {}, finish_reason: "stop" }] }];
    let gone = false;
    const body = new ReadableStream<Uint8Array>({
      async start(controller) {
        for (const event of events) {
          if (gone) return;
          controller.enqueue(new TextEncoder().encode(`data: ${JSON.stringify(event)}\n\n`));
          await new Promise((resolve) => setTimeout(resolve, pause));
        }
        controller.close();
      },
      cancel() {
        gone = true;
        state.ended++;
      },
    });
    return new Response(body, { headers: { "content-type": "text/event-stream" } });
  });
  try {
    await use(`http://127.0.0.1:${(server.addr as Deno.NetAddr).port}/v1`, state);
  } finally {
    await server.shutdown();
  }
}

/** Whether the answer "It is 9." was asked about in place A. */
function isFirst(asked: string): boolean {
  return asked.indexOf("It is 9.") < asked.indexOf("It is 7.");
}

Deno.test("both orders are judged, and quotes are by the caller's letters", async () => {
  const write = (asked: string): string => isFirst(asked) ? trace("B", "It is 9.") : trace("A", "It is 7.");
  await served(write, async (url) => {
    await using judge = await Judge.open(url, { model: "m", key: "k" });
    expect([judge.name, judge.where]).toEqual(["m", `the server at ${url}/chat/completions`]);
    const comparison = await judge.compare(PAIR);
    expect(comparison).toMatchObject({ verdict: "B", reason: null, votes: { A: 0, B: 2, none: 0 } });
    expect(comparison.rubric).toEqual([{ text: "Correct", weight: 0.6 }, { text: "Short", weight: 0.4 }]);
    expect(comparison.quotes).toMatchObject([{ side: "A", text: "It is 9.", found: "exact" }]);
    const [, swapped] = comparison.judgements;
    expect(swapped).toMatchObject({ swapped: true, verdict: "B", quotes: [{ side: "B", found: "exact" }] });
    expect((await judge.bestOf({ prompt: "Name a prime.", answers: ["It is 9.", "It is 7."] })).best).toBe(1);
  });
});

Deno.test("a judge that holds to a place gives no verdict, and one order takes its word", async () => {
  await served(() => trace("A", "It is 8."), async (url, state) => {
    await using judge = await Judge.open(new URL(url), { model: "m" });
    expect(await judge.compare(PAIR)).toMatchObject({
      verdict: null,
      reason: "votes-tied",
      votes: { A: 1, B: 1, none: 0 },
    });
    const given = await judge.compare(PAIR, { orders: "given" });
    expect(given).toMatchObject({ verdict: "A", quotes: [{ side: "A", found: "missing" }] });
    expect(state.calls).toBe(3);
    await expect(judge.compare(PAIR, { samples: 0 })).rejects.toThrow('Option samples is "0"');
  });
});

Deno.test("a text without a verdict is none, with its reason", async () => {
  await served(() => "I cannot say.", async (url) => {
    await using judge = await Judge.open(url, { model: "m" });
    expect(await judge.compare(PAIR)).toMatchObject({
      verdict: null,
      reason: "no-answer",
      votes: { A: 0, B: 0, none: 2 },
      trace: "I cannot say.",
    });
  });
});

Deno.test("the trace streams, and leaving it ends the calls", async () => {
  await served((asked) => trace(isFirst(asked) ? "A" : "B", "It is 9."), async (url, state) => {
    await using judge = await Judge.open(url, { model: "m" });
    const events: CompareEvent[] = [];
    for await (const event of judge.stream(PAIR)) events.push(event);
    const first = events.filter((event) => event.type === "trace" && event.judgement === 0);
    expect(first.length).toBeGreaterThan(5);
    expect(events.at(-1)).toMatchObject({ type: "comparison", comparison: { verdict: "A" } });
    for await (const event of judge.stream(PAIR)) {
      expect(event.type).toBe("trace");
      break;
    }
    const enough = AbortSignal.timeout(30);
    await expect(judge.compare(PAIR, { signal: enough })).rejects.toMatchObject({ name: "TimeoutError" });
    while (state.ended < 3) await new Promise((resolve) => setTimeout(resolve, 5));
  }, 10);
});

Deno.test("a server that is busy is asked again; one that refuses is an error", async () => {
  let busy = 2;
  await served(() => busy-- > 0 ? "status 503" : trace("A", "x"), async (url, state) => {
    await using judge = await Judge.open(url, { model: "m" });
    expect((await judge.compare(PAIR, { orders: "given" })).verdict).toBe("A");
    expect(state.calls).toBe(3);
  });
  await served(() => "status 401", async (url) => {
    await using judge = await Judge.open(url, { model: "m" });
    await expect(judge.compare(PAIR)).rejects.toThrow("the key is missing or wrong");
  });
  await expect(Judge.open("http://127.0.0.1:9/v1")).rejects.toThrow("Option model is missing");
  await expect(Judge.open("nowhere")).rejects.toThrow('No model "nowhere"');
});

Deno.test("the environment's key goes to this machine or by https alone, and null sends none", async () => {
  const before = process.env["OPENAI_API_KEY"];
  process.env["OPENAI_API_KEY"] = "from-environment";
  try {
    await served(() => trace("A", "x"), async (url, state) => {
      const asked = async (options: { key?: string | null }, address = url): Promise<string | null> => {
        await using judge = await Judge.open(address, { model: "m", ...options });
        await judge.compare(PAIR, { orders: "given" });
        return state.key;
      };
      expect(await asked({})).toBe("Bearer from-environment");
      expect(await asked({ key: "mine" })).toBe("Bearer mine");
      expect(await asked({ key: null })).toBe(null);
      // Another name of this machine, which the rule does not know.
      expect(await asked({}, url.replace("127.0.0.1", "0.0.0.0"))).toBe(null);
    });
  } finally {
    if (before === undefined) delete process.env["OPENAI_API_KEY"];
    else process.env["OPENAI_API_KEY"] = before;
  }
});

Deno.test("a judge that was disposed of ends its calls, and takes no more", async () => {
  await served(() => trace("A", "x"), async (url) => {
    const judge = await Judge.open(url, { model: "m" });
    const going = judge.compare(PAIR);
    setTimeout(() => void judge[Symbol.asyncDispose](), 30);
    await expect(going).rejects.toMatchObject({ name: "EngineError", kind: "handle" });
    await expect(judge.compare(PAIR)).rejects.toMatchObject({ kind: "handle" });
  }, 20);
});

Deno.test("a failure in the middle of the best of several is the server's own error", async () => {
  await served(() => "status 404", async (url) => {
    await using judge = await Judge.open(url, { model: "m" });
    await expect(judge.bestOf({ prompt: "?", answers: ["a", "b"] })).rejects.toBeInstanceOf(EndpointError);
  });
});

Deno.test("what is no option is refused by its name, before anything is asked", async () => {
  const wrong: [OpenOptions, string][] = [
    [{ protocol: "nonsense" as "instruct" }, 'Option protocol is "nonsense", expected one of instruct, '],
    [{ protocol: "rewardbench-2-ratings" }, "expected one that compares two answers"],
    [{ verdicts: "zzz" as "strict" }, 'Option verdicts is "zzz", expected one of strict, '],
    [{ api: "zzz" as "openai" }, 'Option api is "zzz", expected one of openai, anthropic'],
    [{ precision: "zzz" as "f32" }, 'Option precision is "zzz", expected one of f32, bf16, int8'],
    [{ maxNewTokens: 0 }, 'Option maxNewTokens is "0", expected a whole number above 0'],
    [{ temperature: -1 }, 'Option temperature is "-1", expected a number from 0 on'],
    [{ seed: 0.5 }, 'Option seed is "0.5", expected a whole number from 0 on'],
    [{ core: { threads: 0 } }, 'Option core.threads is "0", expected a whole number above 0'],
  ];
  await served(() => trace("A", "x"), async (url, state) => {
    for (const [options, message] of wrong) {
      await expect(Judge.open(url, { model: "m", ...options })).rejects.toThrow(message);
    }
    await using judge = await Judge.open(url, { model: "m" });
    await expect(judge.compare(PAIR, { orders: "zzz" as "both" })).rejects.toThrow('Option orders is "zzz"');
    await expect(judge.compare(PAIR, { samples: 2 })).rejects.toThrow("expected 1 at temperature 0");
    await expect(judge.compare({ ...PAIR, a: undefined as unknown as string })).rejects.toThrow(
      'Answer a is "undefined", expected a text',
    );
    await expect(judge.compare({ ...PAIR, prompt: [] })).rejects.toThrow("expected a text, or messages");
    const method = "zzz" as "knockout";
    await expect(judge.bestOf({ prompt: "?", answers: ["a"] }, { method })).rejects.toThrow(
      'Option method is "zzz", expected one of knockout, all-pairs',
    );
    expect(state.calls).toBe(0);
  });
});

Deno.test("half a character in an answer is read as one that is unknown", async () => {
  await using judge = await Judge.open("models/embedded-base", { protocol: "compact", maxNewTokens: 8 });
  const { judgements } = await judge.compare({ ...PAIR, a: "It is 9 \ud83d" });
  expect(judgements.length).toBe(2);
});

Deno.test("opening ends with the signal, also while the core reads the model", async () => {
  const enough = new AbortController();
  enough.abort(new Error("enough"));
  await expect(Judge.open("models/embedded-base", { protocol: "compact", signal: enough.signal })).rejects
    .toThrow("enough");
  const soon = new AbortController();
  const opening = CoreReference.open("models/embedded-base", { signal: soon.signal });
  soon.abort(new Error("soon"));
  await expect(opening).rejects.toThrow("soon");
});
