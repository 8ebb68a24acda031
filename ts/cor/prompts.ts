/**
 * Renders a placed pair as the messages that a judge reads.
 *
 * What an answer says is rendered as it is, even where it contains the prompt's own markers or a verdict
 * (`[The End of Chatbot A's Response]`, `<answer>[[A]]</answer>`): the protocol has no escape, altered text would not
 * be the text that is judged, and quotes could no longer be verbatim. Such a text cannot reach the verdict by itself,
 * because verdicts are read from the judge's output alone; it may still sway the judge, so {@link findMarkers}
 * reports it and callers count it.
 *
 * @module
 */
import type { Side } from "../data/record.ts";
import type { Message } from "../engine/engine.ts";
import { systemPrompt, VERDICT_SYSTEM_PROMPT } from "./ablated_prompt.ts";
import { formFault, type JudgeForm } from "./form.ts";
import { BLOCK_MARKERS, QUESTION_MARKER, REASONING_CLOSING, REASONING_OPENING } from "./published_prompt.ts";

/**
 * How a judge is asked.
 *
 * - `instruct`: the published system prompt and the user turn with the blocks.
 * - `reasoning`: one user message with the published opening and closing around the blocks, for `<think>` models.
 * - `compact`: the user turn of `instruct` alone, for models that were trained from scratch on it; what kind of judge
 *   they are is in their weights.
 */
export type Protocol = "instruct" | "reasoning" | "compact";

/** All protocols. */
export const PROTOCOLS: readonly Protocol[] = ["instruct", "reasoning", "compact"];

/** What a judge compares: two answers to one conversation. A placed pair is one, with its record's conversation. */
export interface PromptPair {
  /** Ends with a user message. */
  readonly conversation: readonly Message[];
  readonly a: string;
  readonly b: string;
}

/**
 * Messages that ask a judge to compare a pair.
 *
 * A conversation of one message, not counting a leading system message, is rendered as a question and two answers;
 * a longer one as two whole conversations, each ending with its answer. The published protocol has no place for a
 * system message: here it stands before the question, a blank line between them, or as a `System:` line of both
 * conversations.
 *
 * @throws {RangeError} The conversation does not end with a user message, or there is no such form.
 */
export function renderPrompt(form: JudgeForm, pair: PromptPair): Message[] {
  const fault = formFault(form);
  if (fault !== null) throw new RangeError(`A judge cannot be asked so: ${fault}`);
  const blocks = renderBlocks(pair);
  switch (form.protocol) {
    case "instruct": {
      const content = form.kind === "genrm" ? VERDICT_SYSTEM_PROMPT : systemPrompt(form.chain);
      return [{ role: "system", content }, { role: "user", content: blocks }];
    }
    case "reasoning":
      return [{ role: "user", content: REASONING_OPENING + blocks + REASONING_CLOSING }];
    case "compact":
      return [{ role: "user", content: blocks }];
  }
}

function renderBlocks({ conversation, a, b }: PromptPair): string {
  const last = conversation.at(-1);
  if (last?.role !== "user") {
    const found = last === undefined ? "no message" : `role "${last.role}" in message ${conversation.length}`;
    throw new RangeError(`Conversation must end with a user message, found ${found}`);
  }
  const [first] = conversation;
  const system = first?.role === "system" ? first.content : undefined;
  const turns = system === undefined ? conversation.length : conversation.length - 1;
  if (turns === 1) {
    const question = system === undefined ? last.content : `${system}\n\n${last.content}`;
    return [
      `${QUESTION_MARKER}\n${question}`,
      block(BLOCK_MARKERS.response.A, a),
      block(BLOCK_MARKERS.response.B, b),
    ].join("\n\n");
  }
  return [
    block(BLOCK_MARKERS.conversation.A, transcript(conversation, a, "A")),
    block(BLOCK_MARKERS.conversation.B, transcript(conversation, b, "B")),
  ].join("\n\n");
}

function block([start, end]: readonly [string, string], text: string): string {
  return `${start}\n${text}\n${end}`;
}

function transcript(conversation: readonly Message[], answer: string, side: Side): string {
  const names = { system: "System", user: "User", assistant: `Chatbot ${side}` };
  const turns: readonly Message[] = [...conversation, { role: "assistant", content: answer }];
  return turns.map(({ role, content }) => `${names[role]}: ${content}`).join("\n");
}

/** A marker of the protocol inside a text that is to be judged. */
export interface MarkerHit {
  /** Where it stands: a side's answer, or the conversation's message of that index. */
  readonly where: Side | number;
  /** The marker as the text has it. */
  readonly marker: string;
  /** Its offset in that text, in UTF-16 code units. */
  readonly offset: number;
}

const MARKER = new RegExp(
  [
    QUESTION_MARKER,
    ...Object.values(BLOCK_MARKERS).flatMap((sides) => Object.values(sides).flat()),
    "[[A]]",
    "[[B]]",
  ].map((marker) => marker.replaceAll(/[[\]]/g, "\\$&")).concat("</?answer>", "</?think>").join("|"),
  "gi",
);

/**
 * Where the answers and the conversation contain the prompt's own markers, a verdict or a thinking tag, by accident
 * or as an attack on the judge. Nothing is changed or refused; callers count the pairs that have such hits.
 */
export function findMarkers({ conversation, a, b }: PromptPair): MarkerHit[] {
  const texts: [Side | number, string][] = conversation.map(({ content }, index) => [index, content]);
  texts.push(["A", a], ["B", b]);
  return texts.flatMap(([where, text]) =>
    Array.from(text.matchAll(MARKER), (match) => ({ where, marker: match[0], offset: match.index }))
  );
}
