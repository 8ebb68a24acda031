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
  /** As rustc names it. */
  readonly target: string;
  readonly os: string;
  readonly cpu: string;
  readonly libc?: "glibc" | "musl";
  /** The library's file. */
  readonly file: string;
}

/** All platforms. */
export const PLATFORMS: readonly Platform[] = [
  {
    name: "linux-x64-gnu",
    target: "x86_64-unknown-linux-gnu",
    os: "linux",
    cpu: "x64",
    libc: "glibc",
    file: "librmr1_core.so",
  },
  {
    name: "linux-arm64-gnu",
    target: "aarch64-unknown-linux-gnu",
    os: "linux",
    cpu: "arm64",
    libc: "glibc",
    file: "librmr1_core.so",
  },
  {
    name: "darwin-arm64",
    target: "aarch64-apple-darwin",
    os: "darwin",
    cpu: "arm64",
    file: "librmr1_core.dylib",
  },
  { name: "darwin-x64", target: "x86_64-apple-darwin", os: "darwin", cpu: "x64", file: "librmr1_core.dylib" },
  { name: "win32-x64", target: "x86_64-pc-windows-msvc", os: "win32", cpu: "x64", file: "rmr1_core.dll" },
];

/** The packages of all platforms at a version: npm installs the one that fits. */
export function platformPackages(version: string): Record<string, string> {
  return Object.fromEntries(PLATFORMS.map(({ name }) => [`@rm-r1/${name}`, version]));
}

/**
 * Packs the library that `deno task setup` built, without its debug information. Gives the tarball's path, or null where
 * this platform has no package or nothing has been built.
 */
export async function packPlatform(about: About): Promise<string | null> {
  const platform = PLATFORMS.find(({ os, cpu }) => os === process.platform && cpu === process.arch);
  if (platform === undefined) return null;
  const { os, file } = platform;
  const library = join("target", "release", file);
  if (!existsSync(library)) return null;
  const packed = await fillPackage(platform, library, about);
  if (os !== "win32") {
    const args = os === "darwin" ? ["-x", packed] : ["--strip-debug", packed];
    const { ok } = await runCommand({ name: "strip", program: "strip", args });
    if (!ok) throw new PackageError(`Cannot strip "${packed}"`);
  }
  return await pack(platform, about);
}

/**
 * Builds the library for another platform and packs it. The target's standard library and linker must be there.
 *
 * @param target as rustc names it
 */
export async function packTarget(target: string, about: About): Promise<string> {
  const platform = PLATFORMS.find((platform) => platform.target === target);
  if (platform === undefined) {
    const targets = PLATFORMS.map(({ target }) => target).join(", ");
    throw new PackageError(`There is no package for target "${target}", expected one of ${targets}`);
  }
  const args = ["build", "--release", "--locked", "--package", "rmr1-core", "--target", target];
  await run("cargo", ...args, "--config", 'profile.release.strip="debuginfo"');
  await fillPackage(platform, join("target", target, "release", platform.file), about);
  return await pack(platform, about);
}

/** Where packages are made, and what all of them say. */
interface About {
  readonly folder: string;
  readonly version: string;
  readonly license: string;
}

/** Puts a platform's package together; gives the path of the library in it. */
async function fillPackage(
  { name, os, cpu, libc, file }: Platform,
  library: string,
  { folder, version, license }: About,
): Promise<string> {
  const target = join(folder, name);
  await rm(target, { recursive: true, force: true });
  await mkdir(target, { recursive: true });
  await cp(library, join(target, file));
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
  return join(target, file);
}

async function pack({ name }: Platform, { folder, version }: About): Promise<string> {
  await run("npm", "pack", "--silent", "--pack-destination", folder, `./${join(folder, name)}`);
  return join(folder, `rm-r1-${name}-${version}.tgz`);
}
