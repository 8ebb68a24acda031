import { expect } from "expect";
import fc from "fast-check";
import {
  anyNumber,
  anyText,
  type Command,
  type Context,
  defaulted,
  defineCommand,
  flag,
  oneOf,
  optional,
  parseCommandLine,
  ParserExit,
  positional,
  repeated,
  required,
  tokenIds,
  wholeNumber,
} from "./parser.ts";

/** A command that gives back what it was called with. */
const echo: Command = defineCommand({
  name: "echo",
  brief: "Gives its options back",
  options: {
    word: positional(anyText("WORD"), "A word"),
    data: required("--data", anyText("DIR"), "A folder"),
    limit: optional("--limit", wholeNumber({ min: 1 }), "A number"),
    weight: defaulted("--weight", anyNumber(), 0.5, "A share"),
    order: defaulted("--order", oneOf(["both", "seeded"]), "both", "An order"),
    stop: repeated("--stop", anyText("TEXT"), "A text"),
    quick: flag("--quick", "A switch"),
  },
  run: (values) => Promise.resolve({ ...values, limit: values.limit ?? null }),
});

const ids: Command = defineCommand({
  name: "tool ids",
  brief: "Reads ids",
  options: { ids: required("--ids", tokenIds(), "Ids") },
  run: ({ ids }) => Promise.resolve({ ids: [...ids] }),
});

const context: Context = { signal: new AbortController().signal, out: () => {}, log: () => {} };

interface Refusal {
  readonly code: number;
  readonly message: string;
  readonly stdout: string;
  readonly stderr: string;
}

function parse(...args: string[]): ReturnType<typeof parseCommandLine> {
  return parseCommandLine([echo, ids], args, {
    program: "prog",
    version: "1.2.3",
    brief: "A program",
    groups: { tool: "Tools" },
    stdout: () => {},
    stderr: () => {},
  });
}

function refusal(...args: string[]): Refusal {
  let [stdout, stderr] = ["", ""];
  try {
    parseCommandLine([echo, ids], args, {
      program: "prog",
      version: "1.2.3",
      brief: "A program",
      groups: { tool: "Tools" },
      stdout: (text) => stdout += text,
      stderr: (text) => stderr += text,
    });
  } catch (error) {
    if (error instanceof ParserExit) return { code: error.code, message: error.message, stdout, stderr };
    throw error;
  }
  throw new Error(`"${args.join(" ")}" was understood`);
}

Deno.test("options reach the command by name, with their types and defaults", async () => {
  const plain = parse("echo", "w", "--data", "d");
  expect(plain.json).toBe(false);
  expect(await plain.run(context)).toEqual({
    word: "w",
    data: "d",
    limit: null,
    weight: 0.5,
    order: "both",
    stop: [],
    quick: false,
  });
  const full = parse(
    ...["echo", "--limit", "7", "--json", "--weight=-2.5", "--order", "seeded", "--stop", "a", "--quick"],
    ...["--stop", "b", "--data", "d", "w"],
  );
  expect(full.json).toBe(true);
  expect(await full.run(context)).toMatchObject({
    limit: 7,
    weight: -2.5,
    order: "seeded",
    stop: ["a", "b"],
    quick: true,
  });
});

Deno.test("token ids are read as they were written", async () => {
  await fc.assert(fc.asyncProperty(
    fc.array(fc.integer({ min: 0, max: 0xffff_ffff }), { minLength: 1 }),
    async (list) => {
      expect(await parse("tool", "ids", "--ids", list.join(",")).run(context)).toEqual({ ids: list });
    },
  ));
  for (const wrong of ["", "a", "1,", "1,,2", "-1", "1.5", "4294967296", "0x1"]) {
    expect(refusal("tool", "ids", `--ids=${wrong}`)).toMatchObject({ code: 2 });
  }
});

Deno.test("what is near to a name is suggested", () => {
  expect(refusal("ecko").message).toContain("Did you mean `echo`?");
  expect(refusal("tool", "idz").message).toContain("Did you mean `ids`?");
  expect(refusal("echo", "w", "--dta", "d").message).toContain("Did you mean `--data`?");
});

Deno.test("a refused command line says why, with the usage of that command alone", () => {
  const missing = refusal("echo", "w");
  expect(missing).toMatchObject({ code: 2, message: "Missing option `--data`.", stdout: "" });
  expect(missing.stderr).toContain("prog echo");
  expect(missing.stderr).not.toContain("tool");
  expect(refusal("echo", "w", "--data", "d", "--limit", "0").message).toContain("--limit");
  expect(refusal("echo", "w", "--data", "d", "--order", "none").message).toContain('"seeded"');
});

Deno.test("help goes to standard output and is no failure", () => {
  expect(refusal("--help")).toMatchObject({ code: 0, stderr: "", stdout: expect.stringContaining("echo") });
  expect(refusal("tool", "--help")).toMatchObject({ code: 0, stdout: expect.stringContaining("Reads ids") });
  expect(refusal("echo", "--help")).toMatchObject({ code: 0, stdout: expect.stringContaining("--limit") });
  expect(refusal("--version")).toMatchObject({ code: 0, stdout: "1.2.3" });
});

Deno.test("no command at all shows the commands and fails", () => {
  expect(refusal()).toMatchObject({ code: 2, stdout: "", stderr: expect.stringContaining("echo") });
});
