/**
 * Opens a judge behind a server.
 *
 * @module
 */
import { environment } from "#sources";
import { APIS } from "../endpoint/apis.ts";
import { Endpoint } from "../endpoint/endpoint.ts";
import { EndpointJudge } from "../judge/endpoint_judge.ts";
import { ServerWriter } from "../judge/server_writer.ts";
import type { OpenOptions } from "./judge.ts";
import type { Opened } from "./open_local.ts";

/**
 * As {@link Judge.open} with a server's URL.
 *
 * @throws {RangeError} No model is named, or the URL is none of a server.
 */
export function openServed(url: URL, options: OpenOptions): Opened {
  const { model, key, api, protocol = "instruct", verdicts, maxNewTokens = 8192, temperature = 0 } = options;
  if (model === undefined) {
    throw new RangeError(`Option model is missing, expected the name of a model of the server at "${url}"`);
  }
  const common = { url: String(url), ...(api !== undefined && { api }) };
  const variable = APIS[new Endpoint({ ...common, key: null }).api].keyVariable;
  const endpoint = new Endpoint({ ...common, key: key ?? environment(variable) ?? null });
  const writer = new ServerWriter({ endpoint, model, sampling: { maxTokens: maxNewTokens, temperature } });
  const judge = new EndpointJudge(writer, {
    name: model,
    protocol,
    ...(verdicts !== undefined && { verdicts }),
  });
  return { judge, where: `the server at ${endpoint.endpoint}` };
}
