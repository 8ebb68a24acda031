/**
 * One case with its judgements.
 *
 * @module
 */
/// <reference lib="dom" />
import type { ViewCase, ViewData, ViewItem, ViewJudgement, ViewQuote } from "../data.ts";
import { element, marked } from "./element.ts";
import { outcomeText } from "./filter.ts";

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
      const quality = isBetter ? "better" : "worse";
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
        element("h3", {}, judgement === null ? `The ${quality}` : `Answer ${side}, the ${quality}`),
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
