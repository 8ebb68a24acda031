import { expect } from "expect";
import fc from "fast-check";
import {
  type CompiledModule,
  goneFaults,
  readLog,
  readTable,
  resourceFaults,
  type Resources,
  writeTable,
} from "./resources.ts";

const compiled: Omit<CompiledModule, "log"> = {
  module: "attention.bf16.64",
  architecture: "sm_90a",
  compiler: "13.0",
  bytes: 1000,
};

interface Numbers {
  readonly registers: number;
  readonly shared: number;
  readonly stack: number;
  readonly stores: number;
  readonly loads: number;
}

const numbers: fc.Arbitrary<Numbers> = fc.record({
  registers: fc.integer({ min: 1, max: 255 }),
  shared: fc.nat(50_000),
  stack: fc.nat(500),
  stores: fc.nat(500),
  loads: fc.nat(500),
});

function logOf(kernels: readonly Numbers[]): string {
  const frame = (name: string, { stack, stores, loads }: Numbers) =>
    `ptxas info    : Function properties for ${name}\n` +
    `ptxas         .     ${stack} bytes stack frame, ${stores} bytes spill stores, ${loads} bytes spill loads\n`;
  const parts = kernels.map((each, index) =>
    `ptxas info    : Compiling entry function 'k${index}' for 'sm_90a'\n` + frame(`k${index}`, each) +
    `ptxas info    : Used ${each.registers} registers, used 1 barriers` +
    `${each.shared > 0 ? `, ${each.shared} bytes smem` : ""}, 392 bytes cmem[0]\n` +
    "ptxas info    : Compile time = 78.962 ms"
  );
  return ["ptxas info    : 4 bytes gmem", ...parts].join("\n");
}

function resources(parts: Partial<Resources> = {}): Resources {
  const { module, architecture } = compiled;
  return { module, architecture, kernel: "k", registers: 40, shared: 64, stack: 0, spills: 0, ...parts };
}

Deno.test("every kernel of a log is read with its numbers", () => {
  fc.assert(fc.property(fc.array(numbers, { minLength: 1, maxLength: 4 }), (kernels) => {
    const expected = kernels.map(({ registers, shared, stack, stores, loads }, index) =>
      resources({ kernel: `k${index}`, registers, shared, stack, spills: stores + loads })
    );
    expect(readLog({ ...compiled, log: logOf(kernels) })).toEqual(expected);
  }));
});

Deno.test("the frame of a function that was not inlined counts", () => {
  const clean: Numbers = { registers: 9, shared: 0, stack: 0, stores: 0, loads: 0 };
  const called = "\nptxas info    : Function properties for slow_path\n" +
    "ptxas         .     40 bytes stack frame, 4 bytes spill stores, 8 bytes spill loads\n";
  const [found] = readLog({ ...compiled, log: logOf([clean]) + called });
  expect(found).toMatchObject({ stack: 40, spills: 12 });
});

Deno.test("a log without kernels or without numbers is an error", () => {
  expect(() => readLog({ ...compiled, log: "" })).toThrow('"attention.bf16.64" for sm_90a names no kernel');
  const log = "ptxas info    : Compiling entry function 'k' for 'sm_90a'\n";
  expect(() => readLog({ ...compiled, log })).toThrow('registers or the stack frame of "k"');
});

Deno.test("what was written as a table has no fault by it", () => {
  fc.assert(fc.property(fc.uniqueArray(fc.nat(99), { minLength: 1 }), (names) => {
    const found = names.map((name) => resources({ kernel: `k${name}`, registers: name + 1 }));
    const table = readTable(writeTable(found));
    expect(found.flatMap((each) => resourceFaults(each, table))).toEqual([]);
    expect(goneFaults(found, table)).toEqual([]);
    expect(goneFaults(found.slice(1), table)).toHaveLength(1);
  }));
});

Deno.test("more registers or shared memory than the table has are told with both numbers, fewer pass", () => {
  const table = readTable(writeTable([resources()]));
  const place = '"k" of "attention.bf16.64" for sm_90a';
  expect(resourceFaults(resources({ registers: 41 }), table)).toEqual([
    `${place} uses 41 registers, the table has 40`,
  ]);
  expect(resourceFaults(resources({ shared: 65 }), table)).toEqual([
    `${place} declares 65 bytes of shared memory, the table has 64`,
  ]);
  expect(resourceFaults(resources({ registers: 39, shared: 0 }), table)).toEqual([]);
  expect(resourceFaults(resources({ kernel: "other" }), table)).toEqual([
    '"other" of "attention.bf16.64" for sm_90a is not in the table',
  ]);
});

Deno.test("spills and stacks are faults whatever the table says", () => {
  const found = resources({ spills: 8, stack: 16 });
  expect(resourceFaults(found, readTable(writeTable([found])))).toHaveLength(2);
});

Deno.test("a table that is no table is named by its line", () => {
  const [titles] = writeTable([]).split("\n");
  expect(() => readTable(`${titles}\na\tb\n`)).toThrow('Line 2 is "a\tb", expected five parts');
  expect(() => readTable("a\n")).toThrow('Line 1 is "a"');
});
