/**
 * A distillation of few pairs by {@link OracleServer}, for tests.
 *
 * @module
 */
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { distill, type DistillOptions, type DistillResult, type HttpSource } from "../distill.ts";
import { type ApiName, type BudgetLimits, Endpoint, type Prices } from "../../endpoint/mod.ts";
import { BETTER, KEY, MODELS } from "../../endpoint/testing/oracle_server.ts";

/** What decides a small distillation; plain data, so that it can be handed to a process. */
export interface SmallDistillation {
  readonly url: string;
  readonly api?: ApiName;
  readonly data: string;
  readonly out: string;
  readonly key?: string;
  readonly model?: string;
  readonly prices?: Prices | null;
  readonly budget?: BudgetLimits;
  readonly concurrency?: number;
  readonly retries?: number;
  readonly limit?: number;
}

/** The source of a small distillation: short waits, and the two models of the server. */
export function smallSource(small: Omit<SmallDistillation, "data" | "out">): HttpSource {
  const { url, api = "openai", key = KEY, prices = null, concurrency = 6, retries = 12 } = small;
  return {
    kind: "http",
    oracle: new Endpoint({ url, api, key, stallSeconds: 2, callSeconds: 10 }),
    models: { 1: { name: small.model ?? MODELS[0]!, prices }, 2: { name: MODELS[1]!, prices } },
    protocol: "instruct",
    sampling: { maxTokens: 400, temperature: 0.5 },
    budget: small.budget ?? {},
    concurrency,
    retry: { retries, baseSeconds: 0.002, mostSeconds: 0.02, seed: 0 },
  };
}

/** Runs a small distillation. */
export async function runSmall(
  small: SmallDistillation,
  more: Partial<DistillOptions> = {},
): Promise<DistillResult> {
  const { data, out, limit } = small;
  return await distill({
    data,
    out,
    heldOut: [],
    seed: 0,
    source: smallSource(small),
    ...(limit !== undefined && { limit }),
    ...more,
  });
}

/** Runs with a folder that holds `pairs.jsonl`, and that is removed afterwards. */
export async function withPairs<T>(
  count: number,
  use: (folder: string, data: string) => Promise<T>,
): Promise<T> {
  const folder = await mkdtemp(join(tmpdir(), "rmr1-distill-"));
  try {
    const data = join(folder, "pairs.jsonl");
    const lines = Array.from({ length: count }, (_, index) =>
      JSON.stringify({
        id: `p${index}`,
        group: `g${index % 7}`,
        prompt: `Is ${index} a number? Say why.`,
        chosen: `${BETTER} so: ${index} counts things.`,
        rejected: `No, ${index} is a word.`,
      }));
    await writeFile(data, `${lines.join("\n")}\n`);
    return await use(folder, data);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}
