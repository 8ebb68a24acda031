/**
 * Runs parsed chat templates with Python's text methods and within bounds. Templates come with models, from anyone:
 * whatever they do must end, and soon.
 *
 * Bounds: steps, the size of every intermediate value, and time. One step's work is limited by the size of the values
 * it reads, save that joining and replacing may build one text that is longer, up to the longest that the JavaScript
 * engine allows (about 2^29 characters), before it is measured and refused.
 *
 * @module
 */

import { Environment, Interpreter } from "@huggingface/jinja";

type Statement = Parameters<Interpreter["evaluate"]>[0];
type Value = ReturnType<Interpreter["evaluate"]>;

/** A node of a parsed template, as far as this module looks into it. */
export interface Node {
  readonly type: string;
  readonly [field: string]: unknown;
}

/** Most evaluations of a node and turns of a loop. A conversation of a thousand messages takes about a hundred thousand. */
const MAX_STEPS = 1_000_000;
/** Longest time, in milliseconds, for what few but long steps can do. */
const MAX_MILLISECONDS = 5_000;
/** Largest value: characters and elements together, beyond what the conversation itself brings. */
const MAX_SIZE = 1 << 20;
/** As Jinja2's sandbox has it (`MAX_RANGE` in `jinja2/sandbox.py`). */
const MAX_RANGE = 100_000;
/** Steps between two looks at the clock. */
const STEPS_BETWEEN_LOOKS = 64;

/** What `str.strip` of Python takes away when it is not told what. */
const PYTHON_SPACE =
  "\t\n\v\f\r\x1c\x1d\x1e\x1f \x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007" +
  "\u2008\u2009\u200a\u2028\u2029\u202f\u205f\u3000";

/** An interpreter for one rendering. */
export class TemplateInterpreter extends Interpreter {
  readonly #places: Places;
  readonly #sizes = new WeakMap<object, number>();
  readonly #maxSize: number;
  readonly #end = performance.now() + MAX_MILLISECONDS;
  #steps = 0;

  constructor(variables: Readonly<Record<string, unknown>>, places: Places, now: Date) {
    const environment = new Environment();
    for (const [name, value] of Object.entries({ ...globals(now), ...variables })) {
      environment.set(name, value);
    }
    super(environment);
    this.#places = places;
    this.#maxSize = MAX_SIZE + 8 * sizeOf(variables);
  }

  override evaluate(statement: Statement, environment: Environment): Value {
    this.#step();
    const node = statement as Node | undefined;
    let value = node === undefined ? undefined : this.#own(node, environment);
    value ??= super.evaluate(statement, environment);
    if (value !== null && typeof value === "object") this.#measure(value);
    if (node === undefined) return value;
    if (this.#places.iterated.has(node) && Array.isArray(value.value)) this.#step(value.value.length);
    return this.#places.written.has(node) && value.type !== "UndefinedValue"
      ? runtimeValue(pythonText(value))
      : value;
  }

  /** What the library leaves out or does unlike Python. */
  #own(node: Node, environment: Environment): Value | undefined {
    if (node.type === "BinaryExpression" && tokenOf(node["operator"]) === "~") {
      const [left, right] = [node["left"], node["right"]].map((side) =>
        pythonText(this.evaluate(side as Statement, environment))
      );
      return runtimeValue(left! + right!);
    }
    if (node.type === "FilterExpression" && tokenOf(node["filter"]) === "length") {
      const counted = this.evaluate(node["operand"] as Statement, environment);
      return counted.type === "StringValue"
        ? runtimeValue(Array.from(counted.value as string).length)
        : undefined;
    }
    const call = stripping(node);
    if (call === undefined) return undefined;
    const subject = this.evaluate(call.subject as Statement, environment);
    if (subject.type !== "StringValue") return undefined;
    let characters: string | null = null;
    if (call.characters !== undefined) {
      const given = this.evaluate(call.characters as Statement, environment);
      if (given.type !== "StringValue" && given.type !== "NullValue") {
        throw new Error(`${call.name}() takes characters, not "${given.type}"`);
      }
      characters = given.value as string | null;
    }
    return runtimeValue(strip(subject.value as string, characters, call.name));
  }

  #step(count = 1): void {
    this.#steps += count;
    if (this.#steps > MAX_STEPS) throw new Error(`It takes more than ${MAX_STEPS} steps`);
    if (this.#steps % STEPS_BETWEEN_LOOKS === 0) this.#checkTime();
  }

  #checkTime(): void {
    if (performance.now() > this.#end) throw new Error(`It takes more than ${MAX_MILLISECONDS / 1000} s`);
  }

  #measure(value: Value): void {
    const size = this.#sizeOf(value);
    if (size > this.#maxSize) {
      throw new Error(`It builds a value of size ${size}, expected at most ${this.#maxSize}`);
    }
    if (size > MAX_SIZE / 16) this.#checkTime();
  }

  /** Size as if nothing in it were shared, since writing it out would write it so. */
  #sizeOf(value: Value): number {
    if (value.type === "StringValue") return (value.value as string).length + 1;
    const parts = children(value);
    if (parts === undefined) return 1;
    // A namespace changes, a list or mapping does not.
    const isNamespace = value.type === "NamespaceValue";
    const known = isNamespace ? undefined : this.#sizes.get(value);
    if (known !== undefined) return known;
    let size = 1;
    for (const part of parts) {
      if (part.type === "NamespaceValue") throw new Error("It puts a namespace into another value");
      size += this.#sizeOf(part);
      if (size > this.#maxSize) break;
    }
    if (!isNamespace) this.#sizes.set(value, size);
    return size;
  }
}

/** What an expression's value is for, by where it stands in a template. */
export interface Places {
  /** It is written out. */
  readonly written: ReadonlySet<Node>;
  /** A loop runs over it. */
  readonly iterated: ReadonlySet<Node>;
}

/**
 * Where the expressions of a parsed template stand. Throws for a `break` or `continue` after output
 * in the same turn of its loop, which the library would lose.
 */
export function placesOf(program: unknown): Places {
  const [outputs, iterated] = [new Set<Node>(), new Set<Node>()];
  /** Whether anything was written before, in this turn of the loop, or is by these statements. */
  const block = (statements: unknown, before: boolean): boolean => {
    let written = before;
    for (const statement of statements as Node[]) {
      const inner = (field: string, start: boolean): boolean => block(statement[field], start);
      switch (statement.type) {
        case "If":
          written = [inner("body", written), inner("alternate", written)].includes(true);
          break;
        case "For": {
          const iterable = statement["iterable"] as Node;
          iterated.add(iterable.type === "SelectExpression" ? iterable["lhs"] as Node : iterable);
          written = [inner("body", false), inner("defaultBlock", written), written].includes(true);
          break;
        }
        case "Set":
        case "Macro":
          inner("body", false);
          break;
        case "CallStatement":
        case "FilterStatement":
          inner("body", false);
          written = true;
          break;
        case "Break":
        case "Continue":
          if (written) throw new Error(`"${statement.type.toLowerCase()}" after output is not supported`);
          break;
        case "Comment":
          break;
        default:
          outputs.add(statement);
          written = true;
      }
    }
    return written;
  };
  block((program as Node)["body"], false);
  return { written: outputs, iterated };
}

function globals(now: Date): Record<string, unknown> {
  return {
    true: true,
    True: true,
    false: false,
    False: false,
    none: null,
    None: null,
    raise_exception: (message: unknown) => {
      throw new Error(String(message));
    },
    range,
    strftime_now: (format: unknown) => strftime(now, String(format)),
  };
}

function range(first: number, second?: number, step = 1): number[] {
  const [start, stop] = second === undefined ? [0, first] : [first, second];
  if (![start, stop, step].every(Number.isSafeInteger) || step === 0) {
    throw new Error(`range(${start}, ${stop}, ${step}) is not made of whole numbers with a step`);
  }
  const length = Math.max(0, Math.ceil((stop - start) / step));
  if (length > MAX_RANGE) throw new Error(`range() of ${length}, expected at most ${MAX_RANGE}`);
  return Array.from({ length }, (_, i) => start + i * step);
}

const MONTHS = "January February March April May June July August September October November December".split(
  " ",
);
const DAYS = "Sunday Monday Tuesday Wednesday Thursday Friday Saturday".split(" ");

/** Python's `strftime` in the C locale, for the directives that templates use. */
function strftime(date: Date, format: string): string {
  const two = (number: number): string => String(number).padStart(2, "0");
  const month = MONTHS[date.getMonth()]!;
  const day = DAYS[date.getDay()]!;
  const directives: Readonly<Record<string, string>> = {
    Y: String(date.getFullYear()),
    y: two(date.getFullYear() % 100),
    m: two(date.getMonth() + 1),
    B: month,
    b: month.slice(0, 3),
    d: two(date.getDate()),
    A: day,
    a: day.slice(0, 3),
    H: two(date.getHours()),
    I: two((date.getHours() + 11) % 12 + 1),
    p: date.getHours() < 12 ? "AM" : "PM",
    M: two(date.getMinutes()),
    S: two(date.getSeconds()),
    "%": "%",
  };
  return format.replace(/%(.?)/gs, (directive, letter: string) => {
    const text = directives[letter];
    if (text === undefined) throw new Error(`strftime_now() does not know "${directive}"`);
    return text;
  });
}

const STRIPS = new Set(["strip", "lstrip", "rstrip"]);

/** `text.strip(characters)` and its like, and the filter `trim`. */
function stripping(node: Node): { name: string; subject: unknown; characters: unknown } | undefined {
  if (node.type === "CallExpression") {
    const callee = node["callee"] as Node;
    const name = callee.type === "MemberExpression" && callee["computed"] === false
      ? tokenOf(callee["property"])
      : undefined;
    const args = node["args"] as Node[];
    if (name === undefined || !STRIPS.has(name) || args.length > 1 || args[0]?.type === "SpreadExpression") {
      return undefined;
    }
    return { name, subject: callee["object"], characters: args[0] };
  }
  if (node.type !== "FilterExpression") return undefined;
  const filter = node["filter"] as Node;
  const args = filter.type === "CallExpression" ? filter["args"] as Node[] : [];
  const name = tokenOf(filter.type === "CallExpression" ? filter["callee"] : filter);
  return name === "trim" && args.length < 2
    ? { name: "strip", subject: node["operand"], characters: args[0] }
    : undefined;
}

function strip(text: string, characters: string | null, name: string): string {
  const taken = new Set(characters ?? PYTHON_SPACE);
  const letters = Array.from(text);
  let [start, end] = [0, letters.length];
  if (name !== "rstrip") { while (start < end && taken.has(letters[start]!)) start++; }
  if (name !== "lstrip") { while (end > start && taken.has(letters[end - 1]!)) end--; }
  return letters.slice(start, end).join("");
}

/** What Python's `str` gives. */
function pythonText(value: Value): string {
  switch (value.type) {
    case "StringValue":
      return value.value as string;
    case "BooleanValue":
      return value.value === true ? "True" : "False";
    case "NullValue":
      return "None";
    case "UndefinedValue":
      return "";
    default:
      return children(value) === undefined ? value.toString() : pythonLiteral(value);
  }
}

/** What Python's `repr` gives. */
function pythonLiteral(value: Value): string {
  if (value.type === "StringValue") return quoted(value.value as string);
  if (value.value instanceof Map) {
    const entries = Array.from(value.value, ([key, part]) => `${quoted(key)}: ${pythonLiteral(part)}`);
    return `{${entries.join(", ")}}`;
  }
  if (Array.isArray(value.value)) {
    const parts = (value.value as Value[]).map(pythonLiteral).join(", ");
    if (value.type !== "TupleValue") return `[${parts}]`;
    return value.value.length === 1 ? `(${parts},)` : `(${parts})`;
  }
  return pythonText(value);
}

const ESCAPES: Readonly<Record<string, string>> = { "\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t" };

function quoted(text: string): string {
  const quote = text.includes("'") && !text.includes('"') ? '"' : "'";
  const escaped = Array.from(text, (letter) => {
    const code = letter.codePointAt(0)!;
    const unseen = code < 0x20 || code >= 0x7f && code <= 0xa0 || code === 0xad;
    return ESCAPES[letter] ?? (unseen ? `\\x${code.toString(16).padStart(2, "0")}` : letter);
  }).join("");
  return quote + (quote === "'" ? escaped.replaceAll("'", "\\'") : escaped) + quote;
}

function children(value: Value): Iterable<Value> | undefined {
  if (Array.isArray(value.value)) return value.value as Value[];
  return value.value instanceof Map ? (value.value as Map<string, Value>).values() : undefined;
}

function tokenOf(node: unknown): string | undefined {
  const value = (node as { readonly value?: unknown } | undefined)?.value;
  return typeof value === "string" ? value : undefined;
}

/** A value of the library, which does not export their classes. */
function runtimeValue(value: string | number): Value {
  return new Environment().set("value", value);
}

function sizeOf(value: unknown): number {
  if (typeof value === "string") return value.length + 1;
  if (value === null || typeof value !== "object") return 1;
  return Object.values(value).reduce((sum: number, part) => sum + sizeOf(part), 1);
}
