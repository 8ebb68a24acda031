/**
 * `logprobs`: log-probabilities of given tokens.
 *
 * @module
 */
import { flatForest } from "../engine/mod.ts";
import { describeModel, MODEL_OPTIONS, openFrozen } from "./engine.ts";
import { anyNumber, anyText, type Command, defaulted, defineCommand, optional, tokenIds } from "./parser.ts";
import { promptTokens } from "./prompt.ts";

/** The command. */
export const logprobs: Command = defineCommand({
  name: "logprobs",
  brief: "Log-probability of each token after the first, given those before it",
  options: {
    ...MODEL_OPTIONS,
    ids: optional("--ids", tokenIds(), "Token ids, separated by commas"),
    text: optional("--text", anyText("TEXT"), "Text for the model's tokenizer"),
    temperature: defaulted("--temperature", anyNumber({ min: 0 }), 1, "Divides the logits"),
  },
  async run({ model, threads, precision, device, arithmetic, temperature, ...prompt }, { out, log, signal }) {
    await using engine = await openFrozen(model, { threads, precision, device, arithmetic });
    log(describeModel(engine));
    const tokens = await promptTokens(engine, prompt);
    signal.throwIfAborted();
    const computed = await engine.logprobs(flatForest([tokens]).forest, { temperature });
    const ids = [...tokens];
    const logprobs = [...computed.subarray(1)];
    const pieces = engine.info.hasTokenizer
      ? await engine.decode(ids.map((id) => Uint32Array.of(id)), { keepSpecial: true })
      : [];
    for (const [at, id] of ids.entries()) {
      const value = at === 0 ? "" : logprobs[at - 1]!.toFixed(6);
      out(`${String(id).padStart(8)}  ${value.padStart(12)}  ${JSON.stringify(pieces[at] ?? "")}\n`);
    }
    return { ids, logprobs };
  },
});
