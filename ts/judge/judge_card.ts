/**
 * What a checkpoint says of itself as a judge, beside its weights.
 *
 * @module
 */
import { type Chain, FULL_CHAIN, JUDGE_KINDS, type JudgeKind, type Protocol, PROTOCOLS } from "../cor/mod.ts";
import { JudgeSpecError } from "./judge_spec_error.ts";
import { PAIR_PROTOCOLS, type PairProtocolName } from "./pair_protocol.ts";

/** Name of the file in the checkpoint's folder. */
export const JUDGE_FILE = "rmr1.json";

/** How a model is asked: for a verdict on a pair, or for a rating of each answer in the words of RewardBench 2. */
export type JudgeProtocolName = PairProtocolName | "rewardbench-2-ratings";

/** All protocols of judges. */
export const JUDGE_PROTOCOLS: readonly JudgeProtocolName[] = [...PAIR_PROTOCOLS, "rewardbench-2-ratings"];

const LISTED = JUDGE_PROTOCOLS.map((protocol) => `"${protocol}"`).join(", ");

/** How a checkpoint is asked. */
export interface JudgeCard {
  readonly protocol: Protocol;
  readonly judge: JudgeKind;
  readonly chain: Chain;
}

/**
 * Reads a card.
 *
 * @param file for messages
 * @throws {JudgeSpecError} It is malformed.
 */
export function parseCard(file: string, text: string): JudgeCard {
  let content: Partial<Record<keyof JudgeCard, unknown>> | null;
  try {
    content = JSON.parse(text);
  } catch {
    throw new JudgeSpecError(`File "${file}" is not JSON, expected an object with "protocol"`);
  }
  const protocol = PROTOCOLS.find((name) => name === content?.protocol);
  if (protocol === undefined) {
    const found = JSON.stringify(content?.protocol);
    throw new JudgeSpecError(`File "${file}" has protocol ${found}, expected one of ${LISTED}`);
  }
  const { judge = "reasrm", chain = FULL_CHAIN } = content!;
  const kind = JUDGE_KINDS.find((name) => name === judge);
  if (kind === undefined) {
    const listed = JUDGE_KINDS.map((name) => `"${name}"`).join(", ");
    throw new JudgeSpecError(`File "${file}" has judge ${JSON.stringify(judge)}, expected one of ${listed}`);
  }
  const { rubrics, taskTypes } = chain as Partial<Chain>;
  if (typeof rubrics !== "boolean" || typeof taskTypes !== "boolean") {
    throw new JudgeSpecError(
      `File "${file}" has chain ${
        JSON.stringify(chain)
      }, expected "rubrics" and "taskTypes", each true or false`,
    );
  }
  return { protocol, judge: kind, chain: { rubrics, taskTypes } };
}

/** The error of a model that says no protocol of its own where none is given. */
export function noProtocol(path: string): JudgeSpecError {
  return new JudgeSpecError(
    `No protocol is known for judge "${path}": it has no ${JUDGE_FILE}; name one of ${LISTED}`,
  );
}
