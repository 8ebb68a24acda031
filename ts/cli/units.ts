/**
 * Quantities as people read them.
 *
 * @module
 */

/** Bytes in millions: "12.3 MB". */
export function megabytes(bytes: number): string {
  return `${(bytes / 1e6).toFixed(1)} MB`;
}
