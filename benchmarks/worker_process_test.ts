import { expect } from "expect";
import process from "node:process";
import { fileURLToPath } from "node:url";
import type { Job } from "./protocol.ts";
import { UnavailableError } from "./unavailable.ts";
import { lastWords, WorkerError, WorkerProcess, type WorkerProgram } from "./worker_process.ts";

const SCRIPT = fileURLToPath(new URL("testing/scripted_worker.ts", import.meta.url));

const JOB: Job = {
  kind: "prefill",
  precision: "f32",
  threads: 1,
  model: { path: "none" },
  inputs: [[[1]], [[2]]],
};

function program(behaviour: string): WorkerProgram {
  return {
    program: process.execPath,
    args: ["run", "--quiet", "--allow-read", "--allow-env", SCRIPT, behaviour],
  };
}

Deno.test("a worker gets its job, answers each request, and ends with its input", async () => {
  const { worker, ready } = await WorkerProcess.start("scripted", program("good"), JOB);
  expect(ready.about).toEqual({ kind: "prefill" });
  expect((await worker.measure(3)).seconds).toBe(3);
  expect((await worker.measure(1)).seconds).toBe(1);
  expect(worker.age).toBeGreaterThan(0);
  await worker[Symbol.asyncDispose]();
  await expect(worker.measure(2)).rejects.toThrow(WorkerError);
});

Deno.test("a worker that cannot do its job says why", async () => {
  const started = WorkerProcess.start("scripted", program("refuses"), JOB);
  await expect(started).rejects.toThrow(new UnavailableError("no such precision"));
});

Deno.test("a worker that ends is told with its status and its last words", async () => {
  const { worker } = await WorkerProcess.start("scripted", program("dies"), JOB);
  await expect(worker.measure(1)).rejects.toThrow('Worker "scripted" ended (status 3): out of memory');
  await worker[Symbol.asyncDispose]();
});

Deno.test("a worker that writes something else, or is no program, is told", async () => {
  await expect(WorkerProcess.start("scripted", program("babbles"), JOB)).rejects.toThrow('wrote "Loading…"');
  const missing = { program: "./no-such-program", args: [] };
  await expect(WorkerProcess.start("missing", missing, JOB)).rejects.toThrow(
    /Worker "missing" ended \(.*no-such-program/,
  );
});

Deno.test("the last words are the error, not where it was thrown", () => {
  expect(lastWords("Loading\nTraceback:\n  File x\nValueError: no model\n")).toBe("ValueError: no model");
  expect(lastWords("error: Uncaught TypeError: no\n    at main (worker.ts:1)\n")).toBe(
    "error: Uncaught TypeError: no",
  );
  expect(lastWords("Killed\n")).toBe("Killed");
  expect(lastWords("")).toBe("");
});
