/**
 * Requests and events of the native core as bytes: a JSON body and named little-endian arrays. The layout is that of
 * `core-rs/src/service/frame.rs`.
 *
 * @module
 */

import { EngineError } from "../error.ts";

const DTYPES = { u8: Uint8Array, u32: Uint32Array, i32: Int32Array, f32: Float32Array, f64: Float64Array };

type Dtype = keyof typeof DTYPES;

/** An array that a frame can carry. */
export type FrameArray = Uint8Array | Uint32Array | Int32Array | Float32Array | Float64Array;

/** A JSON body with named arrays. */
export interface Frame {
  readonly body: Readonly<Record<string, unknown>>;
  readonly arrays: Readonly<Record<string, FrameArray>>;
}

interface Header {
  readonly body: Readonly<Record<string, unknown>>;
  readonly arrays: readonly { readonly name: string; readonly dtype: Dtype; readonly length: number }[];
}

/** Writes a frame. The arrays are copied. */
export function encodeFrame({ body, arrays }: Frame): Uint8Array<ArrayBuffer> {
  const named = Object.entries(arrays);
  const header = new TextEncoder().encode(JSON.stringify({
    body,
    arrays: named.map(([name, array]) => ({ name, dtype: dtypeOf(array), length: array.length })),
  }, wellFormed));
  let end = 4 + header.length;
  const starts = named.map(([, array]) => {
    const start = aligned(end);
    end = start + array.byteLength;
    return start;
  });
  const bytes = new Uint8Array(end);
  new DataView(bytes.buffer).setUint32(0, header.length, true);
  bytes.set(header, 4);
  named.forEach(([, array], i) =>
    bytes.set(new Uint8Array(array.buffer, array.byteOffset, array.byteLength), starts[i]!)
  );
  return bytes;
}

/** Half a character, as cutting a text can leave it, has no UTF-8: it becomes U+FFFD, as `TextEncoder` has it. */
function wellFormed(_: string, value: unknown): unknown {
  return typeof value === "string" ? value.toWellFormed() : value;
}

/** Reads a frame that the core wrote. The arrays are views of `bytes`, which must start its buffer. */
export function decodeFrame(bytes: Uint8Array<ArrayBuffer>): Frame {
  const length = new DataView(bytes.buffer).getUint32(0, true);
  const header = JSON.parse(new TextDecoder().decode(bytes.subarray(4, 4 + length))) as Header;
  let end = 4 + length;
  const arrays: Record<string, FrameArray> = {};
  for (const { name, dtype, length } of header.arrays) {
    const start = aligned(end);
    const array = new DTYPES[dtype](bytes.buffer, start, length);
    end = start + array.byteLength;
    arrays[name] = array;
  }
  return { body: header.body, arrays };
}

/** Takes one array out of an event, checked for its type. */
export function arrayOf<T extends FrameArray>(
  { arrays }: Frame,
  name: string,
  type: new (length: number) => T,
): T {
  const array = arrays[name];
  if (!(array instanceof type)) {
    throw new EngineError("internal", `The core's answer has no ${type.name} named "${name}"`);
  }
  return array;
}

function aligned(offset: number): number {
  return Math.ceil(offset / 8) * 8;
}

function dtypeOf(array: FrameArray): Dtype {
  const found = Object.entries(DTYPES).find(([, type]) => array instanceof type);
  if (found === undefined) {
    throw new EngineError("input", `A frame cannot carry a "${(array as object).constructor.name}"`);
  }
  return found[0] as Dtype;
}
