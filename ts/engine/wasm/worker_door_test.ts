import { expect } from "expect";
import { type Call, DIED, type Role, STARTED } from "./messages.ts";
import { type CoreWorker, WorkerDoor } from "./worker_door.ts";

/** A worker without a core, which answers as the test says. */
class ScriptedWorker implements CoreWorker {
  role: Role["role"] | undefined;
  held = false;
  terminated = false;
  tell = (_message: unknown): void => {};
  end = (_reason: string): void => {};
  readonly calls: Call[] = [];

  constructor(readonly starts: (role: Role["role"]) => unknown) {}

  post(message: unknown): void {
    if (this.role !== undefined) return void this.calls.push(message as Call);
    this.role = (message as Role).role;
    const answer = this.starts(this.role);
    if (answer !== undefined) queueMicrotask(() => this.tell(answer));
  }
  onMessage(listener: (message: unknown) => void): void {
    this.tell = listener;
  }
  onEnd(listener: (reason: string) => void): void {
    this.end = listener;
  }
  hold(isBusy: boolean): void {
    this.held = isBusy;
  }
  terminate(): void {
    this.terminated = true;
  }
}

const shared = () => ({
  module: {},
  memory: new WebAssembly.Memory({ initial: 1, maximum: 1, shared: true }),
});

/** Opens a door onto three threads; `expectThreads` is answered. */
async function open(): Promise<{ door: WorkerDoor; workers: ScriptedWorker[] }> {
  const workers: ScriptedWorker[] = [];
  const opening = WorkerDoor.open(() => {
    const worker = new ScriptedWorker((role) => ({ id: STARTED, value: role === "core" ? shared() : null }));
    workers.push(worker);
    return worker;
  }, { why: "test", shares: true, threads: 3 });
  while (workers[0]!.calls.length === 0) await new Promise((resolve) => setTimeout(resolve, 1));
  const [{ id, method, args }] = workers[0]!.calls.splice(0) as [Call];
  expect([method, args]).toEqual(["expectThreads", [3]]);
  expect(workers.map(({ role }) => role)).toEqual(["core", "thread", "thread", "thread"]);
  expect(workers.map(({ held }) => held)).toEqual([true, false, false, false]);
  workers[0]!.tell({ id, value: undefined });
  const door = await opening;
  expect(workers.map(({ held }) => held)).toEqual([false, false, false, false]);
  return { door, workers };
}

Deno.test("a thread that dies or ends takes the core with it, and who waits hears why", async () => {
  const ends: [(worker: ScriptedWorker) => void, object][] = [
    [
      (worker) => worker.tell({ id: DIED, error: { kind: "memory", message: "No more" } }),
      { kind: "memory", message: "No more" },
    ],
    [(worker) => worker.end("exit code 9"), { message: "A worker of the core ended: exit code 9" }],
  ];
  for (const [end, error] of ends) {
    for (const at of [0, 2]) {
      const { door, workers } = await open();
      const job = door.start(new Uint8Array(1));
      const next = door.next(job);
      expect(workers[0]!.held).toBe(true);
      end(workers[at]!);
      await expect(next).rejects.toMatchObject(error);
      await expect(door.next(job)).rejects.toMatchObject(error);
      expect(door.isEnded && workers.every(({ terminated, held }) => terminated && !held)).toBe(true);
    }
  }
});

Deno.test("who waits for a cancelled job hears of it while the core is still at work", async () => {
  const { door, workers } = await open();
  const [one, other] = [door.start(new Uint8Array(1)), door.start(new Uint8Array(1))];
  const [first, second] = [door.next(one), door.next(other)];
  door.cancel(one);
  await expect(first).rejects.toMatchObject({ kind: "cancelled" });
  door.closeJob(other);
  await expect(second).rejects.toMatchObject({ kind: "handle" });
  const next = workers[0]!.calls.find(({ method }) => method === "next")!;
  // The core's own answer comes later, and nobody waits for it.
  workers[0]!.tell({ id: next.id, value: [2, new Uint8Array()] });
  expect(door.isEnded).toBe(false);
  expect(workers[0]!.calls.map(({ method }) => method)).toEqual([
    ...["start", "start", "next", "next"],
    ...["cancel", "closeJob"],
  ]);
});

Deno.test("what cannot be sent is that call's error, and holds nothing", async () => {
  const { door, workers } = await open();
  workers[0]!.post = () => {
    throw new DOMException("An ArrayBuffer is detached", "DataCloneError");
  };
  const job = door.start(new Uint8Array(1));
  await expect(door.next(job)).rejects.toMatchObject({
    kind: "internal",
    message: "DataCloneError: An ArrayBuffer is detached",
  });
  expect([door.isEnded, workers[0]!.held]).toEqual([false, false]);
});

Deno.test("a worker that the system refuses is the door's error, and ends those before it", async () => {
  const workers: ScriptedWorker[] = [];
  const opening = WorkerDoor.open(() => {
    if (workers.length === 2) throw new Error("EAGAIN");
    workers.push(
      new ScriptedWorker((role) => role === "core" ? { id: STARTED, value: shared() } : undefined),
    );
    return workers.at(-1)!;
  }, { why: "test", shares: true, threads: 2 });
  await expect(opening).rejects.toMatchObject({
    kind: "library",
    message: "Cannot start a worker of the WebAssembly core: EAGAIN",
  });
  expect(workers.map(({ terminated }) => terminated)).toEqual([true, true]);
});

Deno.test("where a thread cannot start there is no door, and no worker is left", async () => {
  const workers: ScriptedWorker[] = [];
  const failed = { id: STARTED, error: { kind: "memory", message: "No stack" } };
  const opening = WorkerDoor.open(() => {
    const worker = new ScriptedWorker((role) => {
      if (role === "core") return { id: STARTED, value: shared() };
      return workers.length === 3 ? failed : { id: STARTED, value: null };
    });
    workers.push(worker);
    return worker;
  }, { why: "test", shares: true, threads: 2 });
  await expect(opening).rejects.toMatchObject({ kind: "memory", message: "No stack" });
  expect(workers.length).toBe(3);
  expect(workers.every(({ terminated }) => terminated)).toBe(true);
});

Deno.test("without shared memory files go to the core as messages, and come back so", async () => {
  const worker = new ScriptedWorker(() => ({ id: STARTED, value: null }));
  const door = await WorkerDoor.open(() => worker, { why: "test", shares: false, threads: 1 });
  expect(door.about).toBe("WebAssembly on 1 thread (test)");
  const answers: Record<string, unknown> = { reserve: 64, find: [64, 2], copy: Uint8Array.of(1, 2) };
  const post = worker.post.bind(worker);
  worker.post = (message) => {
    post(message);
    const { id, method } = message as Call;
    queueMicrotask(() => worker.tell({ id, value: answers[method] }));
  };
  await door.files.write("a", 2, new Blob([Uint8Array.of(1, 2)]).stream());
  expect(await door.files.read("a")).toEqual(Uint8Array.of(1, 2));
  expect(worker.calls.map(({ method, args }) => [method, ...args])).toEqual([
    ["reserve", "a", 2],
    ["fill", 64, Uint8Array.of(1, 2)],
    ["publish", "a", null],
    ["find", "a"],
    ["copy", 64, 2],
  ]);
});
