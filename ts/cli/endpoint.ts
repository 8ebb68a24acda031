/**
 * Options of the commands that ask a model behind HTTP.
 *
 * @module
 */
import process from "node:process";
import { API_NAMES, APIS, type BudgetLimits, Endpoint, type Prices } from "../endpoint/mod.ts";
import { UsageError } from "./errors.ts";
import {
  anyNumber,
  anyText,
  type Context,
  defaulted,
  flag,
  oneOf,
  optional,
  type Values,
  wholeNumber,
} from "./parser.ts";

/** Price of a million tokens. */
export const price = (name: `--${string}`, what: string): ReturnType<typeof optional<number>> =>
  optional(name, anyNumber({ min: 0 }), `Price of a million ${what}; 0 where they are free`);

/** Options that make sense for a server alone. */
export const ENDPOINT_OPTIONS = {
  model: optional("--model", anyText("NAME"), "The server's model"),
  api: optional("--api", oneOf(API_NAMES), "What the server speaks; by its URL if not given"),
  keyEnv: optional("--key-env", anyText("NAME"), "Environment variable that holds the API key"),
  topP: optional("--top-p", anyNumber({ min: 0, max: 1 }), "The server's own if not given"),
  budget: optional(
    "--budget",
    anyNumber({ min: 0 }),
    "Most that all calls may cost, in the prices' currency",
  ),
  maxCalls: optional("--max-calls", wholeNumber({ min: 0 }), "Most calls"),
  maxTokens: optional("--max-tokens", wholeNumber({ min: 0 }), "Most tokens, input and output, of all calls"),
  inputPrice: price("--input-price", "input tokens"),
  outputPrice: price("--output-price", "output tokens"),
  concurrency: defaulted("--concurrency", wholeNumber({ min: 1, max: 1024 }), 32, "Most calls at once"),
  retries: defaulted("--retries", wholeNumber({ min: 0 }), 6, "Times that a failed call is made again"),
  noStream: flag("--no-stream", "Ask for whole answers: for servers that count no tokens of streams"),
  stallSeconds: defaulted("--stall-seconds", wholeNumber({ min: 1 }), 300, "Silence that ends a call"),
  callSeconds: defaulted("--call-seconds", wholeNumber({ min: 1 }), 1800, "Most seconds of a call"),
};

/** What was chosen of {@link ENDPOINT_OPTIONS}. */
export type EndpointChoice = Values<typeof ENDPOINT_OPTIONS>;

/** Whether a name is a server's address. */
export function isUrl(name: string): boolean {
  return /^https?:/i.test(name);
}

/**
 * Refuses options that make no sense without a server.
 *
 * @param what stands in the place of the server's address
 * @throws {UsageError} One of them is given.
 */
export function refuseEndpointOptions(choice: EndpointChoice, what: string): void {
  const given: [string, unknown][] = [
    ["--model", choice.model],
    ["--api", choice.api],
    ["--key-env", choice.keyEnv],
    ["--budget", choice.budget],
    ["--max-calls", choice.maxCalls],
    ["--max-tokens", choice.maxTokens],
  ];
  const [name] = given.find(([, value]) => value !== undefined) ?? [];
  if (name !== undefined) throw new UsageError(`Option ${name} is for a server's URL, not for "${what}"`);
}

/**
 * The server at an address, with the key from the environment.
 *
 * @throws {UsageError} The address is none, or the key's variable is not set.
 */
export function openEndpoint(url: string, choice: EndpointChoice, log: Context["log"]): Endpoint {
  const { api, keyEnv, noStream, stallSeconds, callSeconds } = choice;
  const common = { url, ...(api !== undefined && { api }), stream: !noStream, stallSeconds, callSeconds };
  try {
    const variable = keyEnv ?? APIS[new Endpoint({ ...common, key: null }).api].keyVariable;
    const key = process.env[variable];
    if (key === undefined || key === "") {
      if (keyEnv !== undefined) {
        throw new UsageError(`Environment variable "${keyEnv}" is not set, expected the API key`);
      }
      log(`No API key is sent: environment variable "${variable}" is not set\n`);
    }
    return new Endpoint({ ...common, key: key === undefined || key === "" ? null : key });
  } catch (error) {
    throw error instanceof RangeError ? new UsageError(error.message, { cause: error }) : error;
  }
}

/** Prices where both are given; null where none is. @throws {UsageError} One of them is missing. */
export function pricesOf(
  input: number | undefined,
  output: number | undefined,
  names: string,
): Prices | null {
  if (input === undefined && output === undefined) return null;
  if (input === undefined || output === undefined) throw new UsageError(`Give both ${names}, or neither`);
  return { input, output };
}

/** What all calls may take. */
export function limitsOf({ budget: cost, maxCalls: calls, maxTokens: tokens }: EndpointChoice): BudgetLimits {
  return {
    ...(cost !== undefined && { cost }),
    ...(calls !== undefined && { calls }),
    ...(tokens !== undefined && { tokens }),
  };
}
