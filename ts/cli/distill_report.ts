/**
 * What a distillation says of itself.
 *
 * @module
 */
import type {
  ChosenPairs,
  DistillProgress,
  DistillResult,
  Estimate,
  EstimatedAmount,
} from "../distill/mod.ts";
import { formatDuration } from "../train/mod.ts";
import { count, describeAmount, money } from "./amounts.ts";

/** The pairs, and what was left out. */
export function describeChosen(
  chosen: Omit<ChosenPairs, "pairs"> & { readonly pairs: readonly unknown[] },
): string {
  const { pairs, read, identical, heldOut, beyondLimit, reports } = chosen;
  const left = [
    [identical, "with identical answers"],
    [heldOut, "held out"],
    [beyondLimit, "beyond the limit"],
  ].filter(([count]) => count !== 0).map(([count, why]) => `${count} ${why}`);
  const lines = [
    `${pairs.length} of ${read} pairs${left.length === 0 ? "" : `; left out: ${left.join(", ")}`}`,
  ];
  for (const { file, prompts, sameText, overlapping } of reports) {
    lines.push(
      `  ${file}: ${prompts} prompts; ${sameText} pairs with the same text, ${overlapping} by overlap`,
    );
  }
  return `${lines.join("\n")}\n`;
}

/** What is still to be paid. */
export function describeEstimate({ answered, expected, most }: Estimate): string {
  return [
    `about ${amount(expected)}`,
    `at most ${amount(most)}, failed calls not counted`,
    ...(answered > 0 ? [`${answered} calls are answered by the journal`] : []),
    ...(expected.cost === null
      ? ["The cost is unknown: prices are given by --input-price and --output-price"]
      : []),
  ].map((line) => `${line}\n`).join("");
}

function amount({ calls, inputTokens, outputTokens, cost }: EstimatedAmount): string {
  const tokens = `${count(inputTokens)} input and ${count(outputTokens)} output tokens`;
  return `${calls} calls, ${tokens}${cost === null ? "" : `, costing ${money(cost)}`}`;
}

/** One line: how much is done, how fast, the time left at that rate, and what was spent. */
export function progressLine({ pairs, of, kept, answers, seconds, calls }: DistillProgress): string {
  const parts = [`${pairs}/${of} pairs`, `${kept} kept`];
  if (calls !== null) {
    parts.push(`${calls.underWay} of ${calls.limit} calls under way`);
    if (calls.pause > 0) parts.push(`paused for ${formatDuration(calls.pause / 1000)}`);
  }
  if (answers > 0 && seconds > 0) parts.push(`${(answers / seconds).toPrecision(2)} answers/s`);
  if (pairs > 0 && pairs < of && answers > 0) {
    parts.push(`${formatDuration(seconds / pairs * (of - pairs))} left`);
  }
  if (calls !== null) parts.push(describeAmount(calls.spent));
  return parts.join(", ");
}

/** Writes progress: on a terminal one line that is redrawn, elsewhere a line now and then. */
export function progressPrinter(
  stream: { readonly isTTY: boolean | undefined; write(text: string): void },
): (progress: DistillProgress) => void {
  const pause = stream.isTTY ? 0.2 : 15;
  let last = -Infinity;
  return (progress) => {
    const ended = progress.pairs === progress.of;
    if (!ended && progress.seconds - last < pause) return;
    last = progress.seconds;
    const line = progressLine(progress);
    stream.write(stream.isTTY ? `\r\x1b[K${line}${ended ? "\n" : ""}` : `${line}\n`);
  };
}

/** What was kept, and why not more. */
export function describeResult({ complete, statistics, spent, out }: DistillResult): string {
  if (out === null) return "Nothing was sent: a dry run\n";
  const { pairs, kept, sides, passes, quotes, tracesWithMissingQuotes, problems } = statistics;
  const lines = [`${out}: ${kept} traces of ${pairs} pairs, ${sides.A} with the better answer at A`];
  for (const [pass, counts] of Object.entries(passes)) {
    const listed = Object.entries(counts).sort(([, x], [, y]) => y - x).map(([what, n]) => `${n} ${what}`);
    lines.push(`  ${pass}: ${listed.join(", ")}`);
  }
  const cited = quotes.exact + quotes.normalised + quotes.missing + quotes.empty;
  if (cited > 0) {
    lines.push(
      `  quotes: ${quotes.exact} of ${cited} verbatim, ${quotes.normalised} but for case and spaces; ` +
        `${tracesWithMissingQuotes} traces have quotes that are not in the answer`,
    );
  }
  const form = Object.entries(problems).sort(([, x], [, y]) => y - x).map(([kind, n]) => `${n} ${kind}`);
  if (form.length > 0) lines.push(`  form: ${form.join(", ")}`);
  if (spent !== null) lines.push(`  spent: ${describeAmount(spent)}`);
  if (!complete) lines.push("  not complete; the same command goes on where there is room in the budget");
  return `${lines.join("\n")}\n`;
}
