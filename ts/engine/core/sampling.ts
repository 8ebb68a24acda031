/**
 * Requests as the core reads them.
 *
 * @module
 */

import type { GenerateRequest } from "../engine.ts";
import { EngineError } from "../error.ts";

/**
 * The core's form of a request's options, defaults filled in. The core checks what they mean; here is checked what
 * JSON would change on the way.
 *
 * @throws {EngineError} Of kind `input`, naming the request by its index.
 */
export function samplingOf(request: GenerateRequest, index: number): Record<string, unknown> {
  const refuse = (name: string, found: unknown, expected: string): never => {
    throw new EngineError("input", `Request ${index}: ${name} is "${found}", expected ${expected}`);
  };
  const whole = (name: string, value: number): number =>
    Number.isSafeInteger(value) && value >= 0 ? value : refuse(name, value, "a whole number of at least 0");
  const finite = (name: string, value: number): number =>
    Number.isFinite(value) ? value : refuse(name, value, "a finite number");
  const { temperature = 1, topK = 0, topP = 1, minP = 0, logitBias = {}, stop = [], ignoreEos = false } =
    request;
  if (request.seed !== undefined && request.key !== undefined) {
    refuse("seed", request.seed, "none beside a key, which has its own");
  }
  const { seed = 0, step = 0, prompt = 0, rollout = 0 } = request.key ?? { seed: request.seed };
  return {
    maxTokens: whole("maxTokens", request.maxTokens),
    temperature: finite("temperature", temperature),
    topK: whole("topK", topK),
    topP: finite("topP", topP),
    minP: finite("minP", minP),
    // JSON writes −Infinity as null, and the core reads null so.
    logitBias: Object.entries(logitBias).map(([token, bias]) => [
      whole("a token id of logitBias", Number(token)),
      bias === -Infinity ? null : finite(`logitBias[${token}]`, bias),
    ]),
    stop,
    ignoreEos,
    key: {
      seed: whole("seed", seed),
      step: whole("key.step", step),
      prompt: whole("key.prompt", prompt),
      rollout: whole("key.rollout", rollout),
    },
  };
}
