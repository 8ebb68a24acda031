/**
 * HTML as tagged templates. What is put into one is escaped, unless it came from one.
 *
 * @module
 */
import { html, raw as asItIs } from "hono/html";

/** A part of the page. */
export type Html = ReturnType<typeof html>;

/**
 * Makes a part of the page. It goes by this name because formatters lay out what is tagged `html`, and so put spaces
 * into texts that are shown as they are.
 */
export const markup: typeof html = html;

/** Marks a text as HTML already: it is put in without being escaped. */
export const raw: typeof asItIs = asItIs;
