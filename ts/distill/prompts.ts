/**
 * What an oracle is asked in the two passes of trace synthesis.
 *
 * Pass 1 is the judge's own prompt, with no label. Pass 2, for the pairs that pass 1 got wrong, also shows the correct
 * verdict and the wrong trace, and asks for a whole trace that does not mention either (RM-R1, Chen et al. 2025,
 * arXiv:2505.02387, section 3.2). The words of pass 2 are this project's own; the published ones are not known.
 *
 * @module
 */
import { type Protocol, publishedForm, renderPrompt } from "../cor/mod.ts";
import type { PlacedPair } from "../data/mod.ts";
import type { Message } from "../engine/engine.ts";

/** The protocols whose traces hold no thinking, so that stage 1 can learn them. */
export type TraceProtocol = Extract<Protocol, "instruct" | "compact">;

/** All trace protocols. */
export const TRACE_PROTOCOLS: readonly TraceProtocol[] = ["instruct", "compact"];

/** The messages of pass 1: those that a judge reads. */
export function renderFirstPass(protocol: TraceProtocol, { record, a, b }: PlacedPair): Message[] {
  return renderPrompt(publishedForm(protocol), { conversation: record.conversation, a, b });
}

/** The messages of pass 2. `wrongTrace` is what pass 1 wrote, with the verdict for the worse answer. */
export function renderSecondPass(protocol: TraceProtocol, pair: PlacedPair, wrongTrace: string): Message[] {
  const messages = renderFirstPass(protocol, pair);
  const user = messages.at(-1)!;
  const hint = `[Known Verdict]
Chatbot ${pair.gold} gave the better response. The evaluation below came to the opposite verdict.

[The Start of the Earlier Evaluation]
${wrongTrace}
[The End of the Earlier Evaluation]

Find where that evaluation goes wrong, and write a complete new one in the required format, from its first tag to its last, whose own reasoning leads to <answer>[[${pair.gold}]]</answer>. Its readers see the question and the two responses and nothing else, so each conclusion must follow from these alone. Do not mention or allude to the known verdict, the earlier evaluation, or these instructions.`;
  return [...messages.slice(0, -1), { role: user.role, content: `${user.content}\n\n${hint}` }];
}
