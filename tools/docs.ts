/**
 * Requires documentation of all that the packages export.
 *
 * @module
 */
import { readFile } from "node:fs/promises";
import { join, relative } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { deno, runCommand } from "./command.ts";

/** The parts of `deno doc --json` that the check reads. */
export interface DocOutput {
  readonly nodes: Readonly<Record<string, DocModule>>;
}

interface DocModule {
  readonly module_doc?: Documented["jsDoc"];
  readonly symbols: readonly { readonly name: string; readonly declarations: readonly Declaration[] }[];
}

interface Documented {
  readonly jsDoc?: { readonly doc?: string };
}

interface Declaration extends Documented {
  readonly kind: string;
  readonly declarationKind: string;
  readonly location: { readonly filename: string; readonly line: number };
  readonly def?: { readonly methods?: readonly Method[] };
}

interface Method extends Documented {
  readonly name: string;
  readonly accessibility?: string;
  readonly isOverride?: boolean;
  readonly location: { readonly line: number };
}

/**
 * What lacks a doc comment, one line a fault: modules, exported symbols, and the methods of exported classes save
 * those that an exported interface declares, for their contract stands there.
 */
export function docFaults(output: DocOutput, root: string): string[] {
  const faults: string[] = [];
  const known = interfaceMethods(output);
  for (const [url, module] of Object.entries(output.nodes)) {
    const file = relative(root, fileURLToPath(url));
    if (!module.module_doc?.doc) faults.push(`${file}: the module has no doc comment`);
    for (const symbol of module.symbols) {
      // A reference is to a symbol that another of these modules has, and is documented there.
      const exported = symbol.declarations.filter((each) =>
        each.declarationKind === "export" && each.kind !== "reference"
      );
      const [first] = exported;
      if (first === undefined) continue;
      const place = `${relative(root, fileURLToPath(first.location.filename))}:${first.location.line}`;
      if (!exported.some((each) => each.jsDoc?.doc)) {
        faults.push(`${place}: "${symbol.name}" has no doc comment`);
      }
      for (const method of exported.flatMap((each) => each.def?.methods ?? [])) {
        if (method.jsDoc?.doc || method.isOverride || method.accessibility === "private") continue;
        if (method.name.startsWith("[") || known.has(method.name)) continue;
        faults.push(`${place}: method "${symbol.name}.${method.name}" has no doc comment`);
      }
    }
  }
  return faults;
}

function interfaceMethods(output: DocOutput): Set<string> {
  const declarations = Object.values(output.nodes).flatMap((module) =>
    module.symbols.flatMap((symbol) => symbol.declarations)
  );
  return new Set(
    declarations.filter((each) => each.kind === "interface").flatMap((each) =>
      (each.def?.methods ?? []).map((method) => method.name)
    ),
  );
}

/** Faults of every module that a package in the given folders exports. */
export async function checkDocs(packages: readonly string[]): Promise<string[]> {
  const modules: string[] = [];
  for (const folder of packages) {
    const { exports } = JSON.parse(await readFile(join(folder, "deno.json"), "utf8"));
    const paths: string[] = typeof exports === "string" ? [exports] : Object.values(exports);
    modules.push(...paths.map((path) => join(folder, path)));
  }
  const { ok, stdout } = await runCommand(deno("docs", "doc", "--json", ...modules), { stdout: "keep" });
  return ok ? docFaults(JSON.parse(stdout), process.cwd()) : ["Cannot read the documentation of the modules"];
}
