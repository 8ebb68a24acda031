// References are made by tests/parity/make_chat_templates.py.
import { readFileSync } from "node:fs";
import { expect } from "expect";
import { ChatTemplate } from "./chat_template.ts";
import type { ChatMessage, Tool } from "./engine.ts";

interface StoredMessage {
  readonly role: ChatMessage["role"];
  readonly content: string;
  readonly reasoning_content?: string;
  readonly tool_calls?: readonly {
    readonly id: string;
    readonly function: { readonly name: string; readonly arguments: Record<string, unknown> };
  }[];
  readonly name?: string;
  readonly tool_call_id?: string;
}

interface Reference {
  readonly now: string;
  readonly templates: Readonly<Record<string, string>>;
  readonly conversations: Readonly<Record<string, readonly StoredMessage[]>>;
  readonly tool: { readonly function: Tool };
  readonly cases: readonly {
    readonly template: string;
    readonly conversation: string;
    readonly prompt: boolean;
    readonly thinking: boolean | null;
    readonly tools: boolean;
    readonly text: string | null;
  }[];
  readonly constructs: readonly { readonly template: string; readonly text: string }[];
}

const reference = JSON.parse(
  readFileSync(new URL("../../tests/fixtures/chat_templates.json", import.meta.url), "utf8"),
) as Reference;
const tokens = { bosToken: "<s>", eosToken: "</s>" };
const now = new Date(reference.now);

function conversation(name: string): ChatMessage[] {
  return reference.conversations[name]!.map(({ role, content, reasoning_content, tool_calls, ...rest }) => ({
    role,
    content,
    ...(reasoning_content !== undefined && { reasoning: reasoning_content }),
    ...(tool_calls && { toolCalls: tool_calls.map((call) => ({ id: call.id, ...call.function })) }),
    ...(rest.name !== undefined && { name: rest.name }),
    ...(rest.tool_call_id !== undefined && { toolCallId: rest.tool_call_id }),
  }));
}

for (const [name, source] of Object.entries(reference.templates)) {
  Deno.test(`the ${name} template renders as in transformers`, () => {
    const template = new ChatTemplate(source, tokens);
    const cases = reference.cases.filter((one) => one.template === name);
    expect(cases.length).toBeGreaterThan(3);
    for (const one of cases) {
      const render = (): string =>
        template.render(conversation(one.conversation), {
          addGenerationPrompt: one.prompt,
          now,
          ...(one.thinking !== null && { thinking: one.thinking }),
          ...(one.tools && { tools: [reference.tool.function] }),
        });
      if (one.text === null) expect(render).toThrow("refused the conversation");
      else expect({ ...one, text: render() }).toEqual(one);
    }
  });
}

for (const { template, text } of reference.constructs) {
  Deno.test(`renders as in Jinja2: ${template.replaceAll(/\s+/g, " ").slice(0, 60)}`, () => {
    expect(new ChatTemplate(template, tokens).render(conversation("system"), { now })).toBe(text);
  });
}
