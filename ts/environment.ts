/**
 * The process's environment.
 *
 * @module
 */
import process from "node:process";

/** A variable of the environment; none where it may not be read. */
export function environment(name: string): string | undefined {
  // Asking first keeps a run of Deno with no environment permission from stopping at a prompt.
  if (
    "Deno" in globalThis && Deno.permissions.querySync({ name: "env", variable: name }).state !== "granted"
  ) {
    return undefined;
  }
  return process.env[name];
}
