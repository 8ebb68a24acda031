/**
 * Models by name in a browser: there are none.
 *
 * @module
 */
import { EngineError } from "../engine/error.ts";

/** Refused: a page has no models by name or path. */
export function resolveSource(name: string): Promise<string> {
  return Promise.reject(
    new EngineError("io", `Cannot open "${name}": a browser opens URLs and chosen files, no names or paths`),
  );
}

/** Refused, as {@link resolveSource}. */
export function readBeside(folder: string, _file: string): Promise<string | null> {
  return resolveSource(folder).then(() => null);
}

/** A page has no environment. */
export function environment(_name: string): string | undefined {
  return undefined;
}
