/**
 * The core in WebAssembly on threads of workers.
 *
 * @module
 */
import { closedError, type CoreFiles, type DoorEvent, type OwnDoor } from "../core/door.ts";
import { EngineError } from "../error.ts";
import {
  type Answer,
  DIED,
  type Port,
  receiveError,
  type Role,
  sendError,
  type SharedCore,
  STARTED,
  transferred,
} from "./messages.ts";
import { type FilePieces, filesOf, memoryPieces } from "./pieces.ts";

/** A worker that has been started. */
export interface CoreWorker extends Port {
  /** Told when the worker has ended by itself, and why. */
  onEnd(listener: (reason: string) => void): void;
  /** A worker keeps the process alive only while it is held, where that is a question. */
  hold(isBusy: boolean): void;
  terminate(): void;
}

/** Which core is to be started. */
export interface CoreChoice {
  /** Why this one was taken, in words. */
  readonly why: string;
  /** Whether workers may share memory. Without it there is one thread, and files go to it as messages. */
  readonly shares: boolean;
  /** Threads that compute. */
  readonly threads: number;
  /** The WebAssembly, where the worker does not know where it is. */
  readonly wasm?: BufferSource;
}

interface Waiting {
  readonly resolve: (value: unknown) => void;
  readonly reject: (error: EngineError) => void;
}

/** A door onto workers: one has the core, and if there are to be several threads the others compute with it. */
export class WorkerDoor implements OwnDoor {
  readonly about: string;
  readonly files: CoreFiles;
  readonly #workers: CoreWorker[] = [];
  readonly #waiting = new Map<number, Waiting>();
  /** Calls that wait for the next event of a job. */
  readonly #nexts = new Map<number, number>();
  readonly #ending = new AbortController();
  readonly #messages: Pick<FilePieces, "fill" | "copy">;
  /** How files' bytes go to the core and come back: as messages, unless its memory is shared. */
  #bytes: Pick<FilePieces, "fill" | "copy">;
  #calls = 0;
  #jobs = 0;
  #ended: EngineError | undefined;

  private constructor(about: string) {
    this.about = about;
    const call = <T>(method: string) => (...args: unknown[]): Promise<T> =>
      this.#call(method, args) as Promise<T>;
    const fill = call<void>("fill");
    this.#messages = { fill: (address, chunk) => fill(address, owned(chunk)), copy: call("copy") };
    this.#bytes = this.#messages;
    const pieces: FilePieces = {
      reserve: call("reserve"),
      fill: (address, chunk) => this.#bytes.fill(address, chunk),
      publish: call("publish"),
      list: call("list"),
      find: call("find"),
      copy: (address, length) => this.#bytes.copy(address, length),
      remove: call("remove"),
    };
    this.files = filesOf(pieces, this.#ending.signal);
  }

  /**
   * Waits until the core has started on all its threads.
   *
   * @throws {EngineError} It could not start.
   */
  static async open(startWorker: () => CoreWorker, choice: CoreChoice): Promise<WorkerDoor> {
    const { why, shares, threads, wasm = null } = choice;
    const door = new WorkerDoor(`WebAssembly on ${threads} thread${threads === 1 ? "" : "s"} (${why})`);
    try {
      const core = await door.#add(startWorker, { role: "core", wasm, shares }) as SharedCore | null;
      if (core !== null) door.#bytes = memoryPieces(core.memory);
      if (core !== null && threads > 1) {
        const role: Role = { role: "thread", core };
        await Promise.all(Array.from({ length: threads }, () => door.#add(startWorker, role)));
        await door.#call("expectThreads", [threads]);
      }
      return door;
    } catch (error) {
      door.terminate();
      if (error instanceof EngineError) throw error;
      const reason = error instanceof Error ? error.message : String(error);
      throw new EngineError("library", `Cannot start a worker of the WebAssembly core: ${reason}`, {
        cause: error,
      });
    }
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
    const id = ++this.#calls;
    this.#nexts.set(job, id);
    try {
      const [kind, bytes] = await this.#call("next", [job], id) as [number, Uint8Array<ArrayBuffer>];
      return { kind, bytes };
    } finally {
      this.#nexts.delete(job);
    }
  }

  cancel(job: number): void {
    this.#tell("cancel", [job]);
    this.#giveUp(job, new EngineError("cancelled", "The work was cancelled"));
  }

  closeJob(job: number): void {
    this.#tell("closeJob", [job]);
    this.#giveUp(job, closedError());
  }

  /** Answers who waits for a job's next event: the core hears of its end only after its turn. */
  #giveUp(job: number, error: EngineError): void {
    const id = this.#nexts.get(job);
    if (id !== undefined) this.#settle({ id, error: sendError(error) });
  }

  closeHandle(handle: number): void {
    this.#tell("closeHandle", [handle]);
  }

  terminate(): void {
    this.#end(closedError());
  }

  /** Gives a new worker its role, and waits until it has taken it. */
  async #add(startWorker: () => CoreWorker, role: Role): Promise<unknown> {
    const worker = startWorker();
    this.#workers.push(worker);
    const started = ++this.#calls;
    worker.onMessage((message) => {
      const answer = message as Answer;
      this.#settle(answer.id === STARTED ? { ...answer, id: started } : answer);
    });
    worker.onEnd((reason) => this.#end(new EngineError("internal", `A worker of the core ended: ${reason}`)));
    return await this.#answer(started, () => worker.post(role, []));
  }

  /** A call whose answer nobody waits for: if it fails, so does what follows it. */
  #tell(method: string, args: readonly unknown[]): void {
    this.#call(method, args).catch(() => {});
  }

  #call(method: string, args: readonly unknown[], id: number = ++this.#calls): Promise<unknown> {
    if (this.#ended !== undefined) return Promise.reject(this.#ended);
    return this.#answer(id, () => this.#workers[0]!.post({ id, method, args }, transferred(args)));
  }

  #answer(id: number, post: () => void): Promise<unknown> {
    if (this.#waiting.size === 0) this.#workers[0]!.hold(true);
    return new Promise((resolve, reject) => {
      this.#waiting.set(id, { resolve, reject });
      try {
        post();
      } catch (error) {
        // What cannot be sent, such as bytes that somebody else was given.
        this.#settle({ id, error: sendError(error) });
      }
    });
  }

  #settle(answer: Answer): void {
    if (answer.id === DIED && "error" in answer) return this.#end(receiveError(answer.error));
    const waiting = this.#waiting.get(answer.id);
    this.#waiting.delete(answer.id);
    if (this.#waiting.size === 0) this.#workers[0]!.hold(false);
    if ("error" in answer) waiting?.reject(receiveError(answer.error));
    else waiting?.resolve(answer.value);
  }

  /** Ends all workers: with one of them the core has died. */
  #end(error: EngineError): void {
    this.#ended ??= error;
    // The memory is free once nobody holds it.
    this.#bytes = this.#messages;
    this.#ending.abort(this.#ended);
    for (const { reject } of this.#waiting.values()) reject(this.#ended);
    this.#waiting.clear();
    for (const worker of this.#workers) {
      worker.hold(false);
      worker.terminate();
    }
  }
}

/** A chunk whose buffer is its own, so that it can be given away: pools lend theirs to many. */
function owned(chunk: Uint8Array): Uint8Array<ArrayBuffer> {
  const whole = chunk.buffer instanceof ArrayBuffer && chunk.byteLength === chunk.buffer.byteLength;
  return whole ? chunk as Uint8Array<ArrayBuffer> : chunk.slice();
}
