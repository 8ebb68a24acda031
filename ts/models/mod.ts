/**
 * Models by name: where they come from, and where they are.
 *
 * @module
 */
export * from "./catalog.ts";
export { type FileCheck, findFault } from "./checksum.ts";
export { downloadFile, type DownloadOptions, keep, reasonOf } from "./download.ts";
export * from "./fetch.ts";
export * from "./git_blob.ts";
export * from "./model_error.ts";
export * from "./resolve.ts";
