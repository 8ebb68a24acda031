/**
 * The permissions that commands give up.
 *
 * @module
 */

/** Gives up the network and subprocesses, whatever the process was started with. */
export async function goOffline(): Promise<void> {
  for (const name of ["net", "run"] as const) await Deno.permissions.revoke({ name });
}

/** Gives up native libraries and subprocesses: for work that is done elsewhere. */
export async function giveUpLocalCode(): Promise<void> {
  for (const name of ["ffi", "run"] as const) await Deno.permissions.revoke({ name });
}
