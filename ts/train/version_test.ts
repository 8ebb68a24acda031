import { expect } from "expect";
import { readFile } from "node:fs/promises";
import { codeVersion, VERSION } from "./version.ts";

Deno.test("the version is the package's", async () => {
  const manifest = JSON.parse(await readFile(new URL("../deno.json", import.meta.url), "utf8"));
  expect(VERSION).toBe(manifest.version);
});

Deno.test("the code's version names the commit where there is one", async () => {
  expect(await codeVersion()).toMatch(/^\d+\.\d+\.\d+(\+[0-9a-f]{12})?$/);
});
