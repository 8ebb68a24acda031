/**
 * Conversations as one text, as the HH-RLHF data have them (Bai et al. 2022, arXiv:2204.05862).
 *
 * @module
 */
import type { Message } from "rm-r1/engine";

const TURN = /\n\n(Human|Assistant):/g;

/** The turns of a text that begins with `\n\nHuman:`; null of any other text. */
export function parseTranscript(text: string): Message[] | null {
  if (!text.startsWith("\n\nHuman:")) return null;
  const heads = [...text.matchAll(TURN)];
  return heads.map((head, at) => ({
    role: head[1] === "Human" ? "user" : "assistant",
    content: text.slice(head.index + head[0].length, heads[at + 1]?.index).trim(),
  }));
}
