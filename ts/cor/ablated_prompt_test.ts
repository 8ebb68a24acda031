import { expect } from "expect";
import { systemPrompt, VERDICT_SYSTEM_PROMPT } from "./ablated_prompt.ts";
import { formFault, FULL_CHAIN, publishedForm } from "./form.ts";
import { renderPrompt } from "./prompts.ts";
import { INSTRUCT_SYSTEM_PROMPT } from "./published_prompt.ts";

const VERDICT = "<answer>[[A]]</answer> or <answer>[[B]]</answer>";

Deno.test("the whole chain is asked for in the published words", () => {
  expect(systemPrompt(FULL_CHAIN)).toBe(INSTRUCT_SYSTEM_PROMPT);
});

Deno.test("what is taken away is named nowhere, what stays is asked for, and so is the verdict", () => {
  const all = {
    type: "<type>",
    solution: "<solution>",
    rubric: "<rubric>",
    justify: "<justify>",
    eval: "<eval>",
  };
  const cases = [
    {
      chain: { rubrics: false, taskTypes: true },
      absent: ["rubric", "justify"],
      present: ["type", "solution", "eval"],
    },
    {
      chain: { rubrics: true, taskTypes: false },
      absent: ["type", "solution"],
      present: ["rubric", "justify", "eval"],
    },
    {
      chain: { rubrics: false, taskTypes: false },
      absent: ["type", "solution", "rubric", "justify"],
      present: ["eval"],
    },
  ] as const;
  for (const { chain, absent, present } of cases) {
    const prompt = systemPrompt(chain);
    for (const name of absent) expect(prompt).not.toContain(all[name]);
    for (const name of present) expect(prompt).toContain(all[name]);
    if (!chain.rubrics) expect(prompt).not.toMatch(/rubric/i);
    expect(prompt).toContain(VERDICT);
    expect(prompt).toContain("<quote_A>");
    expect(prompt.split("\n\n")[0]).toBe(INSTRUCT_SYSTEM_PROMPT.split("\n\n")[0]);
    expect(prompt).toMatch(/<answer>\[\[A\/B\]\]<\/answer>$/);
  }
});

Deno.test("a judge that writes its verdict alone is asked for nothing else", () => {
  expect(VERDICT_SYSTEM_PROMPT).toContain(VERDICT);
  expect(VERDICT_SYSTEM_PROMPT).not.toMatch(/<(type|rubric|solution|eval|quote)/);
  const pair = { conversation: [{ role: "user", content: "?" }], a: "x", b: "y" } as const;
  const form = { ...publishedForm("instruct"), kind: "genrm" } as const;
  expect(renderPrompt(form, pair)[0]).toEqual({ role: "system", content: VERDICT_SYSTEM_PROMPT });
  expect(renderPrompt(form, pair)[1]).toEqual(renderPrompt(publishedForm("instruct"), pair)[1]);
});

Deno.test("a reasoning model's protocol has no parts to leave out", () => {
  expect(formFault(publishedForm("reasoning"))).toBeNull();
  const pair = { conversation: [{ role: "user", content: "?" }], a: "x", b: "y" } as const;
  for (
    const change of [{ kind: "genrm" }, { chain: { rubrics: false, taskTypes: true } }] as const
  ) {
    expect(() => renderPrompt({ ...publishedForm("reasoning"), ...change }, pair)).toThrow(
      'A judge cannot be asked so: protocol "reasoning"',
    );
  }
});
