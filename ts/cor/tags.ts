/**
 * The tags of a chain of rubrics, found in one pass: linear in the text, whatever it holds.
 *
 * @module
 */

const NAMES = ["type", "solution", "rubric", "justify", "eval", "answer"] as const;
const CITATIONS = ["quote_a", "quote_b", "summary_a", "summary_b"] as const;

/** Names of tags that hold what an answer says, in lower case. */
export type CitationName = typeof CITATIONS[number];

/** Names of the protocol's tags, in lower case. */
export type TagName = typeof NAMES[number] | CitationName;

/** An opening or closing tag. */
export interface Tag {
  readonly name: TagName;
  readonly closing: boolean;
  /** Offset of its `<`, in UTF-16 code units. */
  readonly start: number;
  /** Offset after its `>`. */
  readonly end: number;
}

/** What stands between an opening tag and its closing one. */
export interface Element {
  readonly name: TagName;
  /** Offset of the opening tag's `<`. */
  readonly outerStart: number;
  /** Offset after the opening tag. */
  readonly start: number;
  /** Offset of the closing tag's `<`. */
  readonly end: number;
  /** Offset after the closing tag. */
  readonly outerEnd: number;
}

/** The tags of a text, paired. */
export interface Structure {
  /** In the order of their closing tags, citations first. */
  readonly elements: readonly Element[];
  /** Opening tags that are never closed. */
  readonly unclosed: readonly Tag[];
  /** Closing tags that close nothing, and opening tags inside an element of their own name. */
  readonly stray: readonly Tag[];
}

const TAG = new RegExp(`<\\s{0,4}(/?)\\s{0,4}(${[...NAMES, ...CITATIONS].join("|")})\\s{0,4}>`, "gi");

/** The protocol's tags in a text, in order; case and a little whitespace inside the brackets do not matter. */
export function scanTags(text: string): Tag[] {
  return Array.from(text.matchAll(TAG), (match) => ({
    name: match[2]!.toLowerCase() as TagName,
    closing: match[1] === "/",
    start: match.index,
    end: match.index + match[0].length,
  }));
}

/** Whether a tag's content is a citation of an answer. */
export function isCitation(name: TagName): name is CitationName {
  return (CITATIONS as readonly string[]).includes(name);
}

/**
 * Pairs each opening tag with the next closing tag of its name. Tags inside a closed citation are an answer's text,
 * not structure, and are left out: a quoted `<answer>[[B]]</answer>` is no verdict.
 */
export function structureOf(text: string): Structure {
  const tags = scanTags(text);
  const citations = pair(tags.filter(({ name }) => isCitation(name)), true);
  const rest: Tag[] = [];
  let next = 0;
  for (const tag of tags) {
    while (next < citations.elements.length && citations.elements[next]!.outerEnd <= tag.start) next++;
    const citation = citations.elements[next];
    const cited = citation !== undefined && citation.outerStart <= tag.start;
    if (!cited && !isCitation(tag.name)) rest.push(tag);
  }
  const others = pair(rest, false);
  const byStart = (a: Tag, b: Tag): number => a.start - b.start;
  return {
    elements: [...citations.elements, ...others.elements],
    unclosed: [...citations.unclosed, ...others.unclosed].sort(byStart),
    stray: [...citations.stray, ...others.stray].sort(byStart),
  };
}

/** `opaque`: nothing inside an element that is closed is looked at. */
function pair(tags: readonly Tag[], opaque: boolean): Structure {
  const lastClosing = new Map<TagName, number>();
  tags.forEach((tag, index) => {
    if (tag.closing) lastClosing.set(tag.name, index);
  });
  const elements: Element[] = [];
  const stray: Tag[] = [];
  const unclosed: Tag[] = [];
  const open = new Map<TagName, Tag>();
  tags.forEach((tag, index) => {
    const opening = open.get(tag.name);
    if (tag.closing && opening !== undefined) {
      open.delete(tag.name);
      elements.push({
        name: tag.name,
        outerStart: opening.start,
        start: opening.end,
        end: tag.start,
        outerEnd: tag.end,
      });
    } else if (opaque && open.size > 0) {
      return;
    } else if (tag.closing || opening !== undefined) {
      stray.push(tag);
    } else if ((lastClosing.get(tag.name) ?? -1) > index) {
      open.set(tag.name, tag);
    } else {
      unclosed.push(tag);
    }
  });
  return { elements, unclosed, stray };
}
