/**
 * The leaderboard as one HTML page.
 *
 * @module
 */
import { type Html, markup, STYLE } from "rm-r1/report/parts";
import { pageWithScript } from "../page.ts";
import type { LeaderboardRow } from "./merge.ts";
import { cellText, columnsOf, LEGEND, titleOf } from "./texts.ts";

const LAYOUT = `
th button { all: unset; cursor: pointer; font-weight: 600; }
th button:focus-visible { outline: 2px solid var(--link); outline-offset: 2px; }
th[aria-sort="descending"] button::after { content: " ↓"; }
th[aria-sort="ascending"] button::after { content: " ↑"; }
td.number, th.number { text-align: right; }
tr.ours { background: var(--raised); font-weight: 600; }
tbody th, td:last-child { white-space: nowrap; }
`;

/** Sorts the table's rows by a column when its heading is pressed, highest first, and the other way round again. */
const SORT = `
for (const button of document.querySelectorAll("thead button")) {
  button.addEventListener("click", () => {
    const head = button.closest("th");
    const body = document.querySelector("tbody");
    const at = [...head.parentElement.children].indexOf(head);
    const down = head.getAttribute("aria-sort") !== "descending";
    for (const each of head.parentElement.children) each.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", down ? "descending" : "ascending");
    const valueOf = (row) => row.children[at].dataset.value ?? row.children[at].textContent;
    const compare = (x, y) => {
      const [one, two] = [valueOf(x), valueOf(y)];
      if (one === "" || two === "") return one === two ? 0 : one === "" ? 1 : -1;
      const order = head.classList.contains("number") ? Number(two) - Number(one) : two.localeCompare(one);
      return down ? order : -order;
    };
    body.append(...[...body.children].sort(compare));
  });
}
`;

/** One page, whole in itself: everything is escaped, and nothing is loaded from elsewhere. */
export async function leaderboardPage(rows: readonly LeaderboardRow[]): Promise<string> {
  const columns = columnsOf(rows);
  const heading = (name: string, kind = ""): Html =>
    markup`<th scope="col" class="${kind}"><button type="button">${name}</button></th>`;
  const number = (value: number | null, text: string): Html =>
    markup`<td class="number" data-value="${value ?? ""}">${text}</td>`;
  const body = rows.map((row) =>
    markup`<tr class="${
      row.source === null ? "ours" : ""
    }"><th scope="row">${row.name}</th><td>${row.type}</td>${
      columns.map((column) => number(row.cells[column]?.score ?? null, cellText(row.cells[column])))
    }${number(row.average, row.average?.toFixed(1) ?? "–")}<td>${
      row.source === null ? "our run" : markup`<a href="${row.source.url}">${row.source.title}</a>`
    }</td></tr>\n`
  );
  return await pageWithScript({
    title: "Leaderboard",
    style: STYLE + LAYOUT,
    script: SORT,
    body: markup`<header><h1>Leaderboard</h1>${LEGEND.map((line) => markup`<p>${line}</p>`)}
<p>A column's heading sorts by it.</p></header>
<main><div class="scroll" tabindex="0" role="region" aria-label="Leaderboard"><table>
<caption class="hidden">Judges and their figures</caption>
<thead><tr>${heading("Judge")}${heading("Type")}${
      columns.map((column) => heading(titleOf(column), "number"))
    }${heading("Average", "number")}${heading("Source")}</tr></thead>
<tbody>${body}</tbody></table></div></main>`,
  });
}
