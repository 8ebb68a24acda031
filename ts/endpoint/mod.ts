/**
 * Language models behind HTTP: calls that are answered once, within the rate and the budget, and written down.
 *
 * @module
 */
export * from "./adaptive_limit.ts";
export * from "./api_name.ts";
export { APIS, type EndpointRequest, type Sampling } from "./apis.ts";
export * from "./budget.ts";
export * from "./caller.ts";
export * from "./endpoint.ts";
export * from "./endpoint_error.ts";
export * from "./call.ts";
export { EMPTY_JOURNAL, Journal, type JournalContent, keyOf, readJournal } from "./journal.ts";
