/**
 * Opens the judge that a command line names.
 *
 * @module
 */
import { VERDICT_RULE_NAMES } from "../cor/mod.ts";
import type { CoreOptions, Engine } from "../engine/mod.ts";
import {
  type CallEstimate,
  type CallState,
  EndpointJudge,
  EndpointWriter,
  type Judge,
  JUDGE_PROTOCOLS,
  JUDGE_SPECS,
  openJudge,
  RatingJudge,
} from "../judge/mod.ts";
import { resolveModel } from "../models/mod.ts";
import {
  ENDPOINT_OPTIONS,
  isUrl,
  limitsOf,
  openEndpoint,
  pricesOf,
  refuseEndpointOptions,
} from "./endpoint.ts";
import { ENGINE_OPTIONS, openFrozen } from "./engine.ts";
import { UsageError } from "./errors.ts";
import { giveUpLocalCode, goOffline } from "./offline.ts";
import {
  anyNumber,
  anyText,
  type Context,
  defaulted,
  flag,
  oneOf,
  optional,
  required,
  type Values,
  wholeNumber,
} from "./parser.ts";

/** Options of every command that opens a judge. */
export const JUDGE_OPTIONS = {
  judge: required(
    "--judge",
    anyText("JUDGE"),
    `A model's name, a server's URL, or ${JUDGE_SPECS.join(", ")}`,
  ),
  protocol: optional(
    "--protocol",
    oneOf(JUDGE_PROTOCOLS),
    "How a model is asked; in place of what its rmr1.json says; of a server instruct if not given",
  ),
  verdicts: optional(
    "--verdicts",
    oneOf(VERDICT_RULE_NAMES),
    "By which rule a verdict is read; strict if not given, for the protocol rewardbench its own",
  ),
  maxNewTokens: defaulted("--max-new-tokens", wholeNumber({ min: 1 }), 8192, "Most tokens of a judgement"),
  temperature: defaulted("--temperature", anyNumber({ min: 0 }), 0, "0 takes the most likely token"),
  serverTemperature: flag(
    "--server-temperature",
    "Send no temperature: for models that take none but their own",
  ),
  seed: defaulted("--seed", wholeNumber({ min: 0, max: 2 ** 32 - 1 }), 0, "Of every random choice"),
  ...ENDPOINT_OPTIONS,
  ...ENGINE_OPTIONS,
};

/** Options of {@link openNamedJudge}: the command line's, and who is told what. */
export interface JudgeHooks extends Pick<CoreOptions, "onSummary"> {
  /** Most judgements that a local model generates at once. */
  readonly maxConcurrent?: number;
  /** Stands between a local judge and its model. */
  readonly wrap?: (engine: Engine) => Engine;
  readonly onEstimate?: (estimate: CallEstimate) => void;
  readonly onCalls?: (state: CallState) => void;
}

type JudgeChoice = Values<typeof JUDGE_OPTIONS>;

/**
 * Opens a judge. The network is given up where it is a local one, native code where it is a server.
 *
 * @throws {UsageError} Options do not go together.
 */
export async function openNamedJudge(
  choice: JudgeChoice,
  hooks: JudgeHooks,
  log: Context["log"],
): Promise<Judge> {
  if (isUrl(choice.judge)) {
    const judge = openServedJudge(choice, hooks, log);
    await giveUpLocalCode();
    return judge;
  }
  await goOffline();
  refuseEndpointOptions(choice, choice.judge);
  const { judge, protocol, verdicts, maxNewTokens, temperature, seed } = choice;
  const { threads, precision, device, arithmetic } = choice;
  const { onSummary, maxConcurrent, wrap = (engine: Engine) => engine } = hooks;
  const computing = { threads, precision, device, arithmetic, ...(onSummary !== undefined && { onSummary }) };
  return await openJudge(judge.startsWith("baseline:") ? judge : await resolveModel(judge), {
    name: judge,
    maxNewTokens,
    temperature,
    seed,
    ...(maxConcurrent !== undefined && { maxConcurrent }),
    ...(protocol !== undefined && { protocol }),
    ...(verdicts !== undefined && { verdicts }),
    openEngine: async (path) => wrap(await openFrozen(path, computing)),
  });
}

function openServedJudge(choice: JudgeChoice, hooks: JudgeHooks, log: Context["log"]): Judge {
  const { judge: url, model, protocol = "instruct", verdicts, topP, serverTemperature } = choice;
  if (model === undefined) throw new UsageError("Name the server's model by --model");
  if (protocol === "compact") {
    throw new UsageError(
      'Protocol "compact" is for models that were trained on it, expected another for a server',
    );
  }
  const prices = pricesOf(choice.inputPrice, choice.outputPrice, "--input-price and --output-price");
  if (choice.budget !== undefined && prices === null) {
    throw new UsageError("A --budget needs prices: give --input-price and --output-price");
  }
  const { onEstimate, onCalls } = hooks;
  const writer = new EndpointWriter({
    endpoint: openEndpoint(url, choice, log),
    model,
    sampling: {
      maxTokens: choice.maxNewTokens,
      ...(!serverTemperature && { temperature: choice.temperature }),
      ...(topP !== undefined && { topP }),
    },
    prices,
    budget: limitsOf(choice),
    concurrency: choice.concurrency,
    retry: { retries: choice.retries, seed: choice.seed },
    ...(onEstimate !== undefined && { onEstimate }),
    ...(onCalls !== undefined && { onCalls }),
  });
  if (protocol === "rewardbench-2-ratings") return new RatingJudge(writer, { name: model });
  return new EndpointJudge(writer, { name: model, protocol, ...(verdicts !== undefined && { verdicts }) });
}
