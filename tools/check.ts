/**
 * The gate: formatting, lints, types, documentation and structure. Every step runs, so that one call shows all
 * that is wrong; the exit code is 1 if any step fails.
 *
 * @module
 */
import process from "node:process";
import { cargo, type Command, deno, runCommand } from "./command.ts";
import { checkDocs } from "./docs.ts";
import { checkStructure } from "./structure.ts";

const COMMANDS: readonly Command[] = [
  deno("deno fmt", "fmt", "--check"),
  deno("deno lint", "lint", "--quiet"),
  deno("deno check", "check", "--quiet", "."),
  deno("deno doc", "doc", "--lint", "--quiet", "ts/mod.ts"),
  cargo("cargo fmt", ["fmt", "--check"]),
  cargo("cargo clippy", ["clippy", "--locked", "--quiet", "--all-targets", "--", "-D", "warnings"]),
  cargo("cargo doc", ["doc", "--locked", "--quiet", "--no-deps", "--document-private-items"], {
    RUSTDOCFLAGS: "-D warnings",
  }),
];

const PACKAGES: readonly string[] = ["ts", "harness"];

const failed: string[] = [];

function report(name: string, ok: boolean, faults: readonly string[] = []): void {
  for (const fault of faults) process.stdout.write(`${fault}\n`);
  process.stdout.write(`${ok ? "ok    " : "FAILED"} ${name}\n`);
  if (!ok) failed.push(name);
}

for (const command of COMMANDS) report(command.name, (await runCommand(command)).ok);

const undocumented = await checkDocs(PACKAGES);
report("doc comments", undocumented.length === 0, undocumented);

const files = await runCommand({
  name: "files",
  program: "git",
  args: ["ls-files", "-z", "--cached", "--others", "--exclude-standard", "--deduplicate"],
}, { stdout: "keep" });
const misplaced = await checkStructure(files.stdout.split("\0").filter((path) => path !== ""));
report("structure", files.ok && misplaced.length === 0, misplaced);

if (failed.length > 0) {
  process.stdout.write(`Check failed: ${failed.join(", ")}\n`);
  process.exitCode = 1;
}
