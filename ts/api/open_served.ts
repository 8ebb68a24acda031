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
  if (protocol === "rewardbench-2-ratings") {
    throw new RangeError(`Option protocol is "${protocol}", expected one that compares two answers`);
  }
  if (model === undefined) {
    throw new RangeError(`Option model is missing, expected the name of a model of the server at "${url}"`);
  }
  const common = { url: String(url), ...(api !== undefined && { api }) };
  const open = new Endpoint({ ...common, key: null });
  const found = key === undefined && isPrivate(open.endpoint)
    ? environment(APIS[open.api].keyVariable) ?? null
    : key ?? null;
  const endpoint = found === null ? open : new Endpoint({ ...common, key: found });
  const writer = new ServerWriter({ endpoint, model, sampling: { maxTokens: maxNewTokens, temperature } });
  const judge = new EndpointJudge(writer, {
    name: model,
    protocol,
    ...(verdicts !== undefined && { verdicts }),
  });
  return { judge, where: `the server at ${endpoint.endpoint}` };
}

/** Whether nobody on the way can read what is sent: a key that was not given for this server may go there. */
function isPrivate({ protocol, hostname }: URL): boolean {
  return protocol === "https:" || /^(?:localhost|127\.\d+\.\d+\.\d+|\[::1\])$/.test(hostname);
}
