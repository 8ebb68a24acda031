/**
 * Which cases are listed.
 *
 * @module
 */
/// <reference lib="dom" />
import type { ViewCase, ViewData } from "../data.ts";

/** Which cases are listed, and in which order. */
export interface ViewFilter {
  readonly outcome: "disagreements" | "" | ViewCase["outcome"];
  readonly subset: string;
  readonly order: "" | "flip" | "steady";
  readonly length: "" | "shorter" | "longer";
  readonly quotes: "" | "invented" | "true";
  readonly search: string;
  readonly sort: "" | "tokens" | "length";
}

/** The indices of the cases that pass, in the order asked for. */
export function filterCases({ items, cases }: ViewData, filter: ViewFilter): number[] {
  const words = filter.search.trim();
  const wanted = words === "" ? null : new RegExp(words.replace(/[.*+?^${}()|[\]\\]/g, "\\$&"), "i");
  const lead = ({ item, better, worse }: ViewCase): number => {
    const { answers } = items[item]!;
    return answers[better]!.length - answers[worse]!.length;
  };
  const passes = (each: ViewCase): boolean => {
    const item = items[each.item]!;
    if (filter.outcome === "disagreements") {
      if (each.outcome !== "wrong" && each.outcome !== "mixed") return false;
    } else if (filter.outcome !== "" && each.outcome !== filter.outcome) return false;
    if (filter.subset !== "" && item.subset !== filter.subset) return false;
    if (filter.order !== "" && each.flip !== (filter.order === "flip")) return false;
    if (filter.length === "shorter" && !(lead(each) < 0)) return false;
    if (filter.length === "longer" && !(lead(each) > 0)) return false;
    if (filter.quotes !== "") {
      const quotes = each.judgements.flatMap((judgement) => judgement.quotes ?? []);
      const invented = quotes.some(({ found }) => found === "missing");
      if (filter.quotes === "invented" ? !invented : invented || quotes.length === 0) return false;
    }
    if (wanted === null) return true;
    return wanted.test(item.key) || item.turns.some(([, text]) => wanted.test(text)) ||
      wanted.test(item.answers[each.better]!) || wanted.test(item.answers[each.worse]!) ||
      each.judgements.some(({ text }) => wanted.test(text));
  };
  const listed = cases.flatMap((each, index) => passes(each) ? [index] : []);
  if (filter.sort === "") return listed;
  const size = filter.sort === "length"
    ? (each: ViewCase): number => Math.abs(lead(each))
    : (each: ViewCase): number => each.judgements.reduce((sum, { tokens }) => sum + tokens, 0);
  const sizes = new Map(listed.map((index) => [index, size(cases[index]!)]));
  return listed.sort((one, two) => sizes.get(two)! - sizes.get(one)!);
}

/** What became of a case, in words. */
export function outcomeText({ outcome, flip, reasons }: ViewCase): string {
  const words = {
    right: "right",
    wrong: "wrong",
    mixed: "right in one order alone",
    unreadable: `no verdict: ${reasons.join(", ")}`,
  };
  const said = outcome === "wrong" && reasons.length > 0 ? `wrong: ${reasons.join(", ")}` : words[outcome];
  return flip ? `${said} (flipped)` : said;
}
