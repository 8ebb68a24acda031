/**
 * The stored reports and the page that is made of them.
 *
 * @module
 */
import { spawnSync } from "node:child_process";
import { mkdir, readFile, rename, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import * as z from "zod";
import { chartsOf } from "./charts.ts";
import { curvesOf } from "./cuda/curves.ts";
import { type CudaReport, cudaReportSchema } from "./cuda/report.ts";
import { resultsPage } from "./results_page.ts";
import { type ScalingReport, scalingReportSchema } from "./scaling_report.ts";
import { type SpeedReport, speedReportSchema } from "./speed_report.ts";
import { type TrainingReport, trainingReportSchema } from "./training/report.ts";

const ROOT = fileURLToPath(new URL("..", import.meta.url));
const DOCS = join(ROOT, "docs");

/** The comparison with peers. */
export const SPEED_FILE: string = join(DOCS, "results", "speed.json");

/** The scaling study. */
export const SCALING_FILE: string = join(DOCS, "results", "scaling.json");

/** What trained judges came to. */
export const TRAINING_FILE: string = join(DOCS, "results", "training.json");

/** What was measured on a GPU. */
export const CUDA_FILE: string = join(DOCS, "results", "cuda.json");

/**
 * Reads a stored report; null where there is none.
 *
 * @throws {SyntaxError} It is not as its schema says.
 */
export async function readReport<T>(path: string, schema: z.ZodType<T>): Promise<T | null> {
  let source: string;
  try {
    source = await readFile(path, "utf8");
  } catch (error) {
    if ((error as { readonly code?: string }).code === "ENOENT") return null;
    throw error;
  }
  const { data, error } = schema.safeParse(JSON.parse(source));
  if (error !== undefined) throw new SyntaxError(`${path}: not a report: ${z.prettifyError(error)}`);
  return data;
}

async function replaceFile(path: string, content: string): Promise<void> {
  await mkdir(dirname(path), { recursive: true });
  const beside = `${path}.${process.pid}.part`;
  await writeFile(beside, content);
  await rename(beside, path);
}

/** Stores a report. */
export async function writeReport(
  path: string,
  report: SpeedReport | ScalingReport | TrainingReport | CudaReport,
): Promise<void> {
  await replaceFile(path, `${JSON.stringify(report, null, 2)}\n`);
}

/**
 * Markdown as the repository's formatter leaves it.
 *
 * @throws {Error} The formatter failed.
 */
export function formatMarkdown(source: string): string {
  const { stdout, stderr, status } = spawnSync(process.execPath, ["fmt", "--quiet", "--ext", "md", "-"], {
    cwd: ROOT,
    input: source,
    encoding: "utf8",
  });
  if (status !== 0) throw new Error(`Cannot format Markdown: ${stderr}`);
  return stdout;
}

/** Makes docs/results.md and its charts from what is stored. */
export async function writeResultsPage(): Promise<void> {
  const speed = await readReport(SPEED_FILE, speedReportSchema);
  const scaling = await readReport(SCALING_FILE, scalingReportSchema);
  const training = await readReport(TRAINING_FILE, trainingReportSchema);
  const cuda = await readReport(CUDA_FILE, cudaReportSchema);
  const charts = new Map(scaling?.studies.flatMap((study) => [...chartsOf(study)]));
  const curves = cuda?.training == null ? new Map<string, string>() : curvesOf(cuda.training);
  for (const [name, svg] of [...charts, ...curves]) await replaceFile(join(DOCS, "results", name), svg);
  const page = resultsPage({
    speed,
    scaling,
    training,
    cuda,
    charts: [...charts.keys()],
    curves: [...curves.keys()],
  });
  await replaceFile(join(DOCS, "results.md"), formatMarkdown(page));
}
