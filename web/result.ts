/**
 * A comparison as elements.
 *
 * @module
 */
/// <reference lib="dom" />
import { element } from "../harness/view/browser/element.ts";
import type { Comparison } from "../ts/api/comparison.ts";

const FOUND: Readonly<Record<string, string>> = {
  exact: "stands in the answer",
  normalised: "stands in the answer, written a little differently",
  missing: "does not stand in the answer",
  empty: "is empty",
};

function verdictWords({ verdict, reason, votes }: Comparison): string {
  const { A, B, none } = votes;
  const counted = `${A} for A, ${B} for B${none > 0 ? `, ${none} without a verdict` : ""}`;
  if (verdict !== null) return `Answer ${verdict} is the better one (${counted})`;
  if (reason === "votes-tied") return `No verdict: the judge changes its mind with the order (${counted})`;
  return `No verdict: ${reason} (${counted})`;
}

/** Shows what a comparison came to. */
export function resultElements(comparison: Comparison): HTMLElement[] {
  const { type, rubric, quotes, scores } = comparison;
  const shown: HTMLElement[] = [element("h3", { id: "verdict", tabindex: "-1" }, verdictWords(comparison))];
  if (type !== null) {
    shown.push(element("p", {}, `Taken for a ${type === "Chat" ? "chat" : "reasoning"} task`));
  }
  if (comparison.swapped) {
    shown.push(element("p", {}, "The trace is of the other order: its A is answer B, and its B answer A"));
  }
  if (scores !== null) {
    shown.push(element("p", {}, `Scores: A ${scores.A.toFixed(3)}, B ${scores.B.toFixed(3)}`));
  }
  if (rubric.length > 0) {
    const rows = rubric.map(({ text, weight }) => {
      const share = weight === null ? "–" : `${Math.round(100 * weight)} %`;
      const width = `width: ${Math.min(100, Math.max(0, 100 * (weight ?? 0)))}%`;
      return element(
        "tr",
        {},
        element("th", { scope: "row" }, text),
        element("td", {}, share, element("span", { class: "bar", style: width, "aria-hidden": "true" })),
      );
    });
    shown.push(
      element("h4", {}, "Rubric"),
      element("table", { class: "rubric" }, element("tbody", {}, ...rows)),
    );
  }
  if (quotes.length > 0) {
    const items = quotes.map(({ side, text, found }) =>
      element(
        "li",
        { class: found },
        element("q", {}, text),
        ` of ${side}, ${FOUND[found] ?? found}`,
      )
    );
    shown.push(element("h4", {}, "Quotes"), element("ul", { class: "quotes" }, ...items));
  }
  return shown;
}
