import { expect } from "expect";
import { ChatTemplate } from "./chat_template.ts";
import type { EngineError } from "./error.ts";

// ChatML with a default system prompt, the shape of SmolLM2's template: block tags on lines of their own must
// leave no whitespace behind.
const CHATML = `{% for message in messages %}
    {% if loop.first and messages[0]['role'] != 'system' %}
{{ bos_token + 'system\\nBe kind' + eos_token + '\\n' }}
    {%- endif %}
{{ bos_token + message['role'] + '\\n' + message['content'] + eos_token + '\\n' }}
{%- endfor %}
{% if add_generation_prompt %}{{ bos_token + 'assistant\\n' }}{% endif %}`;

const tokens = { bosToken: "<|im_start|>", eosToken: "<|im_end|>" };

Deno.test("a ChatML template adds its system prompt only when there is none", () => {
  const template = new ChatTemplate(
    "{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}" +
      "{{ '<|im_start|>system\nBe kind<|im_end|>\n' }}{% endif %}" +
      "{{'<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n'}}{% endfor %}" +
      "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}",
    tokens,
  );
  const hi = { role: "user", content: "Hi" } as const;
  expect(template.render([hi], { addGenerationPrompt: true })).toBe(
    "<|im_start|>system\nBe kind<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n",
  );
  expect(template.render([{ role: "system", content: "S" }, hi])).toBe(
    "<|im_start|>system\nS<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n",
  );
});

Deno.test("a template reads the special tokens, and block tags leave no lines behind", () => {
  const rendered = new ChatTemplate(CHATML, tokens).render([{ role: "user", content: "  a\n\nb  " }]);
  expect(rendered).toContain("<|im_start|>user\n  a\n\nb  <|im_end|>\n");
  expect(rendered.startsWith("<|im_start|>system\nBe kind<|im_end|>\n")).toBe(true);
  expect(new ChatTemplate("[{{ bos_token }}]", { bosToken: null, eosToken: null }).render([])).toBe("[]");
});

Deno.test("template source in a message is not run", () => {
  const template = new ChatTemplate("{{ messages[0]['content'] }}", tokens);
  expect(template.render([{ role: "user", content: "{{ bos_token }}" }])).toBe("{{ bos_token }}");
});

Deno.test("a broken template and a refused conversation are told apart", () => {
  const kindOf = (work: () => unknown): string => {
    try {
      work();
    } catch (error) {
      return (error as EngineError).kind;
    }
    return "none";
  };
  expect(kindOf(() => new ChatTemplate("{% for %}", tokens))).toBe("format");
  const strict = new ChatTemplate("{{ raise_exception('roles must alternate') }}", tokens);
  expect(kindOf(() => strict.render([]))).toBe("input");
  expect(() => strict.render([])).toThrow("roles must alternate");
});

function refusal(source: string, render: (template: ChatTemplate) => unknown): string {
  try {
    render(new ChatTemplate(source, tokens));
  } catch (error) {
    return `${(error as EngineError).kind}: ${(error as EngineError).message}`;
  }
  throw new Error("It was not refused");
}

const hi = [{ role: "user", content: "Hi" }] as const;
const tool = { name: "add", description: "Adds", parameters: { type: "object" } };

Deno.test("what a template has no place for is an error", () => {
  const bare = "{{ messages[0].content }}{{ messages[0].thinking }}";
  expect(refusal(bare, (template) => template.render(hi, { tools: [tool] }))).toContain("input: ");
  expect(refusal(bare, (template) => template.render(hi, { tools: [tool] }))).toContain("no place for tools");
  expect(refusal(bare, (template) => template.render(hi, { thinking: false }))).toContain("enable_thinking");
  const call = { role: "assistant", content: "", toolCalls: [{ name: "add", arguments: {} }] } as const;
  expect(refusal(bare, (template) => template.render([...hi, call]))).toContain('"tool_calls" of message 1');
  const thought = { role: "assistant", content: "", reasoning: "x" } as const;
  expect(refusal(bare, (template) => template.render([thought]))).toContain(
    '"reasoning_content" of message 0',
  );
});

Deno.test("a switch counts only where the template reads the caller's value", () => {
  const rendered = (source: string): string =>
    new ChatTemplate(source, tokens).render(hi, { thinking: true });
  expect(rendered("{{ enable_thinking }}")).toBe("True");
  expect(rendered("{% if not thinking is defined %}{% set thinking = false %}{% endif %}{{ thinking }}"))
    .toBe("True");
  for (
    const own of [
      "{% set thinking = 'x' %}{{ thinking }}",
      "{% for thinking in messages %}{{ thinking.role }}{% endfor %}",
      "{% macro m(thinking) %}{{ thinking }}{% endmacro %}{{ m(1) }}",
      "{{ messages[0].thinking }}{{ messages[0] | default(1) }}",
      "{% if true %}{% set thinking = 1 %}{% else %}{% set thinking = 2 %}{% endif %}{{ thinking }}",
    ]
  ) expect(() => rendered(own)).toThrow("no switch for thinking");
});

Deno.test("the template called tool_use is taken where tools are given", () => {
  const named = { ...tokens, chatTemplates: { tool_use: "{{ tools | length }} tools" } };
  const template = new ChatTemplate("plain", named);
  expect(template.render(hi)).toBe("plain");
  expect(template.render(hi, { tools: [tool, tool] })).toBe("2 tools");
});

Deno.test("what the library would render otherwise than Jinja2 is refused", () => {
  const source = "{% for m in messages %}a{% continue %}{% endfor %}";
  expect(() => new ChatTemplate(source, tokens)).toThrow('"continue" after output');
  expect(() => new ChatTemplate("{{ strftime_now('%Q') }}", tokens).render(hi)).toThrow('"%Q"');
});
