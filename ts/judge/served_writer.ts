/**
 * Texts by a server's model.
 *
 * @module
 */
import type { Answer } from "../endpoint/call.ts";
import type { Asking, WriteOptions, Writer, WrittenText } from "./engine_writer.ts";
import type { Answered } from "./judge.ts";

/** Writes by a server's model. */
export interface ServedWriter extends Writer {
  write(askings: readonly Asking[], options: WriteOptions): AsyncIterable<Answered<EndpointText>>;
}

/** A text by a server; `text` is null where it declined to write one. */
export interface EndpointText extends WrittenText {
  readonly answer: Answer;
}
