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
