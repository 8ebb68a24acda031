/**
 * Starts the page, and answers what is done in it.
 *
 * @module
 */
/// <reference lib="dom" />
import type { ViewData } from "../data.ts";
import { showCase } from "./case.ts";
import { element } from "./element.ts";
import { filterCases, type ViewFilter } from "./filter.ts";
import { listOf } from "./list.ts";

/** The page's parts that are filled in. */
export interface ViewElements {
  readonly filters: HTMLFormElement;
  readonly count: HTMLElement;
  readonly list: HTMLElement;
  readonly detail: HTMLElement;
}

/** Reads the data that the page holds: JSON, compressed by gzip, as base64. */
export async function readViewData(base64: string): Promise<ViewData> {
  const bytes = Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return await new Response(stream).json();
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
