/**
 * Tables on the page.
 *
 * @module
 */
import { html } from "hono/html";
import type { Html } from "./figure.ts";

/** A table that scrolls where it has no room. `kind` is a class of the style sheet. */
export function table(caption: string, head: readonly string[], rows: readonly Html[], kind = ""): Html {
  return html`
    <div class="scroll" tabindex="0" role="region" aria-label="${caption}">
      <table class="${kind}">
        <caption>${caption}</caption>
        <thead>
          <tr>${head.map((name) => html`<th scope="col">${name}</th>`)}</tr>
        </thead>
        <tbody>${rows}</tbody>
      </table>
    </div>
  `;
}
