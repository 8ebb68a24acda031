/**
 * Rationales that are taken from elsewhere or changed, to see whether a verdict follows them.
 *
 * @module
 */
import { parseTrace } from "rm-r1/cor";
import { hashFraction } from "rm-r1/data";

/** What stands before a trace's last `<answer>`; null where there is none. */
export function rationaleOf(text: string): string | null {
  const at = text.toLowerCase().lastIndexOf("<answer>");
  return at < 0 ? null : text.slice(0, at);
}

/**
 * For each of several judgements another one whose rationale it gets, in an order that the seed decides; never one of
 * the same item. null where there is no other item.
 */
export function partnersOf(items: readonly string[], seed: number): (number | null)[] {
  const order = items.map((_, index) => index).sort((x, y) =>
    hashFraction(seed, `swap\0${items[x]}\0${x}`) - hashFraction(seed, `swap\0${items[y]}\0${y}`) || x - y
  );
  const partners: (number | null)[] = items.map(() => null);
  for (const [at, index] of order.entries()) {
    for (let step = 1; step < order.length; step++) {
      const other = order[(at + step) % order.length]!;
      if (items[other] === items[index]) continue;
      partners[index] = other;
      break;
    }
  }
  return partners;
}

/** A rationale up to the end of its solution; null where it has none. */
export function solutionOf(rationale: string | null): string | null {
  return rationale === null ? null : /^[\s\S]*?<\/solution>/i.exec(rationale)?.[0] ?? null;
}

const NUMBER = /\d+(?:[.,]\d+)*/g;

/**
 * The rationale with the last number of its solution raised by one, wherever the rationale states that number; null
 * where it has no solution that states one. What it says of the answers is left as it is, but for that number.
 */
export function editSolution(rationale: string): string | null {
  const { solution } = parseTrace(rationale);
  const last = solution?.match(NUMBER)?.at(-1);
  if (last === undefined || !/^\d{1,15}$/.test(last)) return null;
  const raised = String(Number(last) + 1);
  const start = rationale.indexOf(solution!);
  const end = start + solution!.length;
  const edited = rationale.slice(start, end).replaceAll(
    NUMBER,
    (number) => number === last ? raised : number,
  );
  return rationale.slice(0, start) + edited + rationale.slice(end);
}
