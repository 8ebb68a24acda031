/**
 * Reads the rubric that a judge wrote.
 *
 * @module
 */

/** One criterion. */
export interface RubricItem {
  /** The criterion without its number and weight. */
  readonly text: string;
  /** Its share: `40%` is 0.4; a weight written without a percent sign is given as written. Null where none is. */
  readonly weight: number | null;
}

const MARKER = /^(\s*)(?:\(?\d{1,3}[.):]|[-*•–])\s+(?=\S)/;
const NUMBER = String.raw`(\d{1,6}(?:\.\d{1,9})?|\.\d{1,9})`;
// Each alternative captures the number and, where it may be missing, the percent sign.
const WEIGHTS: readonly RegExp[] = [
  new RegExp(
    String.raw`\s?[([]\s{0,4}(?:weight\s{0,4}[:=]?\s{0,4})?${NUMBER}\s{0,4}(%)\s{0,4}(?:weight)?\s{0,4}[)\]]`,
    "i",
  ),
  new RegExp(String.raw`\s?[([]\s{0,4}weight\s{0,4}[:=]?\s{0,4}${NUMBER}()\s{0,4}[)\]]`, "i"),
  new RegExp(String.raw`[\s,;:–—-]{0,4}\bweight\s{0,4}[:=]?\s{0,4}${NUMBER}\s{0,4}(%?)`, "i"),
  new RegExp(String.raw`\s{0,4}[:–—-]\s{0,4}${NUMBER}\s{0,4}(%)`, "i"),
];

/**
 * The items of a rubric's text, `<justify>` left out. An item begins with a number or a bullet, or is a line that
 * states a weight; deeper bullets and other lines belong to the item before them; a heading before the first item
 * belongs to none.
 */
export function parseRubricItems(text: string): RubricItem[] {
  const items: string[] = [];
  let indent = Infinity;
  for (const line of text.split(/\r?\n/)) {
    if (line.trim() === "") continue;
    const marker = MARKER.exec(line);
    const depth = marker?.[1]?.length ?? Infinity;
    if (marker !== null && (items.length === 0 || depth <= indent)) {
      indent = depth;
      items.push(line.slice(marker[0].length).trim());
    } else if (marker === null && indent === Infinity && weightIn(line) !== null) {
      items.push(line.trim());
    } else if (items.length > 0) {
      items[items.length - 1] += ` ${line.trim()}`;
    }
  }
  return items.map((item) => {
    const found = weightIn(item);
    if (found === null) return { text: item, weight: null };
    const rest = item.slice(0, found.start) + item.slice(found.end);
    return { text: rest.trim().replace(/\s{0,4}[:–—-]$/, ""), weight: found.weight };
  });
}

function weightIn(line: string): { weight: number; start: number; end: number } | null {
  for (const form of WEIGHTS) {
    const match = form.exec(line);
    if (match === null) continue;
    const value = Number(match[1]);
    const weight = match[2] === "%" ? value / 100 : value;
    return { weight, start: match.index, end: match.index + match[0].length };
  }
  return null;
}
