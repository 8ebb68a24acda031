/**
 * The core as a native library behind its C ABI, whichever way its symbols are called.
 *
 * @module
 */
import { closedError, type Door, type DoorEvent } from "../core/door.ts";
import { EngineError } from "../error.ts";

/** The symbols of the native core. All but `rmr1_job_poll` return at once; what they give is a status. */
export interface NativeSymbols {
  rmr1_abi_version(): number;
  rmr1_job_start(
    request: Uint8Array<ArrayBuffer>,
    length: bigint,
    outJob: BigUint64Array<ArrayBuffer>,
  ): number;
  rmr1_job_poll(
    job: bigint,
    outKind: Uint32Array<ArrayBuffer>,
    outSize: BigUint64Array<ArrayBuffer>,
  ): Promise<number>;
  rmr1_job_take(job: bigint, buffer: Uint8Array<ArrayBuffer>, length: bigint): number;
  rmr1_job_cancel(job: bigint): number;
  rmr1_job_close(job: bigint): number;
  rmr1_handle_close(handle: bigint): number;
}

/** A door onto a loaded library. */
export class NativeDoor implements Door {
  readonly about: string;
  readonly files = null;
  readonly isEnded = false;
  readonly #symbols: NativeSymbols;

  /** @param about which library it is, and why it was taken */
  constructor(symbols: NativeSymbols, about: string) {
    this.#symbols = symbols;
    this.about = about;
  }

  start(request: Uint8Array<ArrayBuffer>): number {
    const id = new BigUint64Array(1);
    check(this.#symbols.rmr1_job_start(request, BigInt(request.length), id));
    return Number(id[0]!);
  }

  async next(job: number): Promise<DoorEvent> {
    // The core writes into these while the poll is under way, so nothing else may touch them until it settles.
    const kind = new Uint32Array(1);
    const size = new BigUint64Array(1);
    check(await this.#symbols.rmr1_job_poll(BigInt(job), kind, size));
    const bytes = new Uint8Array(Number(size[0]!));
    check(this.#symbols.rmr1_job_take(BigInt(job), bytes, BigInt(bytes.length)));
    return { kind: kind[0]!, bytes };
  }

  cancel(job: number): void {
    check(this.#symbols.rmr1_job_cancel(BigInt(job)));
  }

  closeJob(job: number): void {
    check(this.#symbols.rmr1_job_close(BigInt(job)));
  }

  closeHandle(handle: number): void {
    check(this.#symbols.rmr1_handle_close(BigInt(handle)));
  }
}

/** Turns the status of a call into an error unless it is 0. */
function check(status: number): void {
  if (status === 0) return;
  if (status === 2) throw closedError();
  if (status === 1) throw new EngineError("input", "The native core refused a call");
  throw new EngineError("internal", `The native core failed with status "${status}"`);
}
