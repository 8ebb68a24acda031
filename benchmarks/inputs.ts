/**
 * Token ids that both sides of a row get alike.
 *
 * @module
 */
import { uniformInt } from "pure-rand/distribution/uniformInt";
import { xoroshiro128plus } from "pure-rand/generator/xoroshiro128plus";

/** Sequences to draw: `ids` at random over the vocabulary, or of a `text`, which a peer may have to tokenize again. */
export interface Drawn {
  readonly kind: "ids" | "text";
  readonly count: number;
  /** Of each sequence. */
  readonly tokens: number;
}

/** First token id that is not a special one in SmolLM2's vocabulary. */
const FIRST_ID = 17;

const WORDS =
  ("answer better because case chapter claim clear common compare correct could detail different early " +
    "each either evidence example fact fair first follow form given good great head help idea judge keep known large " +
    "later learn letter little long matter mean measure more name nature never note number often order other part place " +
    "plain point question quick reader reason result right same second sense should simple small step story strong " +
    "table their thing third thought time together true under until value very water where which while whole word " +
    "world write year").split(" ");

/** Repetitions of random ids, each of `count` sequences; no two alike. */
export function drawIds(
  { count, tokens }: Drawn,
  options: { readonly repetitions: number; readonly vocabulary: number; readonly seed: number },
): number[][][] {
  const random = xoroshiro128plus(options.seed);
  const sequence = (): number[] =>
    Array.from({ length: tokens }, () => uniformInt(random, FIRST_ID, options.vocabulary - 1));
  return Array.from({ length: options.repetitions }, () => Array.from({ length: count }, sequence));
}

/** Turns text into token ids and back. */
export interface Tokenizer {
  encode(texts: readonly string[]): Promise<Uint32Array[]>;
  decode(tokens: readonly Uint32Array[]): Promise<string[]>;
}

/**
 * Repetitions of texts of exactly `tokens` tokens, each of `count` texts. Their text has the same tokens again, so
 * that a peer that reads text works on the same ids.
 *
 * @throws {RangeError} No such text was found.
 */
export async function drawTexts(
  tokenizer: Tokenizer,
  { count, tokens }: Drawn,
  options: { readonly repetitions: number; readonly seed: number },
): Promise<number[][][]> {
  const random = xoroshiro128plus(options.seed);
  const draw = async (): Promise<number[]> => {
    for (let attempt = 0; attempt < 100; attempt++) {
      const words = Array.from({ length: 2 * tokens }, () => WORDS[uniformInt(random, 0, WORDS.length - 1)]!);
      const [whole] = await tokenizer.encode([words.join(" ")]);
      if (whole!.length < tokens) continue;
      const [text] = await tokenizer.decode([whole!.slice(0, tokens)]);
      const [again] = await tokenizer.encode([text!]);
      if (again!.length === tokens && again!.every((id, index) => id === whole![index])) return [...again!];
    }
    throw new RangeError(`Found no text of "${tokens}" tokens that has the same tokens when read again`);
  };
  const repetitions: number[][][] = [];
  for (let repetition = 0; repetition < options.repetitions; repetition++) {
    const texts: number[][] = [];
    for (let text = 0; text < count; text++) texts.push(await draw());
    repetitions.push(texts);
  }
  return repetitions;
}
