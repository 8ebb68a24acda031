/**
 * Builds the core for WebAssembly to `target/wasm`. Its memory can be shared between threads, which the standard library
 * of `wasm32-unknown-unknown` as it is delivered was not built for, so that one is built here from its sources.
 * `--if-possible` passes where they are not there, and says so.
 *
 * @module
 */
import { existsSync } from "node:fs";
import { mkdir, readFile } from "node:fs/promises";
import { homedir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { cargo, type Command, runCommand } from "./command.ts";

const TARGET = "wasm32-unknown-unknown";
const OUTPUT = join("target", "wasm");
/** What each thread needs of an instance: wasm-bindgen makes its start from these. */
const PER_THREAD = ["__wasm_init_tls", "__tls_size", "__tls_align", "__tls_base"];
/** The most that 32 bits reach. */
const MOST_BYTES = 2 ** 32;
const FLAGS = [
  "-Ctarget-feature=+simd128,+atomics,+bulk-memory,+mutable-globals",
  '--cfg=getrandom_backend="wasm_js"',
  ...["--shared-memory", "--import-memory", `--max-memory=${MOST_BYTES}`].map((arg) => `-Clink-arg=${arg}`),
  ...PER_THREAD.map((name) => `-Clink-arg=--export=${name}`),
].join(" ");
const BUILD = [
  ...["build", "--release", "--locked", "--quiet", "--target", TARGET, "--package", "rmr1-core"],
  "-Zbuild-std=std,panic_abort",
];
/** A distribution's Rust, and the linker that it comes without. */
const SYSTEM_RUSTC = "/usr/bin/rustc";
const LINKERS = ["wasm-ld", "wasm-ld-19", "wasm-ld-18", "wasm-ld-17", "wasm-ld-16"];

/** It cannot be built, or a step failed. */
class BuildError extends Error {}

/** This machine lacks something; the message says what to do about it. */
class MissingError extends BuildError {}

async function output(program: string, ...args: string[]): Promise<string | null> {
  const { ok, stdout } = await runCommand({ name: program, program, args }, { stdout: "keep" });
  return ok ? stdout.trim() : null;
}

/** Whether a Rust brings the sources of its standard library. */
async function bringsSources(rustc: string): Promise<boolean> {
  const sysroot = await output(rustc, "--print", "sysroot");
  return sysroot !== null && existsSync(join(sysroot, "lib/rustlib/src/rust/library/std"));
}

/** The build by the Rust that can make a standard library. */
async function build(): Promise<Command> {
  const env = { RUSTFLAGS: FLAGS, RUSTC_BOOTSTRAP: "1" };
  if (await bringsSources("rustc")) return cargo("cargo", BUILD, env);
  const folders = (process.env["PATH"] ?? "").split(":");
  const linker = LINKERS.find((name) => folders.some((folder) => existsSync(join(folder, name))));
  if (!existsSync(SYSTEM_RUSTC) || !await bringsSources(SYSTEM_RUSTC) || linker === undefined) {
    throw new MissingError(
      "There are no sources of Rust's standard library: install them with " +
        '"rustup component add rust-src", or on Debian the packages "rustc-web", "rust-web-src" and "lld-19"',
    );
  }
  return cargo("cargo", BUILD, {
    ...env,
    RUSTC: SYSTEM_RUSTC,
    CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER: linker,
  });
}

/** The program that has the version of the crate, from the search path or installed once for all checkouts. */
async function bindgen(): Promise<string> {
  const lock = await readFile("Cargo.lock", "utf8");
  const version = /name = "wasm-bindgen"\nversion = "([^"]+)"/.exec(lock)?.[1];
  if (version === undefined) throw new BuildError("Cargo.lock names no wasm-bindgen");
  const root = join(homedir(), ".cache", "rm-r1-tools", `wasm-bindgen-${version}`);
  const installed = join(root, "bin", "wasm-bindgen");
  if (existsSync(installed)) return installed;
  const onPath = (process.env["PATH"] ?? "").split(":").some((folder) =>
    existsSync(join(folder, "wasm-bindgen"))
  );
  if (onPath && await output("wasm-bindgen", "--version") === `wasm-bindgen ${version}`) {
    return "wasm-bindgen";
  }
  process.stderr.write(`Installing wasm-bindgen ${version} to ${root}; this takes some minutes\n`);
  await run(cargo("cargo", ["install", "--quiet", "wasm-bindgen-cli", "--version", version, "--root", root]));
  return installed;
}

async function run(command: Command): Promise<void> {
  const { ok } = await runCommand(command);
  if (!ok) throw new BuildError(`"${[command.program, ...command.args].join(" ")}" failed`);
}

try {
  await run(await build());
  await mkdir(OUTPUT, { recursive: true });
  const file = join("target", TARGET, "release", "rmr1_core.wasm");
  const strip = ["--remove-name-section", "--remove-producers-section"];
  const args = [file, "--target", "web", "--out-dir", OUTPUT, ...strip];
  await run({ name: "wasm-bindgen", program: await bindgen(), args });
} catch (error) {
  if (!(error instanceof BuildError)) throw error;
  const skips = error instanceof MissingError && process.argv.includes("--if-possible");
  process.stderr.write(`${skips ? "SKIPPED: " : ""}${error.message}\n`);
  if (!skips) process.exitCode = 1;
}
