/**
 * The command line's grammar. The only file that knows the library that parses it.
 *
 * @module
 */
import { object, or } from "@optique/core/constructs";
import { type Message, text } from "@optique/core/message";
import { multiple, optional as optionalParser, withDefault } from "@optique/core/modifiers";
import type { InferValue, Parser } from "@optique/core/parser";
import { argument, command, flag as flagParser, option } from "@optique/core/primitives";
import { choice, float, integer, string, type ValueParser } from "@optique/core/valueparser";
import { run } from "@optique/run";
import { type Device, DEVICES, isDevice } from "../engine/device.ts";

/** A value as JSON has it. */
export type Json = string | number | boolean | null | readonly Json[] | JsonObject;

/** A JSON object. */
export interface JsonObject {
  readonly [key: string]: Json | undefined;
}

/** What a command may use of the world. */
export interface Context {
  /** Aborted when the user interrupts. */
  readonly signal: AbortSignal;
  /** For the user to read and to pipe: standard output, or with `--json` standard error. */
  out(text: string): void;
  /** For the user to watch: standard error. */
  log(text: string): void;
}

/** The values of a command's options, by their names in the program. */
export type Options = { readonly [name: string]: Parser<"sync", unknown, unknown> };

/** The types of a command's options. */
export type Values<T extends Options> = { readonly [K in keyof T]: InferValue<T[K]> };

/** A command: what {@link defineCommand} makes. */
export interface Command {
  /** Its words on the command line. */
  readonly name: string;
  readonly brief: string;
  readonly options: Options;
  readonly run: (values: never, context: Context) => Promise<JsonObject>;
}

/** A command line that was understood. */
export interface Invocation {
  readonly command: Command;
  readonly json: boolean;
  /** Runs the command; gives what `--json` prints. */
  run(context: Context): Promise<JsonObject>;
}

/** Thrown instead of ending the process: after help was shown, or with 2 where the command line was not understood. */
export class ParserExit extends Error {
  override readonly name = "ParserExit";
  /** Exit code of the process. */
  readonly code: number;

  constructor(code: number, message: string) {
    super(message);
    this.code = code;
  }
}

/** Declares a command. `run` gets the options' values by the same names. */
export function defineCommand<T extends Options>(definition: {
  readonly name: string;
  readonly brief: string;
  readonly options: T;
  readonly run: (values: Values<T>, context: Context) => Promise<JsonObject>;
}): Command {
  return definition;
}

/** An option that must be given. */
export function required<T>(
  name: `--${string}`,
  kind: ValueParser<"sync", T>,
  brief: string,
): Parser<"sync", T, unknown> {
  return option(name, kind, { description: say(brief) });
}

/** An option that may be left out. */
export function optional<T>(
  name: `--${string}`,
  kind: ValueParser<"sync", T>,
  brief: string,
): Parser<"sync", T | undefined, unknown> {
  return optionalParser(option(name, kind, { description: say(brief) }));
}

/** An option with a value for when it is left out. */
export function defaulted<T>(
  name: `--${string}`,
  kind: ValueParser<"sync", T>,
  value: T,
  brief: string,
): Parser<"sync", T, unknown> {
  return withDefault(option(name, kind, { description: say(brief) }), value);
}

/** An option that may be given any number of times. */
export function repeated<T>(
  name: `--${string}`,
  kind: ValueParser<"sync", T>,
  brief: string,
): Parser<"sync", readonly T[], unknown> {
  return multiple(option(name, kind, { description: say(brief) }));
}

/** An option without a value. */
export function flag(name: `--${string}`, brief: string): Parser<"sync", boolean, unknown> {
  return withDefault(flagParser(name, { description: say(brief) }), false);
}

/** A word that must be given. */
export function positional<T>(kind: ValueParser<"sync", T>, brief: string): Parser<"sync", T, unknown> {
  return argument(kind, { description: say(brief) });
}

/** Any text; `metavar` names it in the help. */
export function anyText(metavar: string): ValueParser<"sync", string> {
  return string({ metavar: metavar as "TEXT" });
}

/** A whole number. */
export function wholeNumber(
  limits: { readonly min?: number; readonly max?: number } = {},
): ValueParser<"sync", number> {
  return integer({ metavar: "N", ...limits });
}

/** A number. */
export function anyNumber(
  limits: { readonly min?: number; readonly max?: number } = {},
): ValueParser<"sync", number> {
  return float({ metavar: "X", ...limits });
}

/** One of some words. */
export function oneOf<const T extends string>(words: readonly T[]): ValueParser<"sync", T> {
  return choice(words);
}

/** Where a model computes. */
export function deviceName(): ValueParser<"sync", Device> {
  return {
    mode: "sync",
    metavar: "DEVICE",
    placeholder: "auto",
    parse: (input) =>
      isDevice(input)
        ? { success: true, value: input }
        : { success: false, error: say(`Expected ${DEVICES}, found "${input}".`) },
    format: (device) => device,
  };
}

/** A list of token ids, separated by commas. */
export function tokenIds(): ValueParser<"sync", Uint32Array> {
  return {
    mode: "sync",
    metavar: "IDS",
    placeholder: new Uint32Array(),
    parse(input) {
      const ids = input.split(",").map((id) => id.trim());
      const wrong = ids.find((id) => !/^\d{1,10}$/.test(id) || Number(id) > 0xffff_ffff);
      return wrong === undefined
        ? { success: true, value: Uint32Array.from(ids, Number) }
        : { success: false, error: say(`Expected token ids separated by commas, found "${wrong}".`) };
    },
    format: (ids) => ids.join(","),
  };
}

/** Settings of {@link parseCommandLine}. */
export interface ParseSettings {
  readonly program: string;
  readonly version: string;
  readonly brief: string;
  /** What commands of two words have in common, by their first word. */
  readonly groups: { readonly [word: string]: string };
  readonly stdout: (text: string) => void;
  readonly stderr: (text: string) => void;
}

/**
 * Finds the command and reads its options. A command's own words choose its parser, so that usage, help and
 * suggestions are about that command alone; a group's word chooses that of the group, and all else (help, unknown
 * commands, completion) is for the whole grammar.
 *
 * @throws {ParserExit} Help was shown, or the command line was not understood; what there is to say has been written.
 */
export function parseCommandLine(
  commands: readonly Command[],
  args: readonly string[],
  settings: ParseSettings,
): Invocation {
  const said: string[] = [];
  const common = {
    stdout: settings.stdout,
    stderr: (message: string): void => {
      said.push(message);
      settings.stderr(message);
    },
    onExit: (code: number): never => {
      const message = said.join("\n");
      throw new ParserExit(code, (/^Error: (.*)/ms.exec(message)?.[1] ?? message).replaceAll(/\s+/g, " "));
    },
    help: "option",
    aboveError: args.length === 0 ? "help" : "usage",
    errorExitCode: 2,
    showDefault: true,
    showChoices: true,
    termWidth: "auto",
  } as const;
  const chosen = commands.find(({ name }) => name.split(" ").every((word, at) => args[at] === word));
  if (chosen !== undefined) {
    const values = run(parserOf(chosen), {
      ...common,
      programName: `${settings.program} ${chosen.name}`,
      args: args.slice(chosen.name.split(" ").length),
      brief: say(chosen.brief),
    });
    const { json, ...rest } = values as { readonly json: boolean };
    return { command: chosen, json, run: (context) => chosen.run(rest as never, context) };
  }
  const [word = ""] = args;
  const members = commands.filter(({ name }) => name.startsWith(`${word} `));
  if (members.length > 0) {
    run(groupGrammar(word, members), {
      ...common,
      programName: `${settings.program} ${word}`,
      args: args.slice(1),
      brief: say(settings.groups[word] ?? ""),
    });
  } else {
    run(wholeGrammar(commands, settings.groups), {
      ...common,
      aboveError: args.length === 0 ? "help" : "none",
      help: "both",
      programName: settings.program,
      args,
      completion: "command",
      version: settings.version,
      brief: say(settings.brief),
      usageLine: [{ type: "ellipsis" }],
    });
  }
  throw new ParserExit(2, "No command was given");
}

function parserOf({ options }: Command): Parser<"sync", object, unknown> {
  return object({ ...options, json: flag("--json", "End standard output with one JSON object") });
}

/** The commands of one first word, by their second one. */
function groupGrammar(word: string, members: readonly Command[]): Parser<"sync", unknown, unknown> {
  return or(
    ...members.map((each) =>
      command(each.name.slice(word.length + 1), parserOf(each), { brief: say(each.brief) })
    ),
  );
}

function wholeGrammar(
  commands: readonly Command[],
  briefs: ParseSettings["groups"],
): Parser<"sync", unknown, unknown> {
  const words = new Set(commands.map(({ name }) => name.split(" ")[0]!));
  return or(...[...words].map((word) => {
    const alone = commands.find(({ name }) => name === word);
    if (alone !== undefined) return command(word, parserOf(alone), { brief: say(alone.brief) });
    const members = commands.filter(({ name }) => name.startsWith(`${word} `));
    return command(word, groupGrammar(word, members), { brief: say(briefs[word] ?? "") });
  }));
}

function say(words: string): Message {
  return [text(words)];
}
