import { expect } from "expect";
import { type CompareEvent, Judge } from "./judge.ts";

const PAIR = { prompt: "Name a prime.", a: "It is 9.", b: "It is 7." };

function trace(verdict: string, quoteA: string): string {
  return `<type>Chat</type><rubric>1. Correct (60%)\n2. Short (40%)<justify>It matters.</justify></rubric>` +
    `<eval><quote_A>${quoteA}</quote_A> is weighed.</eval><answer>[[${verdict}]]</answer>`;
}

/** A server that speaks OpenAI's API piece by piece; `write` gives the text from what it was asked. */
async function served(
  write: (asked: string) => string,
  use: (url: string, state: { calls: number; ended: number }) => Promise<void>,
  pause = 0,
): Promise<void> {
  const state = { calls: 0, ended: 0 };
  const server = Deno.serve({ port: 0, onListen: () => {} }, async (request) => {
    state.calls++;
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
