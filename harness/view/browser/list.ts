/**
 * The list of cases.
 *
 * @module
 */
/// <reference lib="dom" />
import type { ViewData } from "../data.ts";
import { element } from "./element.ts";
import { outcomeText } from "./filter.ts";

/** A listing: shows these cases, and which of them is selected. */
export interface ViewList {
  /** Lists these indices of cases; `selected` is one of them, or null where there is none. */
  show(listed: readonly number[], selected: number | null): void;
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
      element(
        "span",
        { class: "what" },
        element("b", {}, outcomeText(each)),
        ` ${key.startsWith(subset) ? key : `${subset} · ${key}`}`,
      ),
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
