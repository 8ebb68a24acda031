/**
 * Ours beside each peer on a device, in turn, on the same work. `run.sh` runs it on a machine with a GPU:
 *
 *     deno run -A benchmarks/cuda/measure.ts --out FOLDER [--rows ID,ID] [--repetitions N] [--device cpu --tiny]
 *
 * @module
 */
import { execFile } from "node:child_process";
import { mkdir } from "node:fs/promises";
import { availableParallelism } from "node:os";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { parseArgs, promisify } from "node:util";
import { CoreEngine } from "../../ts/engine/core/core_engine.ts";
import { EMBEDDED, resolveModel } from "../../ts/models/mod.ts";
import { codeVersion } from "../../ts/train/version.ts";
import { runBenchmark } from "../command.ts";
import { drawIds, drawTexts } from "../inputs.ts";
import { measureRow, type Outcome, type Side } from "../measure.ts";
import { peersPython } from "../peers/environment.ts";
import type { Job } from "../protocol.ts";
import { awaitRest } from "../rest.ts";
import { shapeConfig } from "../shapes.ts";
import { OUR_WORKER, sideOf } from "../sides.ts";
import { markdownTable, TABLE_HEAD, tableRows } from "../speed_report.ts";
import { peakOf } from "./costs.ts";
import { describeGpu, type Gpu, MemoryMonitor } from "./gpu.ts";
import { appendRecord, type RowRecord } from "./records.ts";
import { type Roof, roofShare } from "./roof_share.ts";
import { type CudaRow, cudaRows } from "./rows.ts";

const SEED = 20261123;

/** A device of this machine. */
interface Place {
  readonly device: "cpu" | `cuda:${number}`;
  readonly index: number;
  readonly gpu: Gpu | null;
}

function fileOf(path: string): string {
  return fileURLToPath(new URL(path, import.meta.url));
}

async function openPlace(device: string): Promise<Place> {
  if (device === "cpu") return { device, index: 0, gpu: null };
  const [, digits] = /^cuda:(\d+)$/.exec(device) ?? [];
  if (digits === undefined) {
    throw new RangeError(`Option --device is "${device}", expected "cpu" or "cuda:N"`);
  }
  const index = Number(digits);
  return { device: `cuda:${index}`, index, gpu: await describeGpu(index) };
}

async function drawInputs({ inputs, shape }: CudaRow, repetitions: number): Promise<number[][][]> {
  const all = repetitions + 1;
  if (inputs.kind === "ids") {
    const vocabulary = Number(shapeConfig(shape)["vocab_size"]);
    return drawIds(inputs, { repetitions: all, vocabulary, seed: SEED });
  }
  await using engine = await CoreEngine.open(await resolveModel(EMBEDDED), { device: "cpu" });
  return await drawTexts(engine, inputs, { repetitions: all, seed: SEED });
}

async function sidesOf(
  row: CudaRow,
  { device }: Place,
  repetitions: number,
): Promise<{ readonly ours: Side; readonly peer: Side }> {
  const { id, peer, script, shape, arithmetic, job: work, inputs: { kind } } = row;
  const tokenizer = kind === "text" ? { tokenizer: await resolveModel(EMBEDDED) } : {};
  const job: Job = {
    ...work,
    device,
    arithmetic,
    threads: availableParallelism(),
    model: { shape, config: shapeConfig(shape), ...tokenizer },
    inputs: await drawInputs(row, repetitions),
  };
  const program = {
    program: peersPython(),
    args: [fileOf(script)],
    env: { PYTHONPATH: [fileOf("../peers"), process.env["PYTHONPATH"]].filter(Boolean).join(":") },
  };
  return { ours: sideOf(`ours ${id}`, OUR_WORKER, job), peer: sideOf(`${peer} ${id}`, program, job) };
}

async function outcomeOf(row: CudaRow, place: Place, repetitions: number): Promise<Outcome> {
  const sides = await sidesOf(row, place, repetitions);
  const options = { lifetime: "row", repetitions, discarded: 0, metrics: row.metrics } as const;
  if (place.gpu === null) return await measureRow(sides, options);
  await using monitor = await MemoryMonitor.start(place.index);
  const watched = { ours: monitor.watch("ours", sides.ours), peer: monitor.watch("peer", sides.peer) };
  return await measureRow(watched, options);
}

async function roofOf({ roof }: CudaRow, { device, gpu }: Place): Promise<Roof | null> {
  if (roof === null || gpu === null) return null;
  if (roof.kind === "arithmetic") {
    const peak = peakOf(gpu.name);
    return peak === null ? null : { kind: roof.kind, rate: peak.flops, source: peak.source };
  }
  const { stdout } = await promisify(execFile)(peersPython(), [fileOf("copy_bandwidth.py"), device]);
  const { bytesPerSecond } = JSON.parse(stdout) as { readonly bytesPerSecond: number };
  return { kind: roof.kind, rate: bytesPerSecond, source: "a copy by PyTorch, bytes read and written" };
}

async function measure(row: CudaRow, place: Place, repetitions: number): Promise<RowRecord> {
  const rest = await awaitRest({ evenIfBusy: true });
  const roof = await roofOf(row, place);
  const outcome = await outcomeOf(row, place, repetitions);
  const { id, work, peer } = row;
  return {
    kind: "row",
    report: {
      id,
      work,
      peer,
      outcome,
      measuredAt: new Date().toISOString(),
      code: process.env["RMR1_COMMIT"] || await codeVersion(),
      threads: availableParallelism(),
      repetitions,
      rest,
    },
    gpu: place.gpu,
    share: outcome.status === "measured" && roof !== null ? roofShare(row, roof, outcome) : null,
  };
}

await runBenchmark(async () => {
  const { values } = parseArgs({
    options: {
      out: { type: "string" },
      rows: { type: "string" },
      repetitions: { type: "string", default: "3" },
      device: { type: "string", default: "cuda:0" },
      tiny: { type: "boolean", default: false },
      list: { type: "boolean", default: false },
    },
  });
  const all = cudaRows(values.tiny ? "tiny" : "full");
  if (values.list) {
    process.stdout.write(`${all.map(({ id }) => id).join("\n")}\n`);
    return true;
  }
  const { out } = values;
  if (out === undefined) throw new RangeError("Option --out is missing, expected a folder for the results");
  const repetitions = Number(values.repetitions);
  if (!Number.isSafeInteger(repetitions) || repetitions < 1) {
    throw new RangeError(`Option --repetitions is "${values.repetitions}", expected a whole number from 1`);
  }
  const chosen = new Set(values.rows?.split(",") ?? all.map(({ id }) => id));
  const unknown = [...chosen].find((id) => !all.some((row) => row.id === id));
  if (unknown !== undefined) {
    throw new RangeError(
      `Option --rows names "${unknown}", expected some of ${all.map(({ id }) => `"${id}"`).join(", ")}`,
    );
  }
  await mkdir(out, { recursive: true });
  const place = await openPlace(values.device);
  let ok = true;
  for (const row of all.filter(({ id }) => chosen.has(id))) {
    const record = await measure(row, place, repetitions);
    await appendRecord(out, record);
    ok &&= record.report.outcome.status === "measured";
    process.stdout.write(markdownTable(TABLE_HEAD, tableRows(record.report)));
    if (record.share !== null) process.stdout.write(`${JSON.stringify(record.share)}\n`);
  }
  return ok;
});
