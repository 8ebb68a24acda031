import { expect } from "expect";
import fc from "fast-check";
import { isChecked, structureFaults } from "./structure.ts";

Deno.test("a source file has at most 500 lines", () => {
  fc.assert(fc.property(fc.integer({ min: 1, max: 1000 }), fc.boolean(), (lines, closed) => {
    const text = Array(lines).fill("x").join("\n") + (closed ? "\n" : "");
    expect(structureFaults({ path: "ts/a.ts", text }).length).toBe(lines > 500 ? 1 : 0);
    expect(structureFaults({ path: "docs/a.md", text })).toEqual([]);
  }));
});

Deno.test("unfinished work is named with its line", () => {
  const mark = "TO" + "DO";
  expect(structureFaults({ path: "ts/a.ts", text: `a\n// ${mark}: b\n` })).toEqual([
    `ts/a.ts:2: unfinished work ("${mark}")`,
  ]);
  expect(structureFaults({ path: "ts/a.ts", text: `const ${mark}S = 1;\n` })).toEqual([]);
});

Deno.test("paths of one machine are found, relative and home paths are not", () => {
  const path = ["", "home", "someone", "data"].join("/");
  expect(structureFaults({ path: "README.md", text: `see ${path}\n` })).toHaveLength(1);
  expect(structureFaults({ path: "README.md", text: "see ~/.cache/work/x, a/root/b and ./work/y\n" }))
    .toEqual([]);
});

Deno.test("a folder of leftovers is refused", () => {
  expect(structureFaults({ path: "ts/utils/a.ts", text: "" })).toHaveLength(1);
  expect(structureFaults({ path: "ts/util.ts", text: "" })).toHaveLength(1);
  expect(structureFaults({ path: "ts/utility_model.ts", text: "" })).toEqual([]);
});

Deno.test("weights and fixtures are not read as text", () => {
  expect(isChecked("models/embedded-base/config.json")).toBe(false);
  expect(isChecked("tests/fixtures/a.json")).toBe(false);
  expect(isChecked("core-rs/src/lib.rs")).toBe(true);
});
