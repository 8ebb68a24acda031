/**
 * The tokenizer of the embedded base model: byte-level BPE with single digits, in which the protocol's tags and
 * markers are one token each.
 *
 * @module
 */
import { execFile } from "node:child_process";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { promisify } from "node:util";
import { BLOCK_MARKERS, QUESTION_MARKER } from "../../ts/cor/published_prompt.ts";
import { type Document, drawCorpus } from "./corpus.ts";

/** Ends every turn; its id is 0. */
export const END_TOKEN = "<|end|>";

/** Tokens that structure a conversation. They are left out of decoded text. */
export const CONTROL_TOKENS: readonly string[] = [END_TOKEN, "<|system|>", "<|user|>", "<|assistant|>"];

/** One token each, and part of decoded text. A blank line is among them, since every section ends with one. */
export const PROTOCOL_TOKENS: readonly string[] = [
  ...[
    "type",
    "solution",
    "eval",
    "answer",
    "quote_A",
    "quote_B",
    "summary_A",
    "summary_B",
    "rubric",
    "justify",
  ]
    .flatMap((tag) => [`<${tag}>`, `</${tag}>`]),
  "[[A]]",
  "[[B]]",
  QUESTION_MARKER,
  ...BLOCK_MARKERS.response.A,
  ...BLOCK_MARKERS.response.B,
  "\n\n",
];

/** Turns as `<|role|>content<|end|>`. */
export const CHAT_TEMPLATE =
  "{% for message in messages %}<|{{ message.role }}|>{{ message.content }}<|end|>{% endfor %}" +
  "{% if add_generation_prompt %}<|assistant|>{% endif %}";

/** Documents that the merges are learnt from. */
const SAMPLE = 4000;

/** Trains the tokenizer on the start of a corpus and gives the source of its `tokenizer.json`. */
export async function trainTokenizer(
  { seed, vocabSize }: { seed: number; vocabSize: number },
): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "rmr1-tokenizer-"));
  try {
    const [input, output] = [join(folder, "corpus.txt"), join(folder, "tokenizer.json")];
    const texts = Array.from(drawCorpus({ seed, count: SAMPLE }), plainText);
    await writeFile(input, texts.join("\n"));
    const { stderr } = await promisify(execFile)("cargo", [
      ...[
        "run",
        "--release",
        "--locked",
        "--quiet",
        "--package",
        "rmr1-core",
        "--example",
        "train_tokenizer",
        "--",
      ],
      ...["--vocab", String(vocabSize), "--special", ...CONTROL_TOKENS, ...PROTOCOL_TOKENS],
      ...["--input", input, "--output", output],
    ]);
    process.stderr.write(stderr);
    return withVisibleTokens(await readFile(output, "utf8"));
  } finally {
    await rm(folder, { recursive: true });
  }
}

/** The texts of a document without the tokens that need no merges. */
function plainText({ prompt, responses }: Document): string {
  const text = [...(prompt ?? []).map(({ content }) => content), ...responses].join("\n");
  return PROTOCOL_TOKENS.reduce((rest, token) => rest.replaceAll(token, "\n"), text);
}

/** Makes the protocol's tokens part of decoded text: the trainer calls all that it adds special. */
function withVisibleTokens(source: string): string {
  const tokenizer = JSON.parse(source) as { added_tokens: { content: string; special: boolean }[] };
  for (const token of tokenizer.added_tokens) token.special = CONTROL_TOKENS.includes(token.content);
  return JSON.stringify(tokenizer);
}
