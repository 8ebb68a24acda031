/**
 * The peers' Python environment, outside the repository.
 *
 * @module
 */
import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { homedir } from "node:os";
import { dirname, join } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";

const REQUIREMENTS = fileURLToPath(new URL("requirements.txt", import.meta.url));
const REWARDBENCH_REQUIREMENTS = fileURLToPath(new URL("rewardbench_requirements.txt", import.meta.url));
const VERSIONS_SCRIPT = fileURLToPath(new URL("versions.py", import.meta.url));

/** Folder of what the peers need: `RMR1_PEERS`, else `~/.cache/rm-r1-peers`. */
export function peersFolder(): string {
  const named = process.env["RMR1_PEERS"];
  return named === undefined || named === "" ? join(homedir(), ".cache", "rm-r1-peers") : named;
}

/** The environment's interpreter; `RMR1_PEERS_PYTHON` names another, of a machine that has its own packages. */
export function peersPython(folder: string = peersFolder()): string {
  const named = process.env["RMR1_PEERS_PYTHON"];
  if (named !== undefined && named !== "") return named;
  return pythonIn(join(folder, "venv"));
}

/** The interpreter of the environment of `rewardbench`, which wants older versions than the other peers have. */
export function rewardBenchPython(folder: string = peersFolder()): string {
  return pythonIn(join(folder, "rewardbench"));
}

function pythonIn(environment: string): string {
  return process.platform === "win32"
    ? join(environment, "Scripts", "python.exe")
    : join(environment, "bin", "python");
}

/** The last release of TRL that has a PPO trainer. */
const TRL_WITH_PPO = "1.12.0";

/** Folder of {@link TRL_WITH_PPO}, beside the environment's own TRL. */
export function trlWithPpo(folder: string = peersFolder()): string {
  return join(folder, `trl-${TRL_WITH_PPO}`);
}

/** Pinned versions by package. */
export type Versions = Readonly<Record<string, string>>;

/**
 * The pins of a requirements file and of those that it includes.
 *
 * @throws {SyntaxError} A line is neither a pin nor an inclusion.
 */
export async function readPins(path: string = REQUIREMENTS): Promise<Versions> {
  let pins: Versions = {};
  for (const [index, line] of (await readFile(path, "utf8")).split("\n").entries()) {
    const entry = line.replace(/#.*/, "").trim();
    if (entry === "") continue;
    const included = /^-r\s+(\S+)$/.exec(entry)?.[1];
    const [, name, version] = /^([\w.-]+)==([\w.+-]+)$/.exec(entry) ?? [];
    if (included !== undefined) pins = { ...pins, ...await readPins(join(dirname(path), included)) };
    else if (name !== undefined) pins = { ...pins, [name]: version! };
    else throw new SyntaxError(`${path}:${index + 1}: "${entry}", expected NAME==VERSION or -r FILE`);
  }
  return pins;
}

/** What an environment lacks or has in another version, one line a package. */
export function versionFaults(pins: Versions, found: Readonly<Record<string, string | null>>): string[] {
  return Object.entries(pins).flatMap(([name, version]) => {
    // A local version such as +cpu names how a package was built.
    const installed = found[name]?.split("+")[0] ?? null;
    return installed === version ? [] : [`${name} is "${installed ?? "missing"}", expected "${version}"`];
  });
}

/** What is wrong with the environment, null where it has all pins. */
export async function findPeersFault(folder: string = peersFolder()): Promise<string | null> {
  return await findFault(peersPython(folder), await readPins());
}

async function findFault(python: string, pins: Versions): Promise<string | null> {
  const { code, stdout } = await collect(python, [VERSIONS_SCRIPT, ...Object.keys(pins)]);
  if (code !== 0) return "the peers' environment is missing";
  const faults = versionFaults(pins, JSON.parse(stdout));
  return faults.length === 0 ? null : `the peers' environment differs: ${faults.join("; ")}`;
}

/**
 * Makes the environment where it is not as pinned: about 8 GB, and some minutes of compiling.
 *
 * @throws {Error} A program failed; it has said why on standard error.
 */
export async function makePeers(folder: string = peersFolder()): Promise<void> {
  const python = peersPython(folder);
  const fault = await findPeersFault(folder);
  if (fault === null) return await makeTrlWithPpo(python, trlWithPpo(folder));
  process.stderr.write(`Making the peers' environment at "${folder}": ${fault}\n`);
  if ((await collect(python, ["--version"])).code !== 0) {
    await run("python3", ["-m", "venv", join(folder, "venv")]);
  }
  await run(python, ["-m", "pip", "install", "--quiet", "--requirement", REQUIREMENTS]);
  const remaining = await findPeersFault(folder);
  if (remaining !== null) throw new Error(`Cannot make the peers' environment: ${remaining}`);
  await makeTrlWithPpo(python, trlWithPpo(folder));
}

/**
 * Makes the environment of `rewardbench` where it is not as pinned: about 6 GB.
 *
 * @throws {Error} A program failed; it has said why on standard error.
 */
export async function makeRewardBench(folder: string = peersFolder()): Promise<void> {
  const python = rewardBenchPython(folder);
  const pins = await readPins(REWARDBENCH_REQUIREMENTS);
  const fault = await findFault(python, pins);
  if (fault === null) return;
  process.stderr.write(`Making the environment of rewardbench in "${folder}": ${fault}\n`);
  if ((await collect(python, ["--version"])).code !== 0) {
    await run("python3", ["-m", "venv", join(folder, "rewardbench")]);
  }
  await run(python, ["-m", "pip", "install", "--quiet", "--requirement", REWARDBENCH_REQUIREMENTS]);
  const remaining = await findFault(python, pins);
  if (remaining !== null) throw new Error(`Cannot make the environment of rewardbench: ${remaining}`);
}

async function makeTrlWithPpo(python: string, target: string): Promise<void> {
  if (existsSync(join(target, "trl"))) return;
  const wanted = ["--no-deps", "--target", target, `trl==${TRL_WITH_PPO}`];
  await run(python, ["-m", "pip", "install", "--quiet", ...wanted]);
}

function collect(
  program: string,
  args: readonly string[],
): Promise<{ readonly code: number | null; readonly stdout: string }> {
  return new Promise((resolve) => {
    const child = spawn(program, args, { stdio: ["ignore", "pipe", "ignore"] });
    let stdout = "";
    child.stdout.setEncoding("utf8").on("data", (text: string) => stdout += text);
    child.on("error", () => resolve({ code: null, stdout: "" }));
    child.on("close", (code) => resolve({ code, stdout }));
  });
}

function run(program: string, args: readonly string[]): Promise<void> {
  return new Promise((resolve, reject) => {
    // What pip prints is progress: standard output belongs to the command's own result.
    const child = spawn(program, args, { stdio: ["ignore", 2, "inherit"] });
    child.on("error", (error) => reject(new Error(`Cannot run "${program}": ${error.message}`)));
    child.on("close", (code) => {
      if (code === 0) resolve();
      else reject(new Error(`"${program} ${args.join(" ")}" ended with status ${code}`));
    });
  });
}
