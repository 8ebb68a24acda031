/**
 * `generate`: lets a model write on.
 *
 * @module
 */
import type { DoneEvent } from "../engine/mod.ts";
import { describeModel, MODEL_OPTIONS, openFrozen } from "./engine.ts";
import { KeyValueMemory } from "./memory.ts";
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
    minP: defaulted(
      "--min-p",
      anyNumber({ min: 0, max: 1 }),
      0,
      "Draw from the tokens at least this times as likely as the likeliest",
    ),
    seed: defaulted("--seed", wholeNumber({ min: 0, max: 2 ** 32 - 1 }), 0, "Of the draws"),
    stop: repeated("--stop", anyText("TEXT"), "End before this text; may be given again"),
    ignoreEos: flag("--ignore-eos", "Never draw an end-of-sequence token"),
  },
  async run({ model, threads, precision, device, arithmetic, ids, text, ...sampling }, { out, log, signal }) {
    using memory = new KeyValueMemory(log);
    await using engine = await openFrozen(model, {
      threads,
      precision,
      device,
      arithmetic,
      onSummary: memory.see,
    });
    log(describeModel(engine));
    const prompt = await promptTokens(engine, { ids, text });
    const shown = engine.info.hasTokenizer ? showing(engine, out) : engine;
    let done: DoneEvent | undefined;
    for await (const event of shown.generate([{ ...sampling, prompt }], { signal })) {
      if (event.type !== "done") continue;
      done = event;
      out(engine.info.hasTokenizer ? "\n" : `${event.tokens.join(",")}\n`);
    }
    if (done === undefined) throw new Error("The engine ended without an answer");
    return {
      tokens: [...done.tokens],
      text: done.text,
      logprobs: [...done.logprobs],
      finish: done.finish,
      promptTokens: done.promptTokens,
    };
  },
});
