import { expect } from "expect";
import { existsSync } from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { EngineError } from "../error.ts";
import { openDoor } from "#doors";
import { CoreEngine } from "./core_engine.ts";

const folder = process.env["RMR1_SMOLLM2"] ?? join(homedir(), ".cache", "rm-r1", "smollm2-135m");

let missing = existsSync(folder) ? "" : `no model at "${folder}": fetch smollm2-135m or set RMR1_SMOLLM2`;
try {
  await openDoor();
} catch (error) {
  if (!(error instanceof EngineError && error.kind === "library")) throw error;
  missing = error.message;
}

const NAME = "SmolLM2's chat template and tokenizer give the tokens that transformers gives";

Deno.test(
  { name: missing === "" ? NAME : `SKIPPED: ${NAME}: ${missing}`, ignore: missing !== "" },
  async () => {
    await using engine = await CoreEngine.open(folder);
    const text = engine.renderChat([{ role: "user", content: "Hi" }], { addGenerationPrompt: true });
    const [tokens] = await engine.encode([text]);
    // The conversation begins with the template's own system prompt.
    expect([...tokens!]).toEqual([
      [
        1,
        9690,
        198,
        2683,
        359,
        253,
        5356,
        5646,
        11173,
        3365,
        3511,
        308,
        34519,
        28,
        7018,
        411,
        407,
        19712,
        8182,
      ],
      [2, 198, 1, 4093, 198, 26843, 2, 198, 1, 520, 9531, 198],
    ].flat());
    const own = engine.renderChat([{ role: "system", content: "S" }, { role: "user", content: "Hi" }]);
    expect(own).toBe("<|im_start|>system\nS<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n");
  },
);
