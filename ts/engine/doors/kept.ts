/**
 * Doors that stay open.
 *
 * @module
 */
import type { Door } from "../core/door.ts";

/** Opens a door once, for all who ask; one that has died, or could not be opened, is replaced. */
export function kept(open: () => Promise<Door>): () => Promise<Door> {
  let opened: Promise<Door> | undefined;
  return async () => {
    const before = opened;
    const door = await before?.catch(() => null);
    if (door && !door.isEnded) return door;
    // Of several callers the first one opens it anew.
    if (opened === before) opened = open();
    return await opened!;
  };
}
