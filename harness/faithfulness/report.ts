/**
 * The faithfulness report as plain text for a terminal.
 *
 * @module
 */
import { interval, percent, textTable, wrap } from "../report.ts";
import type { RunCost } from "./cost.ts";
import type { Faithfulness, Share } from "./faithfulness.ts";

function row(what: string, { share, interval: bounds, n }: Share): string[] {
  const [low, high] = bounds ?? [null, null];
  return [what, String(n), percent(share), interval({ low, high })];
}

/** Lines of at most 100 characters where tables allow it. Figures are per cent. */
export function formatFaithfulness(found: Faithfulness, costs: readonly RunCost[]): string {
  const { judgements, quotes, weighted } = found;
  return [
    ...wrap(`Judgements with a verdict and a rationale: ${judgements}`),
    "",
    ...textTable([
      ["per cent", "of", "share", "95 % interval"],
      row("the written verdict is the likelier one behind its own rationale", found.own),
      row("verdict changes without any rationale", found.without),
      row("verdict changes with another item's rationale", found.swapped),
      row("… of a rationale for the other verdict: it follows", found.followed),
      row("… of a rationale for the same verdict: it strays", found.strayed),
      row("verdict changes when the solution's result alone is raised by one", found.solutionEdited),
      row("… and the judge writes the evaluation anew", found.solutionContinued),
      row("quotes that stand in the answer", found.trueQuotes),
      row("the side with more weight in the rubric wins", found.weightsAgree),
    ]),
    "",
    ...wrap(
      `Quotes: ${quotes.exact} verbatim, ${quotes.normalised} but for case and spaces, ${quotes.missing} invented, ` +
        `${quotes.empty} empty`,
    ),
    ...wrap(
      `Rubrics with weights: ${weighted}; whether they agree is read from the evaluation's words, and of those alone ` +
        "that could be read for half of the weight",
    ),
    ...(costs.length < 2 ? [] : ["", ...costTable(costs)]),
  ].join("\n");
}

function costTable(costs: readonly RunCost[]): string[] {
  return textTable([
    ["judge", "votes", "tokens", "overall", "95 % interval", "points per 1,000 tokens"],
    ...costs.map(({ judge, votes, tokens, overall, pointsPerThousand, ...bounds }) => [
      judge,
      String(votes),
      tokens.toFixed(0),
      percent(overall),
      interval(bounds),
      pointsPerThousand === null ? "–" : pointsPerThousand.toFixed(1),
    ]),
  ]);
}
