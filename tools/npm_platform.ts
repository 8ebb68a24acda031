/**
 * The native core as an npm package of the platform that it was built on.
 *
 * @module
 */
import { existsSync } from "node:fs";
import { cp, mkdir, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import process from "node:process";
import { runCommand } from "./command.ts";
import { PackageError, run } from "./npm_packages.ts";

/** A platform that the package is made for. */
interface Platform {
  /** Last part of its package's name. */
  readonly name: string;
  readonly os: string;
  readonly cpu: string;
  readonly libc?: "glibc" | "musl";
  /** The library's file. */
  readonly file: string;
}

/** All platforms; each one's package is built on it. */
export const PLATFORMS: readonly Platform[] = [
  { name: "linux-x64-gnu", os: "linux", cpu: "x64", libc: "glibc", file: "librmr1_core.so" },
  { name: "linux-arm64-gnu", os: "linux", cpu: "arm64", libc: "glibc", file: "librmr1_core.so" },
  { name: "darwin-arm64", os: "darwin", cpu: "arm64", file: "librmr1_core.dylib" },
  { name: "darwin-x64", os: "darwin", cpu: "x64", file: "librmr1_core.dylib" },
  { name: "win32-x64", os: "win32", cpu: "x64", file: "rmr1_core.dll" },
];

/** The packages of all platforms at a version: npm installs the one that fits. */
export function platformPackages(version: string): Record<string, string> {
  return Object.fromEntries(PLATFORMS.map(({ name }) => [`@rm-r1/${name}`, version]));
}

/**
 * Packs the library that `deno task setup` built, without its debug information. Gives the tarball's path, or null where
 * this platform has no package or nothing has been built.
 */
export async function packPlatform(folder: string, version: string, license: string): Promise<string | null> {
  const platform = PLATFORMS.find(({ os, cpu }) => os === process.platform && cpu === process.arch);
  if (platform === undefined) return null;
  const { name, os, cpu, libc, file } = platform;
  const library = join("target", "release", file);
  if (!existsSync(library)) return null;
  const target = join(folder, name);
  await rm(target, { recursive: true, force: true });
  await mkdir(target, { recursive: true });
  await cp(library, join(target, file));
  if (os !== "win32") {
    const args = os === "darwin" ? ["-x", join(target, file)] : ["--strip-debug", join(target, file)];
    const { ok } = await runCommand({ name: "strip", program: "strip", args });
    if (!ok) throw new PackageError(`Cannot strip "${join(target, file)}"`);
  }
  const manifest = {
    name: `@rm-r1/${name}`,
    version,
    description: `The native core of rm-r1 for ${name}`,
    license,
    os: [os],
    cpu: [cpu],
    ...(libc !== undefined && { libc: [libc] }),
    files: [file],
  };
  await writeFile(join(target, "package.json"), `${JSON.stringify(manifest, null, 2)}\n`);
  await cp("LICENSE", join(target, "LICENSE"));
  await run("npm", "pack", "--silent", "--pack-destination", folder, `./${target}`);
  return join(folder, `rm-r1-${name}-${version}.tgz`);
}
