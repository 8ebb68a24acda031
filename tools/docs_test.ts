import { expect } from "expect";
import { docFaults, type DocOutput } from "./docs.ts";

const location = { filename: "file:///r/ts/a.ts", line: 7 };
const documented = { doc: "What it is." };

function moduleOf(
  ...declarations: DocOutput["nodes"][string]["symbols"][number]["declarations"][number][]
): DocOutput {
  return {
    nodes: {
      "file:///r/ts/mod.ts": {
        module_doc: documented,
        symbols: declarations.map((declaration, index) => ({
          name: `s${index}`,
          declarations: [declaration],
        })),
      },
    },
  };
}

Deno.test("documented symbols have no fault", () => {
  const output = moduleOf({ kind: "function", declarationKind: "export", location, jsDoc: documented });
  expect(docFaults(output, "/r")).toEqual([]);
});

Deno.test("an exported symbol without a doc comment is named with its place", () => {
  const output = moduleOf({ kind: "function", declarationKind: "export", location });
  expect(docFaults(output, "/r")).toEqual([`ts/a.ts:7: "s0" has no doc comment`]);
});

Deno.test("a module without a doc comment is a fault, a private symbol is not", () => {
  const output = moduleOf({ kind: "function", declarationKind: "private", location });
  expect(docFaults(output, "/r")).toEqual([]);
  const bare: DocOutput = { nodes: { "file:///r/ts/mod.ts": { symbols: [] } } };
  expect(docFaults(bare, "/r")).toEqual(["ts/mod.ts: the module has no doc comment"]);
});

Deno.test("a method needs a doc comment unless an interface declares it", () => {
  const method = { name: "go", location: { line: 9 } };
  const described = { kind: "class", declarationKind: "export", location, jsDoc: documented };
  const output = moduleOf({ ...described, def: { methods: [method] } });
  expect(docFaults(output, "/r")).toEqual([`ts/a.ts:7: method "s0.go" has no doc comment`]);
  const both = moduleOf(
    { ...described, def: { methods: [method] } },
    { ...described, kind: "interface", def: { methods: [{ ...method, jsDoc: documented }] } },
  );
  expect(docFaults(both, "/r")).toEqual([]);
});
