/**
 * A judge by the test server's model.
 *
 * @module
 */
import {
  EndpointJudge,
  EndpointWriter,
  type EndpointWriterOptions,
  type PairProtocolName,
} from "rm-r1/judge";
import { Endpoint } from "../../ts/endpoint/mod.ts";
import { KEY } from "../../ts/endpoint/testing/oracle_server.ts";

/** What may differ from the usual. */
export interface ServedJudgeOptions extends Partial<EndpointWriterOptions> {
  readonly protocol?: PairProtocolName;
  readonly api?: "openai" | "anthropic";
}

/** Writes by the test server's model, with few tokens, calls and waits. */
export function servedWriter(url: string, { api, ...options }: ServedJudgeOptions = {}): EndpointWriter {
  return new EndpointWriter({
    endpoint: new Endpoint({ url, key: KEY, stallSeconds: 20, ...(api !== undefined && { api }) }),
    model: "oracle-small",
    sampling: { maxTokens: 400, temperature: 0 },
    prices: null,
    budget: {},
    concurrency: 5,
    retry: { retries: 6, baseSeconds: 0.01, seed: 0 },
    ...options,
  });
}

/** Judges by the test server's model. */
export function servedJudge(url: string, options: ServedJudgeOptions = {}): EndpointJudge {
  const { protocol = "instruct", ...rest } = options;
  return new EndpointJudge(servedWriter(url, rest), { name: "oracle-small", protocol });
}
