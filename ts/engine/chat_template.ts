/**
 * Renders conversations by the Jinja chat templates that Hugging Face models carry.
 *
 * @module
 */

import { Template } from "@huggingface/jinja";
import type { Message } from "./engine.ts";
import { EngineError } from "./error.ts";

/** The special tokens that a template may name; a model that lacks one has null. */
export interface TemplateTokens {
  readonly bosToken: string | null;
  readonly eosToken: string | null;
}

/** A parsed chat template. */
export class ChatTemplate {
  readonly #template: Template;
  readonly #variables: Readonly<Record<string, string>>;

  /** Parses the Jinja source; throws an {@link EngineError} of kind `format` when it cannot be parsed. */
  constructor(source: string, tokens: TemplateTokens) {
    try {
      this.#template = new Template(source);
    } catch (error) {
      throw new EngineError("format", `The chat template cannot be parsed: ${reason(error)}`, {
        cause: error,
      });
    }
    this.#variables = {
      ...(tokens.bosToken === null ? {} : { bos_token: tokens.bosToken }),
      ...(tokens.eosToken === null ? {} : { eos_token: tokens.eosToken }),
    };
  }

  /**
   * The conversation as text, ready to be encoded with its special tokens recognised. With `addGenerationPrompt`
   * (default false) it ends where the assistant starts to speak.
   */
  render(messages: readonly Message[], options?: { readonly addGenerationPrompt?: boolean }): string {
    try {
      return this.#template.render({
        ...this.#variables,
        messages: messages.map(({ role, content }) => ({ role, content })),
        add_generation_prompt: options?.addGenerationPrompt ?? false,
      });
    } catch (error) {
      throw new EngineError("input", `The chat template refused the conversation: ${reason(error)}`, {
        cause: error,
      });
    }
  }
}

function reason(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
