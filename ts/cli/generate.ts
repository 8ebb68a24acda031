/**
 * `generate`: lets a model write on.
 *
 * @module
 */
import { describeModel, MODEL_OPTIONS, openModel } from "./engine.ts";
import {
  anyNumber,
  anyText,
  type Command,
  defaulted,
  defineCommand,
  flag,
  optional,
  repeated,
  tokenIds,
  wholeNumber,
} from "./parser.ts";
import { promptTokens } from "./prompt.ts";
import { showing } from "./streaming.ts";

/** The command. */
export const generate: Command = defineCommand({
  name: "generate",
  brief: "Write on from a prompt",
  options: {
    ...MODEL_OPTIONS,
    ids: optional("--ids", tokenIds(), "The prompt's token ids, separated by commas"),
    text: optional("--text", anyText("TEXT"), "The prompt, for the model's tokenizer"),
    maxTokens: defaulted("--max-tokens", wholeNumber({ min: 1 }), 128, "Most tokens to write"),
    temperature: defaulted("--temperature", anyNumber({ min: 0 }), 1, "0 takes the most likely token"),
    topK: defaulted("--top-k", wholeNumber({ min: 0 }), 0, "Draw from the k most likely tokens, 0 for all"),
    topP: defaulted(
      "--top-p",
      anyNumber({ min: 0, max: 1 }),
      1,
      "Draw from the smallest set with this probability",
    ),
    seed: defaulted("--seed", wholeNumber({ min: 0, max: 2 ** 32 - 1 }), 0, "Of the draws"),
    stop: repeated("--stop", anyText("TEXT"), "End before this text; may be given again"),
    ignoreEos: flag("--ignore-eos", "Never draw an end-of-sequence token"),
  },
  async run({ model, threads, precision, ids, text, seed, ...sampling }, { out, log, signal }) {
    await using engine = await openModel(model, { threads, precision });
    log(describeModel(engine));
    const prompt = await promptTokens(engine, { ids, text });
    const key = { seed, step: 0, prompt: 0, rollout: 0 };
    const shown = engine.info.hasTokenizer ? showing(engine, out) : engine;
    for await (const event of shown.generate([{ ...sampling, prompt, key }], { signal })) {
      if (event.type !== "done") continue;
      const tokens = [...event.tokens];
      out(engine.info.hasTokenizer ? "\n" : `${tokens.join(",")}\n`);
      return {
        tokens,
        text: event.text,
        logprobs: [...event.logprobs],
        finish: event.finish,
        promptTokens: event.promptTokens,
      };
    }
    throw new Error("The engine ended without an answer");
  },
});
