/**
 * Browses a run of the harness that its user chooses: the page that `bench view` wrote of it.
 *
 * @module
 */
/// <reference lib="dom" />
import { browse, readViewData } from "../harness/view/browser/browse.ts";
import { element } from "../harness/view/browser/element.ts";

/**
 * Shows a run in place of the one before.
 *
 * @throws {Error} The file is no page of a run, or is damaged.
 */
export async function openRun(file: File, place: HTMLElement, template: HTMLTemplateElement): Promise<void> {
  const page = new DOMParser().parseFromString(await file.text(), "text/html");
  const data = page.getElementById("data")?.textContent;
  if (!data) {
    throw new Error(`"${file.name}" holds no run, expected the page that "deno task bench view RUN" writes`);
  }
  const read = await readViewData(data).catch((error: unknown) => {
    throw new Error(`"${file.name}" is damaged: ${error instanceof Error ? error.message : String(error)}`);
  });
  const browser = element("div", { id: "browser" });
  browser.append(template.content.cloneNode(true));
  const words = (selector: string): string => page.querySelector(selector)?.textContent ?? "";
  place.replaceChildren(
    element("h3", { id: "run-title", tabindex: "-1" }, words("header h1")),
    element("p", {}, words("header p")),
    browser,
  );
  const found = <T extends HTMLElement>(id: string): T => document.getElementById(id) as T;
  browse(read, {
    filters: found<HTMLFormElement>("filters"),
    count: found("count"),
    list: found("list"),
    detail: found("detail"),
  });
  found("run-title").focus();
}
