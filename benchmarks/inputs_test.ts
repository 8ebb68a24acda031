import { expect } from "expect";
import fc from "fast-check";
import { drawIds, drawTexts, type Tokenizer } from "./inputs.ts";

/** One token a pair of letters or what is left of a word, so that a cut may fall inside a word. */
const PAIRS: Tokenizer = {
  encode: (texts) =>
    Promise.resolve(
      texts.map((text) => Uint32Array.from(text.match(/ ?[a-z]{1,2}/g) ?? [], (piece) => code(piece))),
    ),
  decode: (tokens) => Promise.resolve(tokens.map((ids) => [...ids].map(pieceOf).join(""))),
};

function code(piece: string): number {
  return [...piece].reduce((sum, letter) => sum * 256 + letter.charCodeAt(0), 0);
}

function pieceOf(id: number): string {
  return id === 0 ? "" : pieceOf(Math.floor(id / 256)) + String.fromCharCode(id % 256);
}

Deno.test("ids are drawn in shape, in range, and by their seed", () => {
  fc.assert(fc.property(fc.nat(4), fc.nat(20), fc.nat(3), fc.nat(), (count, tokens, repetitions, seed) => {
    const drawn = { kind: "ids", count, tokens } as const;
    const ids = drawIds(drawn, { repetitions, vocabulary: 40, seed });
    expect(ids).toHaveLength(repetitions);
    expect(ids.every((each) => each.length === count && each.every((own) => own.length === tokens))).toBe(
      true,
    );
    expect(ids.flat(2).every((id) => Number.isInteger(id) && id >= 17 && id < 40)).toBe(true);
    expect(drawIds(drawn, { repetitions, vocabulary: 40, seed })).toEqual(ids);
  }));
});

Deno.test("repetitions differ from each other", () => {
  const drawn = drawIds({ kind: "ids", count: 2, tokens: 8 }, {
    repetitions: 3,
    vocabulary: 49_152,
    seed: 1,
  });
  expect(new Set(drawn.flat().map((ids) => ids.join())).size).toBe(6);
});

Deno.test("texts have exactly their tokens when read again", async () => {
  const texts = await drawTexts(PAIRS, { kind: "text", count: 2, tokens: 9 }, { repetitions: 2, seed: 3 });
  expect(texts.map((each) => each.map((ids) => ids.length))).toEqual([[9, 9], [9, 9]]);
  for (const ids of texts.flat()) {
    const [text] = await PAIRS.decode([Uint32Array.from(ids)]);
    const [again] = await PAIRS.encode([text!]);
    expect([...again!]).toEqual(ids);
  }
});

Deno.test("a tokenizer that never reads a text back is told", async () => {
  const forgetful: Tokenizer = { ...PAIRS, decode: (tokens) => Promise.resolve(tokens.map(() => "")) };
  await expect(drawTexts(forgetful, { kind: "text", count: 1, tokens: 4 }, { repetitions: 1, seed: 0 }))
    .rejects
    .toThrow('"4" tokens');
});
