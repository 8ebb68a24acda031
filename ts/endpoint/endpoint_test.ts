import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { expect } from "expect";
import fc from "fast-check";
import type { ApiName } from "./api_name.ts";
import { Endpoint, mostTokens } from "./endpoint.ts";
import type { Answer } from "./call.ts";
import { EndpointError } from "./endpoint_error.ts";

const REQUEST = {
  model: "m",
  messages: [{ role: "system", content: "S" }, { role: "user", content: "Q" }],
  sampling: { maxTokens: 10, temperature: 0.5, topP: 0.9 },
} as const;

interface Given {
  readonly url: string;
  readonly requests: { readonly headers: IncomingMessage["headers"]; readonly body: string }[];
}

async function withServer<T>(
  answer: (response: ServerResponse, request: IncomingMessage) => void,
  use: (given: Given) => Promise<T>,
): Promise<T> {
  const requests: { headers: IncomingMessage["headers"]; body: string }[] = [];
  const server = createServer(async (request, response) => {
    let body = "";
    for await (const chunk of request.setEncoding("utf8")) body += chunk;
    requests.push({ headers: request.headers, body });
    answer(response, request);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  try {
    return await use({ url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, requests });
  } finally {
    server.closeAllConnections();
    await new Promise<void>((resolve) => server.close(() => resolve()));
  }
}

async function errorOf(
  answer: (response: ServerResponse) => void,
  more: { readonly stallSeconds?: number; readonly callSeconds?: number } = {},
): Promise<EndpointError> {
  return await withServer(answer, async ({ url }) => {
    const oracle = new Endpoint({ url, key: "sk-secret", stallSeconds: 5, ...more });
    const error = await oracle.send(REQUEST).then(() => null, (reason) => reason);
    expect(error).toBeInstanceOf(EndpointError);
    expect(error.message).not.toContain("sk-secret");
    return error;
  });
}

const data = (value: unknown): string => `data: ${JSON.stringify(value)}\n\n`;
const chunk = (content: string, finish: string | null = null): string =>
  data({ model: "m-1", choices: [{ index: 0, delta: { content }, finish_reason: finish }] });
const OPENAI = [
  ": a comment\n\n",
  chunk("Grüße, "),
  chunk("😀 done"),
  chunk("", "stop"),
  data({ choices: [], usage: { prompt_tokens: 7, completion_tokens: 4 } }),
  "data: [DONE]\n\n",
].join("");
const event = (type: string, fields: object): string =>
  `event: ${type}\r\n${data({ type, ...fields }).trim()}\r\n\r\n`;
const ANTHROPIC = [
  event("message_start", {
    message: { model: "m-1", usage: { input_tokens: 4, cache_read_input_tokens: 3, output_tokens: 1 } },
  }),
  event("content_block_delta", { delta: { type: "thinking_delta", thinking: "hm" } }),
  event("content_block_delta", { delta: { type: "text_delta", text: "Grüße, " } }),
  event("ping", {}),
  event("something_new", { anything: 1 }),
  event("content_block_delta", { delta: { type: "text_delta", text: "😀 done" } }),
  event("message_delta", { delta: { stop_reason: "end_turn" }, usage: { output_tokens: 4 } }),
  event("message_stop", {}),
].join("");
const ANSWER: Answer = {
  text: "Grüße, 😀 done",
  end: "stop",
  tokens: { input: 7, output: 4 },
  servedBy: "m-1",
};
const SERVED: readonly [ApiName, string][] = [["openai", OPENAI], ["anthropic", ANTHROPIC]];

for (const [api, stream] of SERVED) {
  Deno.test(`a stream of "${api}" is read the same however it is cut into packets`, async () => {
    const bytes = new TextEncoder().encode(stream);
    const cuts = fc.array(fc.nat(bytes.length), { maxLength: 12 });
    await fc.assert(
      fc.asyncProperty(cuts, async (at) => {
        const places = [0, ...at.toSorted((x, y) => x - y), bytes.length];
        const answer = await withServer(async (response) => {
          response.writeHead(200, { "content-type": "text/event-stream" });
          for (let index = 1; index < places.length; index++) {
            response.write(bytes.subarray(places[index - 1], places[index]));
            await new Promise((resolve) => setImmediate(resolve));
          }
          response.end();
        }, ({ url }) => new Endpoint({ url, api, key: null }).send(REQUEST));
        expect(answer).toEqual(ANSWER);
      }),
      { numRuns: 15 },
    );
  });

  Deno.test(`a stream of "${api}" that ends anywhere before its end is no answer`, async () => {
    const last = stream.lastIndexOf(api === "openai" ? '"finish_reason":"stop"' : '"type":"message_stop"');
    for (let length = 0; length < last; length += 37) {
      const error = await errorOf((response) => {
        response.writeHead(200, { "content-type": "text/event-stream" }).end(stream.slice(0, length));
      });
      expect([error.kind, error.charged]).toEqual(["retry", true]);
    }
  });
}

Deno.test("what is sent is as each API has it, and the key goes in its header", async () => {
  for (const [api, stream] of SERVED) {
    await withServer(
      (response) => response.writeHead(200, { "content-type": "text/event-stream" }).end(stream),
      async ({ url, requests }) => {
        await new Endpoint({ url, api, key: "sk-secret" }).send(REQUEST);
        const [{ headers, body }] = requests as [Given["requests"][0]];
        const sent = JSON.parse(body);
        const common = { model: "m", max_tokens: 10, temperature: 0.5, top_p: 0.9, stream: true };
        if (api === "openai") {
          expect(headers.authorization).toBe("Bearer sk-secret");
          expect(sent).toEqual({
            ...common,
            messages: REQUEST.messages,
            stream_options: { include_usage: true },
          });
          await new Endpoint({ url, api, key: null, stream: false }).send(REQUEST);
          expect(requests[1]!.headers.authorization).toBe(undefined);
          const { stream_options: _, ...whole } = sent;
          expect(JSON.parse(requests[1]!.body)).toEqual({ ...whole, stream: false });
        } else {
          expect([headers["x-api-key"], headers["anthropic-version"]]).toEqual(["sk-secret", "2023-06-01"]);
          expect(sent).toEqual({ ...common, system: "S", messages: REQUEST.messages.slice(1) });
        }
      },
    );
  }
});

Deno.test("each status says what to do: stop, refuse the call, slow down, or try again", async () => {
  const expected: Record<string, [number[], boolean]> = {
    stop: [[301, 307, 401, 402, 403, 404, 405], false],
    refused: [[400, 413, 422], false],
    limited: [[429, 503, 529], false],
    retry: [[408, 409, 500, 502, 504], true],
  };
  for (const [kind, [statuses, charged]] of Object.entries(expected)) {
    for (const status of statuses) {
      const error = await errorOf((response) =>
        response.writeHead(status, { "retry-after": "3", location: "/elsewhere" }).end(
          '{"error": "no sk-secret"}',
        )
      );
      expect([status, error.kind, error.charged]).toEqual([status, kind, charged]);
      if (kind === "limited" || kind === "retry") expect(error.retryAfter).toBe(3000);
    }
  }
  const quota = await errorOf((response) =>
    response.writeHead(429).end('{"error": {"code": "insufficient_quota"}}')
  );
  expect(quota.kind).toBe("stop");
  expect(quota.message).toContain("no credit");
});

Deno.test("a redirect is not followed: another address would get the key", async () => {
  await withServer((response) => response.end("{}"), async (other) => {
    await withServer(
      (response) => response.writeHead(307, { location: `${other.url}/v1/chat/completions` }).end(),
      async ({ url }) => {
        await expect(new Endpoint({ url, key: "sk-secret" }).send(REQUEST)).rejects.toThrow("redirects to");
      },
    );
    expect(other.requests).toEqual([]);
  });
});

Deno.test("malformed answers, errors within a stream, silence and slowness are tried again", async () => {
  const sse = { "content-type": "text/event-stream" };
  const json = { "content-type": "application/json" };
  const cases: [string, (response: ServerResponse) => void, RegExp][] = [
    ["no JSON", (response) => response.writeHead(200, json).end("<html>"), /expected JSON, found "<html>"/],
    ["other JSON", (response) => response.writeHead(200, json).end("{}"), /expected a chat completion/],
    ["no chunk", (response) => response.writeHead(200, sse).end(data({ no: 1 })), /expected a chunk/],
    ["no UTF-8", (response) => response.writeHead(200, sse).end(Uint8Array.of(0xff, 0xfe)), /lost/],
    ["half a pair", (response) => response.writeHead(200, sse).end(`${chunk("\ud83d", "stop")}`), /Unicode/],
    [
      "an error",
      (response) =>
        response.writeHead(200, sse).end(data({ error: { type: "server_error", message: "oh" } })),
      /broke off with "server_error oh"/,
    ],
    ["silence", (response) => response.writeHead(200, sse).write(chunk("a")), /no byte within 0.2 s/],
    [
      "slowness",
      (response) => {
        response.writeHead(200, sse);
        const timer = setInterval(() => response.write(chunk("a")), 50);
        response.on("close", () => clearInterval(timer));
      },
      /no whole answer within 0.6 s/,
    ],
    ["a cut", (response) => response.writeHead(200, sse).write(chunk("a"), () => response.destroy()), /lost/],
  ];
  for (const [name, answer, message] of cases) {
    const error = await errorOf(answer, { stallSeconds: 0.2, callSeconds: 0.6 });
    expect([name, error.kind, error.charged]).toEqual([name, "retry", true]);
    expect(error.message).toMatch(message);
  }
  const overloaded = await errorOf((response) =>
    response.writeHead(200, sse).end(
      data({ type: "error", error: { type: "overloaded_error", message: "" } }),
    )
  );
  expect(overloaded.kind).toBe("limited");
});

Deno.test("a server that is not there has charged for nothing", async () => {
  const url = await withServer(() => {}, ({ url }) => Promise.resolve(url));
  const error = await new Endpoint({ url, key: null }).send(REQUEST).catch((reason) => reason);
  expect([error.kind, error.charged]).toEqual(["retry", false]);
});

Deno.test("an address may hold the API's path, a version, or neither", () => {
  const cases: [string, string, ApiName][] = [
    ["http://h:8000", "http://h:8000/v1/chat/completions", "openai"],
    ["http://h:8000/v1/", "http://h:8000/v1/chat/completions", "openai"],
    ["https://h/openai/v4", "https://h/openai/v4/chat/completions", "openai"],
    ["https://h/x/chat/completions", "https://h/x/chat/completions", "openai"],
    ["https://h/v1/messages", "https://h/v1/messages", "anthropic"],
    ["https://api.anthropic.com", "https://api.anthropic.com/v1/messages", "anthropic"],
  ];
  for (const [url, endpoint, api] of cases) {
    const oracle = new Endpoint({ url, key: null });
    expect([String(oracle.endpoint), oracle.api]).toEqual([endpoint, api]);
  }
  for (const url of ["", "h:8000", "ftp://h", "localhost/v1"]) {
    expect(() => new Endpoint({ url, key: null })).toThrow(`The server's address is "${url}"`);
  }
});

Deno.test("the bound on input tokens is above one a byte", () => {
  fc.assert(fc.property(fc.array(fc.string({ unit: "binary" })), (contents) => {
    const messages = contents.map((content) => ({ role: "user" as const, content }));
    const bytes = contents.reduce((sum, content) => sum + new TextEncoder().encode(content).length, 0);
    expect(mostTokens(messages, { maxTokens: 5 }).input).toBeGreaterThan(bytes + contents.length);
  }));
});
