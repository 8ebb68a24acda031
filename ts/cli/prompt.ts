/**
 * Tokens that a user gives as ids or as text.
 *
 * @module
 */
import type { Engine } from "../engine/mod.ts";
import { UsageError } from "./errors.ts";

/** A prompt as the command line has it: one of the two. */
export interface PromptOptions {
  readonly ids: Uint32Array | undefined;
  readonly text: string | undefined;
}

/**
 * The prompt's tokens.
 *
 * @throws {UsageError} Both are given, neither is, the text has no tokens, or the model cannot read text.
 */
export async function promptTokens(engine: Engine, { ids, text }: PromptOptions): Promise<Uint32Array> {
  if (ids !== undefined && text !== undefined) throw new UsageError("Give --ids or --text, not both");
  if (ids !== undefined) return ids;
  if (text === undefined) throw new UsageError("Give the tokens by --ids or --text");
  if (!engine.info.hasTokenizer) {
    throw new UsageError(
      `Model "${engine.info.name}" has no tokenizer: give token ids by --ids instead of --text`,
    );
  }
  const [tokens] = await engine.encode([text]);
  if (tokens === undefined || tokens.length === 0) throw new UsageError(`The text "${text}" has no tokens`);
  return tokens;
}
