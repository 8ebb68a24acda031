/**
 * The published words of the RM-R1 protocol, quoted: a judge that was trained with them is only right with them,
 * to the last space.
 *
 * Source: Chen et al., "RM-R1: Reward Modeling as Reasoning" (arXiv 2505.02387), the Chain-of-Rubrics prompt; spacing,
 * output templates and user turns as in the released code (github.com/RM-R1-UIUC/RM-R1, commit d4c2542,
 * `demo/demo.ipynb` and `eval/RM-Bench/rewardbench/generative.py`, which agree).
 *
 * @module
 */

/** The Chain-of-Rubrics system prompt of the instruct judges, with its two output templates. */
export const INSTRUCT_SYSTEM_PROMPT: string =
  `Please act as an impartial judge and evaluate the quality of the responses provided by two AI Chatbots to the Client's question displayed below.

First, classify the task into one of two categories: <type>Reasoning</type> or <type>Chat</type>.
- Use <type>Reasoning</type> for tasks that involve math, coding, or require domain knowledge, multi-step inference, logical deduction, or combining information to reach a conclusion.
- Use <type>Chat</type> for tasks that involve open-ended or factual conversation, stylistic rewrites, safety questions, or general helpfulness requests without deep reasoning.

If the task is Reasoning:
1. Solve the Client's question yourself and present your final answer within <solution>...</solution> tags.
2. Evaluate the two Chatbot responses based on correctness, completeness, and reasoning quality, referencing your own solution.
3. Include your evaluation inside <eval>...</eval> tags, quoting or summarizing the Chatbots using the following tags:
   - <quote_A>...</quote_A> for direct quotes from Chatbot A
   - <summary_A>...</summary_A> for paraphrases of Chatbot A
   - <quote_B>...</quote_B> for direct quotes from Chatbot B
   - <summary_B>...</summary_B> for paraphrases of Chatbot B
4. End with your final judgment in the format: <answer>[[A]]</answer> or <answer>[[B]]</answer>

If the task is Chat:
1. Generate evaluation criteria (rubric) tailored to the Client's question and context, enclosed in <rubric>...</rubric> tags.
2. Assign weights to each rubric item based on their relative importance.
3. Inside <rubric>, include a <justify>...</justify> section explaining why you chose those rubric criteria and weights.
4. Compare both Chatbot responses according to the rubric.
5. Provide your evaluation inside <eval>...</eval> tags, using <quote_A>, <summary_A>, <quote_B>, and <summary_B> as described above.
6. End with your final judgment in the format: <answer>[[A]]</answer> or <answer>[[B]]</answer>

Important Notes:
- Be objective and base your evaluation only on the content of the responses.
- Do not let response order, length, or Chatbot names affect your judgment.
- Follow the response format strictly depending on the task type.

Your output must follow one of the two formats below:

For Reasoning:
<type>Reasoning</type>

<solution> your own solution for the problem </solution>

<eval>
  include direct comparisons supported by <quote_A>...</quote_A> or <summary_A>...</summary_A>, and <quote_B>...</quote_B>, or <summary_B>...</summary_B>
</eval>

<answer>[[A/B]]</answer>

For Chat:
<type>Chat</type>

<rubric>
  detailed rubric items
  <justify> justification for the rubric </justify>
</rubric>

<eval>
  include direct comparisons supported by <quote_A>...</quote_A> or <summary_A>...</summary_A>, and <quote_B>...</quote_B>, or <summary_B>...</summary_B> tags
</eval>

<answer>[[A/B]]</answer>`;

/** What the reasoning judges read before the blocks. The space before the blank line is theirs. */
export const REASONING_OPENING: string =
  "Please act as an impartial judge and evaluate the quality of the responses provided by two AI Chatbots to the Client question displayed below. \n\n";

/** What the reasoning judges read after the blocks. */
export const REASONING_CLOSING: string =
  "\n\nOutput your final verdict at last by strictly following this format: '<answer>[[A]]</answer>' if Chatbot A is better, or '<answer>[[B]]</answer>' if Chatbot B is better.";

/** The line before the question of a single turn. */
export const QUESTION_MARKER: string = "[Client Question]";

/** The lines around each answer (single turn) and around each conversation (multi-turn). */
export const BLOCK_MARKERS: {
  readonly [kind in "response" | "conversation"]: {
    readonly [side in "A" | "B"]: readonly [start: string, end: string];
  };
} = {
  response: {
    A: ["[The Start of Chatbot A's Response]", "[The End of Chatbot A's Response]"],
    B: ["[The Start of Chatbot B's Response]", "[The End of Chatbot B's Response]"],
  },
  conversation: {
    A: [
      "[The Start of the Conversation between Chatbot A and the Client]",
      "[The End of the Conversation between Chatbot A and the Client]",
    ],
    B: [
      "[The Start of the Conversation between Chatbot B and the Client]",
      "[The End of the Conversation between Chatbot B and the Client]",
    ],
  },
};
