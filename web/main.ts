/**
 * A page that judges two answers in the browser: it loads a model, streams the trace and shows the reasons.
 *
 * @module
 */
/// <reference lib="dom" />
import { type CompareEvent, Judge } from "../ts/api/judge.ts";
import {
  type DownloadProgress,
  type ModelFiles,
  modelFromBlobs,
  modelFromUrl,
} from "../ts/engine/core/model_files.ts";
import { JUDGE_FILE } from "../ts/judge/judge_card.ts";
import type { Protocol } from "../ts/cor/prompts.ts";
import type { InferencePrecision } from "../ts/engine/engine.ts";
import type { WorkerDoor } from "../ts/engine/wasm/worker_door.ts";
import { embeddedJudge, startCore } from "./embedded.ts";
import { resultElements } from "./result.ts";
import { openRun } from "./runs.ts";

function by<T extends HTMLElement>(id: string): T {
  return document.getElementById(id) as T;
}

const value = (id: string): string => by<HTMLInputElement>(id).value;
const status = by("status");
const progress = by<HTMLProgressElement>("progress");
const [load, judgeButton, cancel] = [
  by<HTMLButtonElement>("load"),
  by<HTMLButtonElement>("judge"),
  by<HTMLButtonElement>("cancel"),
];

let door: WorkerDoor | null = null;
let judge: Judge | null = null;
let working: AbortController | null = null;

function say(text: string, isError = false): void {
  status.textContent = text;
  status.className = isError ? "error" : "";
}

/** One thing at a time; what it fails with is said. */
async function work(what: (signal: AbortSignal) => Promise<void>): Promise<void> {
  const controller = working = new AbortController();
  load.disabled = judgeButton.disabled = true;
  cancel.disabled = false;
  try {
    await what(controller.signal);
  } catch (error) {
    say(
      controller.signal.aborted ? "Cancelled" : error instanceof Error ? error.message : String(error),
      !controller.signal.aborted,
    );
  } finally {
    working = null;
    progress.hidden = true;
    load.disabled = false;
    judgeButton.disabled = judge === null;
    cancel.disabled = true;
  }
}

/** The model that the form names; null where it names none. */
function chosen(): ModelFiles | null {
  switch (value("source")) {
    case "embedded":
      return embeddedJudge();
    case "url":
      return URL.canParse(value("url")) ? modelFromUrl(value("url")) : null;
    default: {
      const files = [...by<HTMLInputElement>("files").files ?? []];
      if (files.length === 0) return null;
      const weights = files.find(({ name }) => /\.(gguf|safetensors)$/i.test(name)) ?? files[0]!;
      return modelFromBlobs(weights.name, Object.fromEntries(files.map((file) => [file.name, file])));
    }
  }
}

function showDownload({ file, received, total }: DownloadProgress): void {
  progress.hidden = false;
  progress.max = total;
  progress.value = received;
  progress.setAttribute("aria-label", `${file}: ${Math.round(100 * received / total)} %`);
}

async function open(signal: AbortSignal): Promise<void> {
  const model = chosen();
  if (model === null) return say("Name a model's URL, or choose its files", true);
  say(`Loading ${model.name}`);
  await judge?.[Symbol.asyncDispose]();
  judge = null;
  if (door === null || door.isEnded) door = await startCore();
  const hasCard = model.files.some(({ name }) => name === JUDGE_FILE);
  judge = await Judge.open(model, {
    precision: value("precision") as InferencePrecision,
    maxNewTokens: Number(value("tokens")),
    ...(!hasCard && { protocol: value("protocol") as Protocol }),
    core: { door, onDownload: showDownload },
    signal,
  });
  say(`Ready: ${model.name}, on ${judge.where}`);
}

async function compare(signal: AbortSignal): Promise<void> {
  if (judge === null) return;
  const pair = { prompt: value("prompt"), a: value("a"), b: value("b") };
  by("result").replaceChildren();
  by("trace").textContent = "";
  by("traces").hidden = false;
  say("Judging");
  const began = performance.now();
  for await (const event of judge.stream(pair, { orders: value("orders") as "both" | "given", signal })) {
    show(event);
  }
  say(`Judged in ${((performance.now() - began) / 1000).toFixed(1)} s`);
  by("verdict").focus();
}

function show(event: CompareEvent): void {
  if (event.type === "comparison") {
    by("trace").textContent = event.comparison.trace;
    by("result").replaceChildren(...resultElements(event.comparison));
  } else if (event.judgement === 0) by("trace").textContent = event.text;
}

function chooseSource(): void {
  for (const source of ["url", "files"]) by(`${source}-field`).hidden = value("source") !== source;
  by("protocol-field").hidden = value("source") === "embedded";
}

by("model").addEventListener("submit", (event) => {
  event.preventDefault();
  void work(open);
});
by("pair").addEventListener("submit", (event) => {
  event.preventDefault();
  void work(compare);
});
by("run-file").addEventListener("change", async () => {
  const file = by<HTMLInputElement>("run-file").files?.[0];
  if (file === undefined) return;
  const told = by("run-status");
  told.textContent = "";
  try {
    await openRun(file, by("run"), by<HTMLTemplateElement>("run-browser"));
  } catch (error) {
    told.textContent = error instanceof Error ? error.message : String(error);
  }
});
cancel.addEventListener("click", () => working?.abort());
by("source").addEventListener("change", chooseSource);
chooseSource();
document.documentElement.dataset["ready"] = "";
