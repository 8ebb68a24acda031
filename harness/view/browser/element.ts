/**
 * Elements of the page.
 *
 * @module
 */
/// <reference lib="dom" />

/** Makes an element. Strings among the children become text, so nothing of a run is ever read as HTML. */
export function element<K extends keyof HTMLElementTagNameMap>(
  name: K,
  attributes: Readonly<Record<string, string>>,
  ...children: readonly (Node | string)[]
): HTMLElementTagNameMap[K] {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

/** A text with marks over ranges of it, which may overlap: each mark names the quotes that it belongs to. */
export function marked(
  text: string,
  ranges: readonly {
    readonly range: readonly [number, number];
    readonly quote: number;
    readonly kind: string;
  }[],
  prefix: string,
): HTMLElement {
  const edges = [...new Set([0, text.length, ...ranges.flatMap(({ range }) => range)])].sort((x, y) => x - y);
  const box = element("div", { class: "text", tabindex: "0" });
  const named = new Set<number>();
  edges.slice(1).forEach((end, at) => {
    const start = edges[at]!;
    const over = ranges.filter(({ range }) => range[0] <= start && range[1] >= end && range[1] > range[0]);
    const part = text.slice(start, end);
    if (over.length === 0) return box.append(part);
    const { quote, kind } = over[0]!;
    const mark = element("mark", { class: `quote ${kind}`, "data-quote": `${quote}` }, part);
    if (!named.has(quote)) mark.id = `${prefix}-${quote}`;
    if (kind === "missing") mark.title = "Not in the answer";
    named.add(quote);
    box.append(mark);
  });
  return box;
}
