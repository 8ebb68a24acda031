/**
 * Whether this code runs in its repository, where models have names and parts are built, or in a package.
 *
 * @module
 */

/** In its repository it is TypeScript. */
export const IN_WORKSPACE: boolean = import.meta.url.startsWith("file:") && import.meta.url.endsWith(".ts");
