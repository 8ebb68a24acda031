/**
 * A local HTTP server whose faults tests can choose.
 *
 * @module
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";

/** What the server does with one request. */
export interface Fault {
  /** Answers with this status and no file. */
  readonly status?: number;
  /** Cuts the connection after so many bytes of the body. */
  readonly cutAfter?: number;
  /** Sends the whole file whatever range is asked for. */
  readonly ignoreRange?: boolean;
  /** Sends this in place of the file. */
  readonly body?: Uint8Array;
  /** Sends the head of the answer and then nothing. */
  readonly stall?: boolean;
}

/** A request as the server saw it. */
export interface Seen {
  readonly path: string;
  readonly range: string | null;
}

/** Serves files by path; each request takes the next fault, and once there are none left the server is sound. */
export class FileServer implements AsyncDisposable {
  readonly seen: Seen[] = [];
  readonly #files: ReadonlyMap<string, Uint8Array>;
  readonly #faults: Fault[];
  readonly #server: Server;

  private constructor(files: ReadonlyMap<string, Uint8Array>, faults: readonly Fault[]) {
    this.#files = files;
    this.#faults = [...faults];
    this.#server = createServer((request, response) => this.#answer(request, response));
  }

  /** Starts a server on a free port. */
  static async start(
    files: Readonly<Record<string, Uint8Array>>,
    faults: readonly Fault[] = [],
  ): Promise<FileServer> {
    const server = new FileServer(new Map(Object.entries(files)), faults);
    await new Promise<void>((resolve) => server.#server.listen(0, "127.0.0.1", resolve));
    return server;
  }

  /** Address of the server, without a slash at its end. */
  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  #answer(request: IncomingMessage, response: ServerResponse): void {
    const path = request.url ?? "/";
    const range = request.headers.range ?? null;
    this.seen.push({ path, range });
    const fault = this.#faults.shift() ?? {};
    const file = fault.body ?? this.#files.get(path);
    if (fault.status !== undefined || file === undefined) {
      response.writeHead(fault.status ?? 404).end();
      return;
    }
    const asked = fault.ignoreRange ? undefined : /^bytes=(\d+)-$/.exec(range ?? "")?.[1];
    const from = Number(asked ?? 0);
    if (asked !== undefined && from >= file.length) {
      response.writeHead(416).end();
      return;
    }
    const rest = file.subarray(from);
    response.writeHead(asked === undefined ? 200 : 206, {
      "content-length": rest.length,
      ...(asked !== undefined && { "content-range": `bytes ${from}-${file.length - 1}/${file.length}` }),
    });
    if (fault.stall) {
      response.flushHeaders();
    } else if (fault.cutAfter !== undefined) {
      response.write(rest.subarray(0, fault.cutAfter), () => setTimeout(() => response.destroy(), 20));
    } else {
      response.end(rest);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise<void>((resolve) => this.#server.close(() => resolve()));
  }
}
