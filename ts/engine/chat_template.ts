/**
 * Renders conversations by the Jinja chat templates that Hugging Face models carry, as transformers does
 * (`render_jinja_template` in `transformers/utils/chat_template_utils.py`).
 *
 * @module
 */

import { parse, tokenize } from "@huggingface/jinja";
import type { ChatMessage, ChatOptions, Tool } from "./engine.ts";
import { EngineError } from "./error.ts";
import { type Node, type Places, placesOf, TemplateInterpreter } from "./template_interpreter.ts";

/** The special tokens that a template may name, and further templates; a model that lacks a token has null. */
export interface TemplateTokens {
  readonly bosToken: string | null;
  readonly eosToken: string | null;
  /** Further templates by name, see `ModelInfo.chatTemplates`. */
  readonly chatTemplates?: Readonly<Record<string, string>>;
}

/** The variables by which families switch thinking: Qwen3 and SmolLM3; DeepSeek and Granite. */
const THINKING = ["enable_thinking", "thinking"];
/** Longest source. The largest in use have about 30,000 characters. */
const MAX_SOURCE = 1 << 18;
/** The parser takes the square of the time for a run of whitespace. */
const MAX_WHITESPACE = 4096;

/** A parsed chat template. */
export class ChatTemplate {
  readonly #plain: Parsed;
  readonly #withTools: Parsed;
  readonly #variables: Readonly<Record<string, string>>;

  /**
   * Parses the Jinja source, and the template called "tool_use" if there is one; throws an {@link EngineError} of
   * kind `format` when one cannot be parsed.
   */
  constructor(source: string, tokens: TemplateTokens) {
    const toolUse = tokens.chatTemplates?.["tool_use"];
    this.#plain = parsed(source);
    this.#withTools = toolUse === undefined ? this.#plain : parsed(toolUse);
    this.#variables = {
      ...(tokens.bosToken === null ? {} : { bos_token: tokens.bosToken }),
      ...(tokens.eosToken === null ? {} : { eos_token: tokens.eosToken }),
    };
  }

  /**
   * The conversation as text, ready to be encoded with its special tokens recognised. Throws an {@link EngineError} of
   * kind `input` when the template refuses the conversation, does not end, or has no place for what is asked for:
   * tools, a switch of thinking, calls, reasoning.
   */
  render(messages: readonly ChatMessage[], options?: ChatOptions): string {
    const { addGenerationPrompt = false, tools, thinking, now = new Date() } = options ?? {};
    const { program, places, free, names } = tools === undefined ? this.#plain : this.#withTools;
    if (tools !== undefined && !free.has("tools")) throw refusal("has no place for tools");
    const switches = THINKING.filter((name) => free.has(name));
    if (thinking !== undefined && switches.length === 0) {
      throw refusal(`has no switch for thinking, expected one of "${THINKING.join('", "')}"`);
    }
    for (const [field, name] of [["toolCalls", "tool_calls"], ["reasoning", "reasoning_content"]] as const) {
      const at = messages.findIndex((message) => message[field] !== undefined);
      if (at >= 0 && !names.has(name)) throw refusal(`has no place for the "${name}" of message ${at}`);
    }
    const variables = {
      ...this.#variables,
      messages: messages.map(templateMessage),
      tools: tools?.map(templateTool) ?? null,
      documents: null,
      add_generation_prompt: addGenerationPrompt,
      ...(thinking === undefined ? {} : Object.fromEntries(switches.map((name) => [name, thinking]))),
    };
    try {
      const { value } = new TemplateInterpreter(variables, places, now).run(program);
      return value as string;
    } catch (error) {
      throw new EngineError("input", `The chat template refused the conversation: ${reason(error)}`, {
        cause: error,
      });
    }
  }
}

interface Parsed {
  readonly program: ReturnType<typeof parse>;
  readonly places: Places;
  /** Variables that are read before the template sets them. */
  readonly free: ReadonlySet<string>;
  /** Names of attributes, and texts, which may be such names. */
  readonly names: ReadonlySet<string>;
}

function parsed(source: string): Parsed {
  if (source.length > MAX_SOURCE) {
    throw unparsable(`it has ${source.length} characters, expected at most ${MAX_SOURCE}`);
  }
  if (longestWhitespace(source) > MAX_WHITESPACE) {
    throw unparsable(`it has a run of more than ${MAX_WHITESPACE} spaces`);
  }
  try {
    const program = parse(tokenize(source, { lstrip_blocks: true, trim_blocks: true }));
    const free = new Set<string>();
    const names = new Set<string>();
    collect(program as unknown as Node, new Set(), free, names);
    return { program, places: placesOf(program), free, names };
  } catch (error) {
    throw unparsable(reason(error), error);
  }
}

function longestWhitespace(source: string): number {
  let [longest, run] = [0, 0];
  for (const letter of source) {
    run = letter.trim() === "" ? run + 1 : 0;
    longest = Math.max(longest, run);
  }
  return longest;
}

/** Fields that name something other than a variable. */
const NOT_VARIABLES: Readonly<Record<string, readonly string[]>> = {
  FilterExpression: ["filter"],
  FilterStatement: ["filter"],
  TestExpression: ["test"],
  KeywordArgumentExpression: ["key"],
};

/** Walks a template in the order of its source, as far as the parser keeps it. */
function collect(part: unknown, bound: Set<string>, free: Set<string>, names: Set<string>): void {
  if (part === null || typeof part !== "object") return;
  const visit = (inner: unknown): void => collect(inner, bound, free, names);
  if (Array.isArray(part)) return part.forEach(visit);
  if (part instanceof Map) return part.forEach((value, key) => [key, value].forEach(visit));
  const node = part as Node;
  switch (node.type) {
    case "Identifier":
      if (!bound.has(node["value"] as string)) free.add(node["value"] as string);
      return;
    case "StringLiteral":
      names.add(node["value"] as string);
      return;
    case "MemberExpression":
      visit(node["object"]);
      if (node["computed"] === true) visit(node["property"]);
      else names.add(String((node["property"] as Node)["value"]));
      return;
    case "Set":
      visit(node["value"]);
      visit(node["body"]);
      addTargets(node["assignee"] as Node, bound);
      return;
    case "If": {
      visit(node["test"]);
      const [first, second] = [new Set(bound), new Set(bound)];
      collect(node["body"], first, free, names);
      collect(node["alternate"], second, free, names);
      for (const name of first) if (second.has(name)) bound.add(name);
      return;
    }
    case "For": {
      visit(node["iterable"]);
      const inside = new Set(bound);
      addTargets(node["loopvar"] as Node, inside);
      collect(node["body"], inside, free, names);
      collect(node["defaultBlock"], bound, free, names);
      return;
    }
    case "Macro": {
      const inside = new Set(bound);
      for (const argument of node["args"] as Node[]) {
        visit(argument.type === "KeywordArgumentExpression" ? argument["value"] : null);
        inside.add(String((argument.type === "Identifier" ? argument : argument["key"] as Node)["value"]));
      }
      collect(node["body"], inside, free, names);
      return;
    }
  }
  const skipped = NOT_VARIABLES[node.type] ?? [];
  for (const [field, inner] of Object.entries(node)) {
    if (!skipped.includes(field)) visit(inner);
    else if ((inner as Node).type === "CallExpression") visit((inner as Node)["args"]);
  }
}

/** The variables that an assignment sets; an attribute of a namespace is none. */
function addTargets({ type, value }: Node, names: Set<string>): void {
  if (type === "Identifier") names.add(value as string);
  else if (type === "TupleLiteral") (value as Node[]).forEach((inner) => addTargets(inner, names));
}

function templateMessage(message: ChatMessage): Record<string, unknown> {
  const { role, content, toolCalls, reasoning, name, toolCallId } = message;
  return {
    role,
    content,
    ...(toolCalls && {
      tool_calls: toolCalls.map(({ name, arguments: given, id }) => ({
        ...(id !== undefined && { id }),
        type: "function",
        function: { name, arguments: given },
      })),
    }),
    ...(reasoning !== undefined && { reasoning_content: reasoning, thinking: reasoning }),
    ...(name !== undefined && { name }),
    ...(toolCallId !== undefined && { tool_call_id: toolCallId }),
  };
}

function templateTool({ name, description, parameters }: Tool): Record<string, unknown> {
  return { type: "function", function: { name, description, parameters } };
}

function refusal(what: string): EngineError {
  return new EngineError("input", `The model's chat template ${what}`);
}

function unparsable(why: string, cause?: unknown): EngineError {
  return new EngineError("format", `The chat template cannot be parsed: ${why}`, { cause });
}

function reason(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
