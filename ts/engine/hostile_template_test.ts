// Chat templates come from strangers: whatever they hold, rendering ends with a text or with an EngineError, in bounded
// time and memory.
import { readFileSync } from "node:fs";
import process from "node:process";
import { expect } from "expect";
import { xorshift128plus } from "pure-rand/generator/xorshift128plus";
import { uniformInt } from "pure-rand/distribution/uniformInt";
import { ChatTemplate } from "./chat_template.ts";
import { EngineError } from "./error.ts";

const tokens = { bosToken: "<s>", eosToken: "</s>" };
const messages = [
  { role: "system", content: "S" },
  { role: "user", content: " Hi\n" },
  { role: "assistant", content: "<think>t</think>a" },
  { role: "user", content: "b" },
] as const;

/** Seconds that any one template may take on a busy machine; the interpreter's own limit is 5. */
const PATIENCE = 15;
/** Bytes that a rendering may hold on to while it runs; what has not been collected yet counts among them. */
const HELD = 2 ** 31;

function outcome(source: string): string {
  const start = performance.now();
  const before = process.memoryUsage().heapUsed;
  try {
    const text = new ChatTemplate(source, tokens).render(messages, { addGenerationPrompt: true });
    return `text of ${text.length}`;
  } catch (error) {
    if (!(error instanceof EngineError)) throw error;
    return `${error.kind}: ${error.message}`;
  } finally {
    expect((performance.now() - start) / 1000).toBeLessThan(PATIENCE);
    expect(process.memoryUsage().heapUsed - before).toBeLessThan(HELD);
  }
}

const DOUBLE = "{% for i in range(60) %}";
const HOSTILE: Readonly<Record<string, string>> = {
  "a huge range": "{% for i in range(10**9) %}{% endfor %}",
  "a huge range backwards": "{% for i in range(10**18, 0, -1) %}{% endfor %}",
  "nested loops": "{% for a in range(9999) %}".repeat(6) + "x" + "{% endfor %}".repeat(6),
  "empty nested loops": "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}",
  "a text doubled":
    `{% set ns = namespace(x='ab') %}${DOUBLE}{% set ns.x = ns.x ~ ns.x %}{% endfor %}{{ ns.x }}`,
  "a text doubled by adding":
    `{% set ns = namespace(x='ab') %}${DOUBLE}{% set ns.x = ns.x + ns.x %}{% endfor %}`,
  "a text doubled by capture":
    `{% set ns = namespace(x='ab') %}${DOUBLE}{% set y %}{{ ns.x }}{{ ns.x }}{% endset %}{% set ns.x = y %}{% endfor %}`,
  "a list doubled": `{% set ns = namespace(x=[1]) %}${DOUBLE}{% set ns.x = ns.x + ns.x %}{% endfor %}`,
  "a list in itself twice, written":
    `{% set ns = namespace(x=[1]) %}${DOUBLE}{% set ns.x = [ns.x, ns.x] %}{% endfor %}{{ ns.x }}`,
  "a mapping in itself twice, as JSON":
    `{% set ns = namespace(x={}) %}${DOUBLE}{% set ns.x = {'a': ns.x, 'b': ns.x} %}{% endfor %}{{ ns.x | tojson }}`,
  "a namespace in itself": "{% set ns = namespace() %}{% set ns.a = ns %}{{ ns | tojson }}",
  "namespaces in namespaces":
    `{% set ns = namespace(x=namespace()) %}${DOUBLE}{% set ns.x = namespace(a=ns.x, b=ns.x) %}{% endfor %}{{ ns.x }}`,
  "a text replaced into itself":
    `{% set ns = namespace(x='aaaaaaaa') %}${DOUBLE}{% set ns.x = ns.x.replace('a', ns.x) %}{% endfor %}`,
  "a long join": "{% set x = range(99999) | join('aaaaaaaaaa') %}{{ range(99999) | join(x) }}",
  "a wide indent": "{{ 'a\nb' | indent(10**9) }}",
  "a wide JSON": "{{ [[[[1]]]] | tojson(indent=10**9) }}",
  "a huge product of a text": "{{ 'a' * 10**10 }}",
  "a huge power": "{{ 10 ** 10 ** 10 }}",
  "a macro that calls itself": "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}",
  "a macro that calls itself twice":
    "{% macro m(n) %}{% if n %}{{ m(n - 1) }}{{ m(n - 1) }}{% endif %}{% endmacro %}{{ m(60) }}",
  "deep parentheses": `{{ ${"(".repeat(100_000)}1${")".repeat(100_000)} }}`,
  "deep lists": `{{ ${"[".repeat(50_000)}${"]".repeat(50_000)} }}`,
  "deep ifs": "{% if true %}".repeat(15_000) + "{% endif %}".repeat(15_000),
  "deep operators": `{{ ${"not ".repeat(60_000)}1 }}`,
  "a long sum": `{{ 1${" + 1".repeat(60_000)} }}`,
  "spaces without end": " ".repeat(200_000) + "{%- if true %}{% endif %}",
  "many runs of spaces": `${" ".repeat(4000)}x`.repeat(60),
  "spaces before a tag": ("\n".repeat(4000) + "{% generation").repeat(60),
  "a source without end": "x".repeat(1 << 20),
  "many splits":
    `{% set ns = namespace(x='ab,') %}{% for i in range(18) %}{% set ns.x = ns.x ~ ns.x %}{% endfor %}` +
    "{% for i in range(99999) %}{% set y = ns.x.split(',') %}{% endfor %}",
  "the words of JavaScript": "{{ messages.constructor.constructor('return 1')() }}",
};

for (const [name, source] of Object.entries(HOSTILE)) {
  Deno.test(`a template ends: ${name}`, () => {
    expect(outcome(source)).toMatch(/^(input|format): |^text of [0-3]$|^text of \d{1,6}$/);
  });
}

Deno.test("1,500 damaged templates end with a text or an error", () => {
  const reference = JSON.parse(
    readFileSync(new URL("../../tests/fixtures/chat_templates.json", import.meta.url), "utf8"),
  ) as {
    readonly templates: Record<string, string>;
    readonly constructs: readonly { readonly template: string }[];
  };
  const sources = [
    ...Object.values(reference.templates),
    ...reference.constructs.map(({ template }) => template),
  ];
  const random = xorshift128plus(20260307);
  const below = (limit: number): number => uniformInt(random, 0, limit - 1);
  const pieces = [
    "{%",
    "%}",
    "{{",
    "}}",
    "{#",
    "'",
    '"',
    "(",
    "[",
    "range(10**9)",
    "\\",
    "\u0000",
    "not ",
    "|",
    "-",
    "\ud800",
  ];
  let [texts, errors] = [0, 0];
  for (let i = 0; i < 1500; i++) {
    let source = sources[i % sources.length]!;
    for (let change = 0; change <= below(3); change++) {
      const at = below(source.length + 1);
      const to = Math.min(source.length, at + below(40));
      const kind = below(5);
      const other = sources[below(sources.length)]!;
      if (kind === 0) source = source.slice(0, at);
      else if (kind === 1) source = source.slice(0, at) + source.slice(to);
      else if (kind === 2) source = source.slice(0, at) + pieces[below(pieces.length)] + source.slice(at);
      else if (kind === 3) source = source.slice(0, at) + other.slice(below(other.length));
      else source = source.slice(0, at) + String.fromCharCode(below(128)) + source.slice(at + 1);
    }
    if (outcome(source).startsWith("text")) texts++;
    else errors++;
  }
  expect(texts).toBeGreaterThan(100);
  expect(errors).toBeGreaterThan(100);
});
