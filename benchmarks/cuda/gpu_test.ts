import { expect } from "expect";
import { chmod, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { sampleOf } from "../testing/samples.ts";
import { describeGpu, MemoryMonitor } from "./gpu.ts";

/** Puts a program in `nvidia-smi`'s place that says the number of MiB in the file `used`. */
async function withSmi(body: (use: (mib: string) => Promise<void>) => Promise<void>): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), "rmr1-smi-"));
  const path = process.env["PATH"];
  try {
    const used = join(folder, "used");
    const program = join(folder, "nvidia-smi");
    await writeFile(
      program,
      `#!/bin/sh
case "$*" in
*name,driver_version*) [ "$1" = --id=0 ] && echo "NVIDIA H200, 580.1, 143771" || echo "No devices were found" ;;
*) while cat "${used}"; do sleep 0.01; done ;;
esac
`,
    );
    await chmod(program, 0o755);
    process.env["PATH"] = `${folder}:${path}`;
    const use = (mib: string): Promise<void> => writeFile(used, `${mib}\n`);
    await use("100");
    await body(use);
  } finally {
    process.env["PATH"] = path;
    await rm(folder, { recursive: true });
  }
}

const noSmi = Deno.build.os === "windows";

Deno.test({
  name: "a GPU is described, and one that is missing is told",
  ignore: noSmi,
  fn: async () => {
    await withSmi(async () => {
      expect(await describeGpu(0)).toEqual({
        name: "NVIDIA H200",
        driver: "580.1",
        memoryBytes: 143771 * 2 ** 20,
      });
      await expect(describeGpu(1)).rejects.toThrow("No devices were found");
    });
  },
});

Deno.test({
  name: "a side's samples have its own peak of the device's memory",
  ignore: noSmi,
  fn: async () => {
    await withSmi(async (use) => {
      await using monitor = await MemoryMonitor.start(0);
      const sideUsing = (mib: string) => ({
        start: () =>
          Promise.resolve({
            ready: { about: {} },
            age: 1,
            async measure() {
              await use(mib);
              return sampleOf(1);
            },
            [Symbol.asyncDispose]: () => Promise.resolve(),
          }),
      });
      await using ours = await monitor.watch("ours", sideUsing("600")).start([]);
      await using peer = await monitor.watch("peer", sideUsing("900")).start([]);
      expect((await ours.measure(1)).peakBytes).toBe(500 * 2 ** 20);
      expect((await peer.measure(1)).peakBytes).toBe(300 * 2 ** 20);
    });
  },
});

Deno.test({
  name: "a driver that gives no reading is told",
  ignore: noSmi,
  fn: async () => {
    await withSmi(async (use) => {
      await use("[N/A]");
      await expect(MemoryMonitor.start(0)).rejects.toThrow('"[N/A]"');
    });
  },
});
