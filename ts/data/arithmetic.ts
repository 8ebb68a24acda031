/**
 * Finds the equations `expression = value` in a worded step and evaluates them. It understands numbers with thousands
 * commas, decimals, currency signs and percent, `+ - * /` in their common forms, brackets, and units between them;
 * what it cannot read with certainty it leaves out rather than guesses.
 *
 * @module
 */

/** An equation as a step states it. */
export interface Equation {
  /** The expression's text, units included. */
  readonly expression: string;
  /** The equals sign with the space that stands around it. */
  readonly equals: string;
  /** The whole equation's text, from the expression to the stated value. */
  readonly text: string;
  /** Value of the expression. */
  readonly value: number;
  /** The value that the step states. */
  readonly stated: number;
  /** Whether the two agree, rounding to the stated digits up or down allowed. */
  readonly holds: boolean;
}

type Operator = "+" | "-" | "*" | "/";

type Token =
  & { readonly start: number; readonly end: number }
  & (
    | {
      readonly kind: "number";
      readonly value: number;
      readonly decimals: number;
      readonly percent: boolean;
    }
    | { readonly kind: "operator"; readonly operator: Operator }
    | { readonly kind: "open" | "close" | "word" | "break" }
  );

const NUMBER = /(?:\d{1,3}(?:,\d{3})+(?![\d,]*\d)|\d+)(?:\.\d+)?|\.\d+/y;
const CURRENCY = /[$€£]\s?/y;
const PERCENT = /\s?%/y;
const SPACE = /\s+/y;
const OPERATOR = /[+\-−–*×·/÷]/y;
const TIMES_LETTER = /[xX](?=\s*[$€£]?\s?[\d.(])/y;
const WORD = /[\p{L}¢][\p{L}'’¢]*(?:-\p{L}+)*/yu;
const HYPHENATED = /-\p{L}{2,}(?:-\p{L}+)*/yu;
const PER = /\/\s?\p{L}{2,}/yu;

/** Words that change the value of the number before them. */
const SCALE = /^(?:hundreds?|thousands?|millions?|billions?|dozens?|k|half|halves|thirds?|quarters?)$/i;

const OPERATORS: Readonly<Record<string, Operator>> = {
  "+": "+",
  "-": "-",
  "−": "-",
  "–": "-",
  "*": "*",
  "×": "*",
  "·": "*",
  "/": "/",
  "÷": "/",
};

/** Words that are no part of a unit. */
const CLAUSE = /^(?:and|are|as|because|but|if|is|less|more|or|since|so|than|then|was|were|when)$/i;

function match(pattern: RegExp, text: string, at: number): string | null {
  pattern.lastIndex = at;
  return pattern.exec(text)?.[0] ?? null;
}

function tokenize(text: string): Token[] {
  const tokens: Token[] = [];
  let at = 0;
  const push = (length: number, token: { kind: "open" | "close" | "word" | "break" }): void => {
    tokens.push({ ...token, start: at, end: at + length });
    at += length;
  };
  while (at < text.length) {
    const space = match(SPACE, text, at);
    if (space !== null) {
      at += space.length;
      continue;
    }
    const currency = match(CURRENCY, text, at) ?? "";
    const digits = match(NUMBER, text, at + currency.length);
    if (digits !== null) {
      const percent = match(PERCENT, text, at + currency.length + digits.length) ?? "";
      const value = Number(digits.replaceAll(",", ""));
      tokens.push({
        kind: "number",
        value: percent === "" ? value : value / 100,
        decimals: digits.split(".")[1]?.length ?? 0,
        percent: percent !== "",
        start: at,
        end: at + currency.length + digits.length + percent.length,
      });
      at += currency.length + digits.length + percent.length;
      continue;
    }
    const previous = tokens.at(-1);
    const adjacent = previous !== undefined && previous.end === at;
    const hyphenated = match(HYPHENATED, text, at);
    if (adjacent && hyphenated !== null && (previous.kind === "number" || previous.kind === "word")) {
      push(hyphenated.length, { kind: "word" });
      continue;
    }
    const per = match(PER, text, at);
    if (per !== null && (previous?.kind === "number" || previous?.kind === "word")) {
      push(per.length, { kind: "word" });
      continue;
    }
    const operator = match(OPERATOR, text, at) ?? match(TIMES_LETTER, text, at);
    if (operator !== null) {
      tokens.push({
        kind: "operator",
        operator: OPERATORS[operator] ?? "*",
        start: at,
        end: at + operator.length,
      });
      at += operator.length;
      continue;
    }
    const word = match(WORD, text, at);
    if (word !== null) {
      // "50% of 30" multiplies.
      if (word.toLowerCase() === "of" && previous?.kind === "number" && previous.percent) {
        tokens.push({ kind: "operator", operator: "*", start: at, end: at + word.length });
        at += word.length;
      } else {
        const share = word.toLowerCase() === "of" && previous?.kind !== "word";
        const breaks = word.length === 1 || share || SCALE.test(word) || CLAUSE.test(word);
        push(word.length, { kind: breaks ? "break" : "word" });
      }
      continue;
    }
    const character = text[at]!;
    push(1, { kind: "([{".includes(character) ? "open" : ")]}".includes(character) ? "close" : "break" });
  }
  return tokens;
}

/** Drops words that are units, after an operand and before an operator, a bracket's end or the end; others break. */
function withoutUnits(tokens: readonly Token[]): Token[] {
  const result: Token[] = [];
  for (let index = 0; index < tokens.length;) {
    const token = tokens[index]!;
    if (token.kind !== "word") {
      result.push(token);
      index++;
      continue;
    }
    let end = index;
    while (tokens[end]?.kind === "word") end++;
    const before = result.at(-1)?.kind;
    const after = tokens[end]?.kind;
    const unit = (before === "number" || before === "close") &&
      (after === undefined || after === "operator" || after === "close");
    if (!unit) result.push({ ...token, kind: "break" });
    index = end;
  }
  return result;
}

/** Evaluates a whole list of tokens; null where they are no expression. */
function evaluateTokens(tokens: readonly Token[]): number | null {
  let at = 0;
  const operatorAt = (...wanted: Operator[]): Operator | null => {
    const token = tokens[at];
    return token?.kind === "operator" && wanted.includes(token.operator) ? token.operator : null;
  };
  const sum = (): number | null => {
    let total = product();
    for (let next = operatorAt("+", "-"); total !== null && next !== null; next = operatorAt("+", "-")) {
      at++;
      const right = product();
      total = right === null ? null : next === "+" ? total + right : total - right;
    }
    return total;
  };
  const product = (): number | null => {
    let total = operand();
    while (total !== null) {
      const next = operatorAt("*", "/");
      // A bracket directly after an operand multiplies.
      if (next === null && tokens[at]?.kind !== "open") break;
      if (next !== null) at++;
      const right = operand();
      total = right === null ? null : next === "/" ? total / right : total * right;
    }
    return total;
  };
  const operand = (): number | null => {
    const token = tokens[at++];
    if (token?.kind === "number") return token.value;
    if (token?.kind === "operator" && token.operator === "-") {
      const value = operand();
      return value === null ? null : -value;
    }
    if (token?.kind !== "open") return null;
    const value = sum();
    return tokens[at++]?.kind === "close" ? value : null;
  };
  const value = sum();
  return value !== null && at === tokens.length && Number.isFinite(value) ? value : null;
}

/**
 * Value of an expression such as `($1,200 - 10%) x 2`, null where the text is none or divides by zero. Precedence and
 * brackets as usual; a percentage is a hundredth.
 */
export function evaluate(text: string): number | null {
  return evaluateTokens(tokenize(text));
}

/** What stands between two equals signs of a line. */
interface Segment {
  readonly text: string;
  /** Offset in the line; tokens count from the segment's start. */
  readonly start: number;
  readonly tokens: readonly Token[];
}

/** The expression that ends a segment, with at least one operator; null where there is none. */
function expressionAtEnd({ text, tokens }: Segment): { tokens: Token[]; value: number } | null {
  const all = withoutUnits(tokens);
  const broken = all.findLastIndex(({ kind }) => kind === "break");
  let found = all.slice(broken + 1);
  // "5 + his 3 + 4", "3 and 1/2 + 4", "6 crates of 7 x 3" and "3:40 + 35" say more than what follows the break.
  if (all[broken - 1]?.kind === "operator") return null;
  const before = text.slice(0, found[0]?.start);
  if (all[broken - 1]?.kind === "number" && /\b(?:of|and)\s*$|\S$/.test(before)) return null;
  let depth = 0;
  for (let index = found.length - 1; index >= 0; index--) {
    if (found[index]!.kind === "close") depth++;
    if (found[index]!.kind === "open" && --depth < 0) {
      found = found.slice(index + 1);
      break;
    }
  }
  // "9 / 1/3" is meant one way and read another.
  if (found.map((token) => token.kind === "operator" ? token.operator : "").join("").includes("//")) {
    return null;
  }
  // An operator at the start belongs to something that was not understood.
  if (found[0]?.kind === "operator" || !found.some(({ kind }) => kind === "operator" || kind === "open")) {
    return null;
  }
  const value = evaluateTokens(found);
  return value === null ? null : { tokens: found, value };
}

interface Stated {
  readonly value: number;
  /** The number that it begins with: in "28 / 4 = 7 x 9 = 63" the 7 is stated, too. */
  readonly first: number;
  readonly decimals: number;
  readonly percent: boolean;
  /** Offset of its end in the segment. */
  readonly end: number;
}

/** The value that begins a segment: a number, or an expression; null where there is none. */
function valueAtStart(segment: Segment): Stated | null {
  const tokens = withoutUnits(segment.tokens);
  let at = 0;
  const first = tokens[at];
  const negative = first?.kind === "operator" && first.operator === "-";
  if (negative) at++;
  const number = tokens[at];
  if (number?.kind !== "number") return null;
  const next = tokens[at + 1];
  // "2x", "1 1/2" and "3 dozen" are not the number that they begin with.
  if (next?.kind === "number" || next?.kind === "open") return null;
  const rest = segment.text.slice(number.end);
  if (/^\s?\p{L}(?!\p{L})|^[:,]\d/u.test(rest) || SCALE.test(/^\s*(\p{L}+)/u.exec(rest)?.[1] ?? "")) {
    return null;
  }
  const broken = tokens.findIndex(({ kind }) => kind === "break");
  if (next?.kind === "operator") {
    const expression = tokens.slice(0, broken < 0 ? undefined : broken);
    const value = evaluateTokens(expression);
    const decimals = Math.max(...expression.map((token) => token.kind === "number" ? token.decimals : 0));
    return value === null
      ? null
      : { value, first: number.value, decimals, percent: false, end: expression.at(-1)!.end };
  }
  const value = negative ? -number.value : number.value;
  return {
    value,
    first: value,
    decimals: number.decimals,
    percent: number.percent,
    end: number.end,
  };
}

/** The equations of one line, in order; a chain `a = b = c` gives one for each `=` whose left side has an operator. */
export function findEquations(line: string): Equation[] {
  const equations: Equation[] = [];
  const segments: Segment[] = [];
  let start = 0;
  for (const text of line.split("=")) {
    segments.push({ text, start, tokens: tokenize(text) });
    start += text.length + 1;
  }
  const hundredfold = /%|¢|\b(?:cents?|percent)\b/i.test(line);
  for (let index = 0; index + 1 < segments.length; index++) {
    const left = segments[index]!;
    const right = segments[index + 1]!;
    const expression = expressionAtEnd(left);
    const stated = valueAtStart(right);
    if (expression === null || stated === null) continue;
    const from = left.start + expression.tokens[0]!.start;
    const expressionEnd = left.start + left.text.trimEnd().length;
    equations.push({
      expression: line.slice(from, expressionEnd),
      equals: line.slice(expressionEnd, right.start + right.text.length - right.text.trimStart().length),
      text: line.slice(from, right.start + stated.end),
      value: expression.value,
      stated: stated.value,
      holds: agrees(expression.value, stated, hundredfold),
    });
  }
  return equations;
}

function agrees(value: number, stated: Stated, hundredfold: boolean): boolean {
  const candidates = hundredfold ? [stated.value, stated.value * 100, stated.value / 100] : [stated.value];
  candidates.push(stated.first);
  return candidates.some((candidate) => {
    const difference = Math.abs(value - candidate);
    if (difference <= 1e-6 + 1e-12 * Math.abs(value)) return true;
    const unit = 10 ** -(stated.percent ? stated.decimals + 2 : stated.decimals);
    const exact = Math.abs(value / unit - Math.round(value / unit)) < 1e-6;
    return !exact && difference < unit;
  });
}

/** Every number of a text, percentages as written (`20%` is 20). */
export function findNumbers(text: string): number[] {
  return tokenize(text).flatMap((token) =>
    token.kind === "number" ? [token.percent ? token.value * 100 : token.value] : []
  );
}

/** A number as short as it can be written with at most two decimals. */
export function writeNumber(value: number): string {
  return String(Number(value.toFixed(2)));
}
