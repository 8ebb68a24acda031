/**
 * Tables on the page.
 *
 * @module
 */
import { type Html, markup } from "./markup.ts";

/** A table's cells, row by row; the first of a row is its heading. */
export type Rows = readonly (readonly (Html | string | number)[])[];

/** A table that scrolls where it has no room. `kind` is a class of the style sheet. */
export function table(caption: string, head: readonly string[], rows: Rows, kind = ""): Html {
  const body = rows.map(([first = "", ...others]) =>
    markup`<tr><th scope="row">${first}</th>${others.map((cell) => markup`<td>${cell}</td>`)}</tr>\n`
  );
  return markup`<div class="scroll" tabindex="0" role="region" aria-label="${caption}"><table class="${kind}">
<caption>${caption}</caption><thead><tr>${
    head.map((name) => markup`<th scope="col">${name}</th>`)
  }</tr></thead>
<tbody>${body}</tbody></table></div>`;
}
