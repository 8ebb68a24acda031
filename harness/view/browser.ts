/**
 * What runs in the page of a run. The page holds each function's source text, so they rest on each other and on the
 * browser alone.
 *
 * @module
 */
/// <reference lib="dom" />
import type { ViewCase, ViewData, ViewItem, ViewJudgement, ViewQuote } from "./data.ts";

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

/** The page's parts that are filled in. */
export interface ViewElements {
  readonly filters: HTMLFormElement;
  readonly count: HTMLElement;
  readonly list: HTMLElement;
  readonly detail: HTMLElement;
}

/** A listing: shows these cases, and which of them is selected. */
export interface ViewList {
  /** Lists these indices of cases; `selected` is one of them, or null where there is none. */
  show(listed: readonly number[], selected: number | null): void;
}

/** Reads the data that the page holds: JSON, compressed by gzip, as base64. */
export async function readViewData(base64: string): Promise<ViewData> {
  const bytes = Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return await new Response(stream).json();
}

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

/**
 * A list of which only the rows in sight are in the page: tens of thousands scroll as few do. It is one stop of the tab
 * key; arrows, Page Up, Page Down, Home and End move the selection.
 */
export function listOf(
  list: HTMLElement,
  { items, cases }: ViewData,
  select: (index: number) => void,
): ViewList {
  const HEIGHT = 56;
  const AROUND = 8;
  const sizer = element("div", { role: "presentation", class: "sizer" });
  list.replaceChildren(sizer);
  let listed: readonly number[] = [];
  let selected: number | null = null;
  const row = (at: number): HTMLElement => {
    const index = listed[at]!;
    const each = cases[index]!;
    const { key, subset, turns } = items[each.item]!;
    const asked = turns.at(-1)?.[1].replace(/\s+/g, " ").slice(0, 120) ?? "";
    return element(
      "div",
      {
        role: "option",
        id: `case-${index}`,
        class: `row ${each.outcome}`,
        "data-index": `${index}`,
        "aria-selected": `${index === selected}`,
        "aria-setsize": `${listed.length}`,
        "aria-posinset": `${at + 1}`,
        style: `top: ${at * HEIGHT}px; height: ${HEIGHT}px`,
      },
      element("span", { class: "what" }, element("b", {}, outcomeText(each)), ` ${subset} · ${key}`),
      element("span", { class: "asked" }, asked),
    );
  };
  const draw = (): void => {
    const first = Math.max(0, Math.floor(list.scrollTop / HEIGHT) - AROUND);
    const last = Math.min(listed.length, Math.ceil((list.scrollTop + list.clientHeight) / HEIGHT) + AROUND);
    sizer.replaceChildren(...Array.from({ length: Math.max(0, last - first) }, (_, at) => row(first + at)));
    if (selected === null) list.removeAttribute("aria-activedescendant");
    else list.setAttribute("aria-activedescendant", `case-${selected}`);
  };
  const reveal = (at: number): void => {
    const top = at * HEIGHT;
    if (top < list.scrollTop) list.scrollTop = top;
    else if (top + HEIGHT > list.scrollTop + list.clientHeight) {
      list.scrollTop = top + HEIGHT - list.clientHeight;
    }
  };
  const move = (at: number): void => {
    const index = listed[Math.min(listed.length - 1, Math.max(0, at))];
    if (index !== undefined) select(index);
  };
  list.addEventListener("scroll", draw);
  addEventListener("resize", draw);
  list.addEventListener("click", (event) => {
    const chosen = (event.target as Element).closest<HTMLElement>("[data-index]");
    if (chosen !== null) select(Number(chosen.dataset["index"]));
  });
  list.addEventListener("keydown", (event) => {
    const at = selected === null ? -1 : listed.indexOf(selected);
    const page = Math.max(1, Math.floor(list.clientHeight / HEIGHT) - 1);
    const targets: Readonly<Record<string, number>> = {
      ArrowDown: at + 1,
      ArrowUp: at - 1,
      PageDown: at + page,
      PageUp: at - page,
      Home: 0,
      End: listed.length - 1,
    };
    const target = targets[event.key];
    if (target === undefined) return;
    event.preventDefault();
    move(target);
  });
  return {
    show(next, chosen): void {
      const isSame = next === listed;
      [listed, selected] = [next, chosen];
      sizer.style.height = `${listed.length * HEIGHT}px`;
      if (!isSame) list.scrollTop = 0;
      if (selected !== null) reveal(listed.indexOf(selected));
      draw();
    },
  };
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

/** The rubric as a table: each criterion with its weight and a bar as long. */
export function rubricTable(rubric: NonNullable<ViewJudgement["rubric"]>): HTMLElement {
  const largest = Math.max(...rubric.map(({ weight }) => weight ?? 0));
  return element(
    "table",
    { class: "rubric" },
    element("caption", {}, "Rubric"),
    element(
      "thead",
      {},
      element(
        "tr",
        {},
        element("th", { scope: "col" }, "Criterion"),
        element("th", { scope: "col" }, "Weight"),
      ),
    ),
    element(
      "tbody",
      {},
      ...rubric.map(({ text, weight }) => {
        const share = weight === null || largest === 0 ? 0 : (100 * weight) / largest;
        return element(
          "tr",
          {},
          element("th", { scope: "row" }, text),
          element(
            "td",
            {},
            weight === null ? "none" : weight <= 1 ? `${Math.round(100 * weight)} %` : `${weight}`,
            element("span", { class: "bar", style: `width: ${share}%` }),
          ),
        );
      }),
    ),
  );
}

/** The quotes of a judgement, each a button that leads to its place in the answer, or in the trace if it has none. */
export function quoteList(quotes: readonly ViewQuote[], trace: string): HTMLElement {
  const words = {
    exact: "word for word",
    normalised: "but for case, space and marks",
    missing: "invented: not in the answer",
    empty: "empty",
  };
  return element(
    "ul",
    { class: "quotes" },
    ...quotes.map(({ side, found, at, in: place }, quote) => {
      const button = element(
        "button",
        { type: "button", class: found },
        `${trace.slice(...at) || "(nothing)"}`,
      );
      button.addEventListener("click", () => {
        const target = document.getElementById(place === undefined ? `trace-${quote}` : `answer-${quote}`);
        for (const old of document.querySelectorAll("mark.shown")) old.classList.remove("shown");
        for (const mark of document.querySelectorAll(`mark[data-quote="${quote}"]`)) {
          mark.classList.add("shown");
        }
        target?.scrollIntoView({ block: "center" });
      });
      return element("li", {}, element("span", { class: "meta" }, `Of ${side}, ${words[found]}: `), button);
    }),
  );
}

/** Both answers as a judgement had them, A first, with the quotes that are in them; or the better one first. */
export function answerColumns(item: ViewItem, each: ViewCase, judgement: ViewJudgement | null): HTMLElement {
  const betterFirst = judgement === null || judgement.gold === "A";
  const places = betterFirst ? [each.better, each.worse] : [each.worse, each.better];
  return element(
    "div",
    { class: "side-by-side" },
    ...places.map((answer, place) => {
      const side = place === 0 ? "A" : "B";
      const text = item.answers[answer]!;
      const isBetter = answer === each.better;
      const score = each.scores?.[isBetter ? 0 : 1];
      const source = item.sources?.[answer];
      const about = [
        `${text.length.toLocaleString("en")} characters`,
        ...(source === null || source === undefined ? [] : [`by ${source}`]),
        ...(score === undefined ? [] : [score === null ? "no score" : `score ${score.toPrecision(4)}`]),
      ];
      const ranges = (judgement?.quotes ?? []).flatMap(({ side: of, found, in: range }, quote) =>
        of === side && range !== undefined ? [{ range, quote, kind: found }] : []
      );
      const box = marked(text, ranges, "answer");
      box.setAttribute("role", "region");
      box.setAttribute("aria-label", `Answer ${side}`);
      return element(
        "section",
        { class: `trace ${isBetter ? "right" : "wrong"}` },
        element(
          "h3",
          {},
          judgement === null ? "" : `Answer ${side}, `,
          isBetter ? "the better" : "the worse",
        ),
        element("p", { class: "meta" }, about.join(", ")),
        box,
      );
    }),
  );
}

/** One judgement: its trace with quotes marked, beside its rubric and the list of its quotes. */
export function judgementColumns(judgement: ViewJudgement): HTMLElement {
  const { verdict, gold, text, tokens, cut, type, rubric, quotes = [] } = judgement;
  const isRead = verdict === "A" || verdict === "B";
  const kind = !isRead ? "unreadable" : verdict === gold ? "right" : "wrong";
  const trace = marked(
    text,
    quotes.map(({ at, found }, quote) => ({ range: at, quote, kind: found })),
    "trace",
  );
  trace.setAttribute("role", "region");
  trace.setAttribute("aria-label", "Trace");
  const about = [
    type ?? "no task type",
    `${tokens.toLocaleString("en")} tokens`,
    ...(cut ? ["cut short"] : []),
  ];
  return element(
    "div",
    { class: "side-by-side" },
    element(
      "section",
      { class: `trace ${kind}` },
      element("h3", {}, "Trace "),
      element(
        "p",
        { class: "meta" },
        element(
          "span",
          { class: `badge ${kind}` },
          isRead ? `${verdict}, ${kind}` : `no verdict: ${verdict}`,
        ),
        ` ${about.join(", ")}`,
      ),
      text === "" ? element("p", {}, "Nothing was written") : trace,
    ),
    element(
      "section",
      {},
      ...(rubric === undefined ? [] : [rubricTable(rubric)]),
      element("h3", {}, quotes.length === 0 ? "No quotes" : `Quotes (${quotes.length})`),
      ...(quotes.length === 0 ? [] : [quoteList(quotes, text)]),
    ),
  );
}

/** Shows a case: its conversation, its answers and one of its judgements, which tabs choose. */
export function showCase(detail: HTMLElement, { items, cases }: ViewData, index: number): void {
  const each = cases[index]!;
  const item = items[each.item]!;
  const body = element("div", { id: "judgement", role: "tabpanel" });
  const tabs = each.judgements.map((judgement, at) =>
    element(
      "button",
      { type: "button", role: "tab", id: `tab-${at}`, "aria-controls": "judgement" },
      `Better in ${judgement.gold}${judgement.sample > 0 ? `, sample ${judgement.sample + 1}` : ""}: ` +
        (judgement.verdict === "A" || judgement.verdict === "B"
          ? judgement.verdict === judgement.gold ? "right" : "wrong"
          : "no verdict"),
    )
  );
  const choose = (at: number, moves: boolean): void => {
    tabs.forEach((tab, place) => {
      tab.setAttribute("aria-selected", `${place === at}`);
      tab.tabIndex = place === at ? 0 : -1;
    });
    const judgement = each.judgements[at] ?? null;
    if (judgement !== null) body.setAttribute("aria-labelledby", `tab-${at}`);
    body.replaceChildren(
      answerColumns(item, each, judgement),
      ...(judgement === null ? [] : [judgementColumns(judgement)]),
    );
    if (moves) tabs[at]!.focus();
  };
  tabs.forEach((tab, at) => {
    tab.addEventListener("click", () => choose(at, false));
    tab.addEventListener("keydown", (event) => {
      const step = event.key === "ArrowRight" ? 1 : event.key === "ArrowLeft" ? -1 : 0;
      if (step !== 0) choose((at + step + tabs.length) % tabs.length, true);
    });
  });
  const turns = item.turns.map(([role, content]) =>
    element("div", {}, element("h3", {}, role), element("div", { class: "text", tabindex: "0" }, content))
  );
  detail.replaceChildren(
    element("h2", {}, item.key),
    element(
      "p",
      {},
      element(
        "span",
        { class: `badge ${each.outcome === "mixed" ? "unreadable" : each.outcome}` },
        outcomeText(each),
      ),
      ` ${item.subset}`,
    ),
    element("details", { open: "" }, element("summary", {}, "Conversation"), ...turns),
    ...(tabs.length > 0
      ? [element("div", { role: "tablist", "aria-label": "Judgements", class: "tabs" }, ...tabs)]
      : []),
    body,
  );
  choose(0, false);
  detail.scrollTop = 0;
}

/** Fills the page, and answers what is done in it. The selected case is in the address, so that it can be passed on. */
export function browse(data: ViewData, { filters, count, list, detail }: ViewElements): void {
  let listed: readonly number[] = [];
  let selected: number | null = null;
  const rows = listOf(list, data, (index) => {
    show(index);
    rows.show(listed, selected);
  });
  const show = (index: number | null): void => {
    selected = index;
    if (index === null) {
      detail.replaceChildren(element("p", {}, "No case passes these filters"));
      return;
    }
    showCase(detail, data, index);
    history.replaceState(null, "", `#${index}`);
  };
  const apply = (): void => {
    const values = Object.fromEntries(new FormData(filters)) as unknown as ViewFilter;
    listed = filterCases(data, values);
    count.textContent = `${listed.length.toLocaleString("en")} of ${
      data.cases.length.toLocaleString("en")
    } cases`;
    const next = selected !== null && listed.includes(selected) ? selected : listed[0] ?? null;
    if (next === null || next !== selected) show(next);
    rows.show(listed, selected);
  };
  const subsets = new Map<string, number>();
  for (const { item } of data.cases) {
    const { subset } = data.items[item]!;
    subsets.set(subset, (subsets.get(subset) ?? 0) + 1);
  }
  const chooser = filters.elements.namedItem("subset") as HTMLSelectElement;
  for (const [subset, cases] of subsets) {
    chooser.append(element("option", { value: subset }, `${subset} (${cases.toLocaleString("en")})`));
  }
  const outcome = filters.elements.namedItem("outcome") as HTMLSelectElement;
  const asked = /^#\d+$/.test(location.hash) ? Number(location.hash.slice(1)) : null;
  if (asked !== null && asked < data.cases.length) {
    outcome.value = "";
    show(asked);
  } else if (!data.cases.some(({ outcome: kind }) => kind === "wrong" || kind === "mixed")) {
    outcome.value = "";
  }
  let waiting: ReturnType<typeof setTimeout> | undefined;
  filters.addEventListener("input", (event) => {
    clearTimeout(waiting);
    const isSearch = (event.target as HTMLElement).getAttribute("type") === "search";
    waiting = setTimeout(apply, isSearch ? 200 : 0);
  });
  filters.addEventListener("submit", (event) => event.preventDefault());
  filters.addEventListener("reset", () => setTimeout(apply));
  apply();
}

/** Starts the page; where that fails, it says why. */
export async function startView(): Promise<void> {
  const part = <T extends HTMLElement>(id: string): T => document.getElementById(id) as T;
  const state = part("state");
  try {
    const data = await readViewData(part("data").textContent!);
    part("browser").hidden = false;
    browse(data, {
      filters: part<HTMLFormElement>("filters"),
      count: part("count"),
      list: part("list"),
      detail: part("detail"),
    });
    state.remove();
  } catch (error) {
    state.setAttribute("role", "alert");
    state.textContent = `This page's data cannot be read: ${error instanceof Error ? error.message : error}`;
  }
}
