/**
 * Whether a judge goes by length or by looks.
 *
 * @module
 */
import { codePoints } from "rm-r1/judge";
import type { BenchItem, ItemOutcome } from "./benchmark.ts";
import type { Estimate } from "./result.ts";
import { wilsonInterval } from "./statistics.ts";

/** Accuracy on some of the pairs; null where there are none. */
export interface AuditCell {
  /** By Wilson, with the items as trials: pairs of one item go together. */
  readonly accuracy: Estimate | null;
  readonly pairs: number;
}

/** Accuracy by how the better answer compares with the worse one. */
export interface Audit {
  /** In code points. */
  readonly length: { readonly shorter: AuditCell; readonly longer: AuditCell; readonly equal: AuditCell };
  /** In marks of Markdown, see {@link countMarks}. */
  readonly style: { readonly plainer: AuditCell; readonly richer: AuditCell; readonly equal: AuditCell };
}

const MARKS: readonly RegExp[] = [
  /^\s{0,3}#{1,6}\s/gm, // headings
  /^\s*(?:[-*+]|\d{1,3}[.)])\s/gm, // items of lists
  /(?:\*\*|__)(?=\S)[^\n]{1,200}?(?:\*\*|__)/g, // strong words
  /^\s*(?:```|~~~)/gm, // fences of code
  /^\s*\|.*\|\s*$/gm, // rows of tables
  /^\s{0,3}>\s/gm, // quotations
];

/** Marks of Markdown in a text: headings, items of lists, strong words, fences of code, rows of tables, quotations. */
export function countMarks(text: string): number {
  return MARKS.reduce((sum, mark) => sum + (text.match(mark)?.length ?? 0), 0);
}

/** Accuracy of the judgings, averaged pair by pair, by length and by style. */
export function auditOf(judgings: readonly (readonly ItemOutcome[])[]): Audit {
  const items = judgings[0]!.map(({ item }) => item);
  const rightOf = (item: number, pair: number): number =>
    judgings.reduce((sum, outcomes) => sum + outcomes[item]!.pairs[pair]!, 0) / judgings.length;
  const split = (measure: (text: string) => number): Record<-1 | 0 | 1, AuditCell> => {
    const signs = items.map((item) => signsOf(item, measure));
    const cell = (wanted: number): AuditCell => {
      const means = signs.flatMap((pairs, item) => {
        const chosen = pairs.flatMap((sign, pair) => sign === wanted ? [rightOf(item, pair)] : []);
        return chosen.length === 0 ? [] : [{ sum: chosen.reduce((x, y) => x + y, 0), pairs: chosen.length }];
      });
      const pairs = means.reduce((sum, each) => sum + each.pairs, 0);
      if (pairs === 0) return { accuracy: null, pairs: 0 };
      const score = means.reduce((sum, each) => sum + each.sum, 0) / pairs;
      const [low, high] = wilsonInterval(score * means.length, means.length);
      return { accuracy: { score, low, high }, pairs };
    };
    return { [-1]: cell(-1), 0: cell(0), 1: cell(1) };
  };
  const [length, style] = [split(codePoints), split(countMarks)];
  return {
    length: { shorter: length[-1], longer: length[1], equal: length[0] },
    style: { plainer: style[-1], richer: style[1], equal: style[0] },
  };
}

/** Of each pair, whether the better answer has less (-1), as much (0) or more (1) of what is measured. */
function signsOf({ answers, pairs }: BenchItem, measure: (text: string) => number): number[] {
  const measured = answers.map(({ text }) => measure(text));
  return pairs.map(([better, worse]) => Math.sign(measured[better]! - measured[worse]!));
}
