import { expect } from "expect";
import fc from "fast-check";
import { samplingOf } from "./sampling.ts";

const plain = { prompt: new Uint32Array([1]), maxTokens: 4 };

Deno.test("samplingOf loses nothing on the way through JSON", () => {
  const bias = fc.oneof(fc.double({ noNaN: true, noDefaultInfinity: true }), fc.constant(-Infinity));
  fc.assert(fc.property(fc.dictionary(fc.nat().map(String), bias), fc.nat(), (logitBias, seed) => {
    const sent = JSON.parse(JSON.stringify(samplingOf({ ...plain, logitBias, seed }, 0)));
    const read = sent.logitBias.map(([token, value]: [number, number | null]) => [
      String(token),
      value ?? -Infinity,
    ]);
    const zero = (value: number): number => value === 0 ? 0 : value;
    expect(read).toEqual(Object.entries(logitBias).map(([token, value]) => [token, zero(value)]));
    expect(sent.key).toEqual({ seed, step: 0, prompt: 0, rollout: 0 });
  }));
});

Deno.test("samplingOf names the request, the value and what was expected", () => {
  const key = { seed: 1, step: 2, prompt: 3, rollout: 4 };
  for (
    const [change, words] of [
      [{ temperature: NaN }, 'temperature is "NaN", expected a finite number'],
      [{ minP: Infinity }, 'minP is "Infinity", expected a finite number'],
      [{ maxTokens: 1.5 }, 'maxTokens is "1.5", expected a whole number of at least 0'],
      [{ logitBias: { 3: Infinity } }, 'logitBias[3] is "Infinity", expected a finite number'],
      [{ logitBias: { [-1]: 2 } }, 'a token id of logitBias is "-1", expected a whole number of at least 0'],
      [{ seed: -1 }, 'seed is "-1", expected a whole number of at least 0'],
      [{ seed: 5, key }, 'seed is "5", expected none beside a key, which has its own'],
    ] as const
  ) {
    expect(() => samplingOf({ ...plain, ...change }, 7)).toThrow(`Request 7: ${words}`);
  }
});
