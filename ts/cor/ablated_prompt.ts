/**
 * System prompts for the published ablations: the published words without what is taken away, and with what then has
 * to stand in its place.
 *
 * @module
 */
import type { Chain } from "./form.ts";
import { INSTRUCT_SYSTEM_PROMPT } from "./published_prompt.ts";

const [OPENING] = INSTRUCT_SYSTEM_PROMPT.split("\n\n") as [string];
const TAGS = `using the following tags:
   - <quote_A>...</quote_A> for direct quotes from Chatbot A
   - <summary_A>...</summary_A> for paraphrases of Chatbot A
   - <quote_B>...</quote_B> for direct quotes from Chatbot B
   - <summary_B>...</summary_B> for paraphrases of Chatbot B`;
const VERDICT =
  "End with your final judgment in the format: <answer>[[A]]</answer> or <answer>[[B]]</answer>";
const NOTES = `Important Notes:
- Be objective and base your evaluation only on the content of the responses.
- Do not let response order, length, or Chatbot names affect your judgment.`;
const EVALUATION = `<eval>
  include direct comparisons supported by <quote_A>...</quote_A> or <summary_A>...</summary_A>, and <quote_B>...</quote_B>, or <summary_B>...</summary_B> tags
</eval>

<answer>[[A/B]]</answer>`;
const RUBRIC = `<rubric>
  detailed rubric items
  <justify> justification for the rubric </justify>
</rubric>`;
const RUBRIC_STEPS = [
  "Generate evaluation criteria (rubric) tailored to the Client's question and context, enclosed in <rubric>...</rubric> tags.",
  "Assign weights to each rubric item based on their relative importance.",
  "Inside <rubric>, include a <justify>...</justify> section explaining why you chose those rubric criteria and weights.",
  "Compare both Chatbot responses according to the rubric.",
];

/** The system prompt of a judge that writes its verdict alone. */
export const VERDICT_SYSTEM_PROMPT: string = [
  OPENING,
  "Decide which response is better. Output nothing but your final judgment in the format: <answer>[[A]]</answer> or <answer>[[B]]</answer>",
  NOTES,
].join("\n\n");

/** The system prompt that asks for a chain. */
export function systemPrompt({ rubrics, taskTypes }: Chain): string {
  if (rubrics && taskTypes) return INSTRUCT_SYSTEM_PROMPT;
  if (taskTypes) return withoutRubrics();
  const steps = [
    ...(rubrics ? RUBRIC_STEPS : ["Compare both Chatbot responses."]),
    `Include your evaluation inside <eval>...</eval> tags, quoting or summarizing the Chatbots ${TAGS}`,
    VERDICT,
  ];
  const format = rubrics ? `${RUBRIC}\n\n${EVALUATION}` : EVALUATION;
  return [
    OPENING,
    steps.map((step, index) => `${index + 1}. ${step}`).join("\n"),
    `${NOTES}\n- Follow the response format strictly.`,
    `Your output must follow the format below:\n\n${format}`,
  ].join("\n\n");
}

/** The published prompt, with Chat tasks compared at once. */
function withoutRubrics(): string {
  const steps = /If the task is Chat:\n[\s\S]*?\n\n/;
  return INSTRUCT_SYSTEM_PROMPT
    .replace(
      steps,
      `If the task is Chat:
1. Compare both Chatbot responses.
2. Provide your evaluation inside <eval>...</eval> tags, using <quote_A>, <summary_A>, <quote_B>, and <summary_B> as described above.
3. ${VERDICT}

`,
    )
    .replace(`${RUBRIC}\n\n`, "");
}
