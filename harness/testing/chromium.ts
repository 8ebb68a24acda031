/**
 * A real browser for tests.
 *
 * @module
 */
import { access } from "node:fs/promises";
import process from "node:process";
import puppeteer, { type Browser } from "puppeteer-core";

const PLACES = [
  "/usr/bin/chromium",
  "/usr/bin/chromium-browser",
  "/usr/bin/google-chrome",
  "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
];

/** Headers that make a page cross-origin isolated, which lets it share memory between threads. */
export const ISOLATION: Readonly<Record<string, string>> = {
  "cross-origin-opener-policy": "same-origin",
  "cross-origin-embedder-policy": "require-corp",
};

/** Path of Chromium or Chrome: `RMR1_CHROMIUM`, or where systems put it; null where there is none. */
export async function findChromium(): Promise<string | null> {
  const named = process.env["RMR1_CHROMIUM"];
  for (const place of named === undefined ? PLACES : [named]) {
    if (await access(place).then(() => true, () => false)) return place;
  }
  if (named !== undefined) {
    throw new Error(`Environment variable "RMR1_CHROMIUM" is "${named}", where no file is`);
  }
  return null;
}

/** Starts it without a window. The caller closes it. */
export async function openChromium(executablePath: string): Promise<Browser> {
  return await puppeteer.launch({ executablePath, headless: true, args: ["--no-sandbox"] });
}
