/**
 * What is asked of the core in every runtime: greedy tokens with their log-probabilities, and log-probabilities of a
 * text. It is JavaScript, so that Node and a browser run it as it is.
 *
 * @param {typeof import("rm-r1/engine")} engine
 * @param {string | import("rm-r1/engine").ModelFiles} model
 * @param {import("rm-r1/engine").Door} door
 */
export async function probe({ CoreReference, flatForest }, model, door) {
  const opened = await CoreReference.open(model, { door });
  try {
    const [prompt, text] = await opened.encode([
      "Anna has 57 pens. Later 25 of the pens are sold. How many",
      "The capital of France is Paris, and the answer to 2 + 2 is 4.",
    ]);
    const request = { prompt, maxTokens: 24, temperature: 0, ignoreEos: true };
    let done;
    for await (
      const event of opened.generate([{ ...request, key: { seed: 0, step: 0, prompt: 0, rollout: 0 } }])
    ) {
      if (event.type === "done") done = event;
    }
    const logprobs = await opened.logprobs(flatForest([text]).forest);
    return {
      backend: opened.info.backend,
      tokens: [...done.tokens],
      // Nothing predicts a text's first token.
      logprobs: [...done.logprobs, ...logprobs.slice(1)],
    };
  } finally {
    await opened[Symbol.asyncDispose]();
  }
}
