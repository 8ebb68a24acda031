/**
 * The core in WebAssembly on a worker's thread.
 *
 * @module
 */
import { closedError, type CoreFiles, type DoorEvent, type OwnDoor } from "../core/door.ts";
import { EngineError } from "../error.ts";
import { type Answer, DIED, type Port, receiveError, STARTED, transferred } from "./messages.ts";
import { filesOf } from "./pieces.ts";

/** A worker that has been started. */
export interface CoreWorker extends Port {
  /** Told when the worker has ended by itself, and why. */
  onEnd(listener: (reason: string) => void): void;
  /** While calls are open the worker keeps the process alive, where that is a question. */
  hold(isBusy: boolean): void;
  terminate(): void;
}

interface Waiting {
  readonly resolve: (value: unknown) => void;
  readonly reject: (error: EngineError) => void;
}

/** A door onto a worker. */
export class WorkerDoor implements OwnDoor {
  readonly about: string;
  readonly files: CoreFiles;
  readonly #worker: CoreWorker;
  readonly #waiting = new Map<number, Waiting>();
  #calls = 0;
  #jobs = 0;
  #ended: EngineError | undefined;

  private constructor(worker: CoreWorker, about: string) {
    this.#worker = worker;
    this.about = about;
    worker.onMessage((message) => this.#settle(message as Answer));
    worker.onEnd((reason) =>
      this.#end(new EngineError("internal", `The worker that has the core ended: ${reason}`))
    );
    const call = <T>(method: string) => (...args: unknown[]): Promise<T> =>
      this.#call(method, args) as Promise<T>;
    this.files = filesOf({
      reserve: call("reserve"),
      fill: call("fill"),
      publish: call("publish"),
      list: call("list"),
      read: call("read"),
      remove: call("remove"),
    });
  }

  /**
   * Waits until the worker's core has started.
   *
   * @param about which core it is, and why it was taken
   * @throws {EngineError} It could not start.
   */
  static async open(worker: CoreWorker, about: string): Promise<WorkerDoor> {
    const door = new WorkerDoor(worker, about);
    try {
      await door.#answer(STARTED);
    } catch (error) {
      worker.terminate();
      throw error;
    }
    return door;
  }

  get isEnded(): boolean {
    return this.#ended !== undefined;
  }

  start(request: Uint8Array<ArrayBuffer>): number {
    if (this.#ended !== undefined) throw this.#ended;
    const job = ++this.#jobs;
    this.#tell("start", [job, request]);
    return job;
  }

  async next(job: number): Promise<DoorEvent> {
    const [kind, bytes] = await this.#call("next", [job]) as [number, Uint8Array<ArrayBuffer>];
    return { kind, bytes };
  }

  cancel(job: number): void {
    this.#tell("cancel", [job]);
  }

  closeJob(job: number): void {
    this.#tell("closeJob", [job]);
  }

  closeHandle(handle: number): void {
    this.#tell("closeHandle", [handle]);
  }

  terminate(): void {
    this.#end(closedError());
    this.#worker.terminate();
  }

  /** A call whose answer nobody waits for: if it fails, so does what follows it. */
  #tell(method: string, args: readonly unknown[]): void {
    this.#call(method, args).catch(() => {});
  }

  #call(method: string, args: readonly unknown[]): Promise<unknown> {
    if (this.#ended !== undefined) return Promise.reject(this.#ended);
    const id = ++this.#calls;
    const answer = this.#answer(id);
    this.#worker.post({ id, method, args }, transferred(args));
    return answer;
  }

  #answer(id: number): Promise<unknown> {
    if (this.#waiting.size === 0) this.#worker.hold(true);
    return new Promise((resolve, reject) => this.#waiting.set(id, { resolve, reject }));
  }

  #settle(answer: Answer): void {
    if (answer.id === DIED && "error" in answer) {
      this.#end(receiveError(answer.error));
      this.#worker.terminate();
      return;
    }
    const waiting = this.#waiting.get(answer.id);
    this.#waiting.delete(answer.id);
    if (this.#waiting.size === 0) this.#worker.hold(false);
    if ("error" in answer) waiting?.reject(receiveError(answer.error));
    else waiting?.resolve(answer.value);
  }

  #end(error: EngineError): void {
    this.#ended ??= error;
    for (const { reject } of this.#waiting.values()) reject(this.#ended);
    this.#waiting.clear();
    this.#worker.hold(false);
  }
}
