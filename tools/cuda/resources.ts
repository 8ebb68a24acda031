/**
 * What kernels use of a multiprocessor, as ptxas tells it, and the table that it is held to.
 *
 * @module
 */

/** A module that was compiled, as a line of the builder says it. */
export interface CompiledModule {
  readonly module: string;
  readonly architecture: string;
  /** Version of NVRTC. */
  readonly compiler: string;
  readonly bytes: number;
  /** What ptxas printed. */
  readonly log: string;
}

/** What a kernel uses, for one architecture. */
export interface Resources {
  readonly module: string;
  readonly kernel: string;
  readonly architecture: string;
  /** Of a thread. */
  readonly registers: number;
  /** Shared memory that the kernel declares, in bytes. */
  readonly shared: number;
  /** Local memory of a thread that is no spill: arrays without registers, in bytes. */
  readonly stack: number;
  /** Bytes that a thread writes to local memory and reads again for want of registers. */
  readonly spills: number;
}

const ENTRY = /Compiling entry function '(\w+)' for '\w+'/;
const FRAME = /(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads/g;
const USED = /Used (\d+) registers/;
const SHARED = /(\d+) bytes smem/;

/**
 * Reads a module's log.
 *
 * @throws {SyntaxError} The log names no kernel, or a kernel without its frame or its registers.
 */
export function readLog({ module, architecture, log }: CompiledModule): Resources[] {
  const place = `The log of "${module}" for ${architecture}`;
  const kernels = log.split(/^(?=.*Compiling entry function)/m).filter((part) => ENTRY.test(part));
  if (kernels.length === 0) throw new SyntaxError(`${place} names no kernel: "${log}"`);
  return kernels.map((part) => {
    const kernel = ENTRY.exec(part)![1]!;
    // More than one where the kernel calls a function that was not inlined.
    const frames = [...part.matchAll(FRAME)].map((frame) => frame.slice(1).map(Number));
    const used = USED.exec(part);
    if (frames.length === 0 || used === null) {
      throw new SyntaxError(`${place} lacks the registers or the stack frame of "${kernel}": "${part}"`);
    }
    return {
      module,
      kernel,
      architecture,
      registers: Number(used[1]),
      shared: Number(SHARED.exec(part)?.[1] ?? 0),
      stack: Math.max(...frames.map(([stack]) => stack!)),
      spills: frames.reduce((sum, [, stores, loads]) => sum + stores! + loads!, 0),
    };
  });
}

/** Registers and bytes of shared memory, by module, kernel and architecture. */
export type ResourceTable = ReadonlyMap<string, { readonly registers: number; readonly shared: number }>;

function key(
  { module, kernel, architecture }: Pick<Resources, "module" | "kernel" | "architecture">,
): string {
  return `${module}\t${kernel}\t${architecture}`;
}

const TITLES = ["module", "kernel", "architecture", "registers", "shared bytes"].join("\t");

/** The table of what was found, a line a kernel and architecture in a fixed order. */
export function writeTable(found: readonly Resources[]): string {
  const lines = found.map((each) => `${key(each)}\t${each.registers}\t${each.shared}`);
  return [TITLES, ...lines.sort(), ""].join("\n");
}

/**
 * Reads a table.
 *
 * @throws {SyntaxError} A line does not have its five parts.
 */
export function readTable(text: string): ResourceTable {
  const [titles, ...lines] = text.trimEnd().split("\n");
  if (titles !== TITLES) throw new SyntaxError(`Line 1 is "${titles}", expected "${TITLES}"`);
  return new Map(lines.map((line, index) => {
    const parts = /^(\S+)\t(\w+)\t(sm_\w+)\t(\d+)\t(\d+)$/.exec(line);
    if (parts === null) throw new SyntaxError(`Line ${index + 2} is "${line}", expected five parts`);
    const [, module, kernel, architecture, registers, shared] = parts;
    const place = key({ module: module!, kernel: kernel!, architecture: architecture! });
    return [place, { registers: Number(registers), shared: Number(shared) }];
  }));
}

/** What is wrong with a kernel: a spill, a local stack, or more than the table has. */
export function resourceFaults(found: Resources, table: ResourceTable): string[] {
  const place = `"${found.kernel}" of "${found.module}" for ${found.architecture}`;
  const faults: string[] = [];
  if (found.spills > 0) faults.push(`${place} spills ${found.spills} bytes, expected none`);
  if (found.stack > 0) faults.push(`${place} has a stack of ${found.stack} bytes, expected none`);
  const known = table.get(key(found));
  if (known === undefined) return [...faults, `${place} is not in the table`];
  if (found.registers > known.registers) {
    faults.push(`${place} uses ${found.registers} registers, the table has ${known.registers}`);
  }
  if (found.shared > known.shared) {
    faults.push(`${place} declares ${found.shared} bytes of shared memory, the table has ${known.shared}`);
  }
  return faults;
}

/** Lines of the table whose kernels are gone. */
export function goneFaults(found: readonly Resources[], table: ResourceTable): string[] {
  const there = new Set(found.map(key));
  const gone = [...table.keys()].filter((each) => !there.has(each));
  return gone.map((each) => `The table has "${each.replaceAll("\t", " ")}", which is no kernel any more`);
}
