/**
 * The sentences that problems are made of. A problem is told in one theme: an opening, a sentence an operation, a
 * question. Each split has clauses of its own, which no other split uses after any opener; those of validation and
 * test are new combinations of words that training knows.
 *
 * `{n}` is a stated quantity, `{k}` and `{m}` are factors, `{who}` is who the story is about, `{item}` what is
 * counted.
 *
 * @module
 */

import type { Split } from "../record.ts";

/** What a sentence of a problem tells. */
export type Slot =
  /** The first quantity. */
  | "hold"
  /** The first quantity as a product of two stated factors. */
  | "groups"
  /** The first quantity as a stated number of dozens. */
  | "dozens"
  /** The first quantity as a stated number a day for a week. */
  | "week"
  | "plus"
  | "minus"
  | "double"
  | "ask";

/** The sentences of one theme and split, by slot, without the capital that each starts with. */
export type Wordings = Readonly<Record<Slot, readonly string[]>>;

/** Who a story is about. */
export const SUBJECTS = [
  "Anna",
  "Ben",
  "Carla",
  "Dan",
  "Eva",
  "Finn",
  "the shop",
  "the school",
  "the farm",
  "the club",
] as const;

/** What is counted. */
export const ITEMS = [
  "pens",
  "books",
  "apples",
  "eggs",
  "coins",
  "cards",
  "cups",
  "shells",
  "balls",
  "stamps",
] as const;

/** Clauses of one slot: every verb in every frame, and those that stand alone, by split. */
interface Clauses {
  readonly openers: readonly string[];
  /** A finite form and its participle each; what stands after `|` ends the frame. */
  readonly verbs?: readonly (readonly [finite: string, participle?: string])[];
  /** `{does}` and `{done}` are the verb's forms, `{tail}` is the end of its finite form. */
  readonly frames?: readonly string[];
  readonly alone?: Readonly<Record<Split, readonly string[]>>;
}

/**
 * The split of a verb in a frame: two in seven are held out. A verb, and a frame, is held out in some combinations
 * and trained on in others, so that what is new is the combination.
 */
function splitOfCombination(verb: number, frame: number): Split {
  const residue = (verb + frame) % 7;
  return residue === 2 ? "test" : residue === 5 ? "validation" : "train";
}

/** Every sentence of a slot and split. */
function sentences(
  { openers, verbs = [], frames = [], alone }: Clauses,
  split: Split,
  end: string,
): string[] {
  const combined = verbs.flatMap(([finite, participle], verb) => {
    const [does, tail] = finite.split("|") as [string, string?];
    return frames.flatMap((frame, index) => {
      if (splitOfCombination(verb, index) !== split) return [];
      if (participle === undefined && frame.includes("{done}")) return [];
      const words: Record<string, string> = { does, done: participle ?? "", tail: tail ?? "" };
      return [frame.replace(/\{(does|done|tail)\}/g, (_, name: string) => words[name]!)];
    });
  });
  const clauses = [...combined, ...(alone?.[split] ?? [])];
  return openers.flatMap((opener) => clauses.map((clause) => `${opener}${clause}${end}`));
}

function theme(clauses: Readonly<Record<Slot, Clauses>>): Readonly<Record<Split, Wordings>> {
  const wordings = (split: Split): Wordings => {
    const bySlot = Object.entries(clauses).map(([slot, each]) => {
      return [slot, sentences(each, split, slot === "ask" ? "" : ".")] as const;
    });
    return Object.fromEntries(bySlot) as Record<Slot, string[]>;
  };
  return { train: wordings("train"), validation: wordings("validation"), test: wordings("test") };
}

const FIRST = ["", "at first ", "on Monday ", "in the morning "];
const LATER = ["", "then ", "later ", "after that ", "on Tuesday ", "in the evening "];

/** A story about things that someone has. */
export const STORY: Readonly<Record<Split, Wordings>> = theme({
  hold: {
    openers: FIRST,
    verbs: [["has"], ["counts"], ["keeps"], ["starts with"], ["owns"]],
    frames: [
      "{who} {does} {n} {item}",
      "{who} {does} a box of {n} {item}",
      "{who} {does} a box with {n} {item}",
      "{who} {does} {n} {item} in a box",
      "{who} {does} a bag of {n} {item}",
    ],
    alone: {
      train: ["there are {n} {item}", "there is a box with {n} {item}", "there are {n} {item} in a bag"],
      validation: ["there is a bag with {n} {item}"],
      test: ["there are {n} {item} in a box", "there is a box of {n} {item}"],
    },
  },
  groups: {
    openers: FIRST,
    verbs: [["has"], ["buys"], ["keeps"], ["finds"], ["fills"], ["counts"]],
    frames: [
      "{who} {does} {k} boxes with {m} {item} each",
      "{who} {does} {k} bags of {m} {item}",
      "{who} {does} {k} bags with {m} {item} each",
      "{who} {does} {k} boxes of {m} {item}",
    ],
    alone: {
      train: [
        "there are {k} bags of {m} {item}",
        "each of {k} friends gives {who} {m} {item}",
        "there are {m} {item} in each of {k} boxes",
      ],
      validation: ["there are {k} boxes with {m} {item} each"],
      test: ["there are {m} {item} in each of {k} bags"],
    },
  },
  dozens: {
    openers: FIRST,
    verbs: [["has"], ["counts"], ["finds"], ["starts with"], ["buys"], ["keeps"]],
    frames: ["{who} {does} {k} dozen {item}", "{who} {does} {k} dozen {item} in a box"],
    alone: {
      train: ["there are {k} dozen {item}"],
      validation: ["there are {k} dozen {item} in a bag"],
      test: ["there are {k} dozen {item} in a box"],
    },
  },
  week: {
    openers: [""],
    verbs: [["makes"], ["finds"], ["gets"], ["buys"], ["counts"]],
    frames: [
      "{who} {does} {k} {item} a day for a week",
      "for a week {who} {does} {k} {item} a day",
      "each day of a week {who} {does} {k} {item}",
    ],
  },
  plus: {
    openers: LATER,
    verbs: [
      ["buys", "bought"],
      ["finds", "found"],
      ["wins", "won"],
      ["gets"],
      ["makes", "made"],
      ["adds", "added"],
    ],
    frames: [
      "{who} {does} {n} more {item}",
      "{who} {does} another {n} {item}",
      "{n} more {item} are {done}",
      "{who} {does} {n} {item}",
      "{who} {does} another {n}",
      "another {n} {item} are {done}",
      "{who} {does} {n} more",
      "{n} {item} are {done}",
    ],
    alone: {
      train: [
        "a friend gives {who} {n} {item}",
        "a friend gives {who} {n} more",
        "{n} more {item} come in the mail",
        "{who} takes {n} more {item} from a friend",
        "another {n} {item} come from a friend",
      ],
      validation: ["{n} {item} come in the mail", "a friend gives {who} another {n}"],
      test: ["{n} more {item} come from a friend", "a friend gives {who} {n} more {item}"],
    },
  },
  minus: {
    openers: LATER,
    verbs: [
      ["sells", "sold"],
      ["loses", "lost"],
      ["uses", "used"],
      ["breaks", "broken"],
      ["throws| away", "thrown away"],
      ["gives| away", "given away"],
      ["gives| to a friend", "given to a friend"],
    ],
    frames: [
      "{who} {does} {n} {item}{tail}",
      "{n} {item} are {done}",
      "{who} {does} {n} of the {item}{tail}",
      "{who} {does} {n} of them{tail}",
      "{n} of the {item} are {done}",
      "{who} {does} {n}{tail}",
      "{n} of them are {done}",
    ],
    alone: {
      train: ["a friend takes {n} of the {item}", "{n} of them go to a friend", "a friend takes {n}"],
      validation: ["{n} {item} go to a friend"],
      test: ["a friend takes {n} of them", "{n} of the {item} go to a friend"],
    },
  },
  double: {
    openers: LATER,
    alone: {
      train: [
        "the number of {item} doubles",
        "{who} doubles the {item}",
        "there are twice as many {item}",
        "{who} has twice as many",
        "there are two times as many {item}",
        "the {item} become twice as many",
        "{who} has two times as many {item}",
        "the {item} are doubled",
      ],
      validation: ["there are twice as many", "the number of {item} is doubled"],
      test: [
        "{who} doubles the number of {item}",
        "there are two times as many",
        "{who} has twice as many {item}",
      ],
    },
  },
  ask: {
    openers: [""],
    alone: {
      train: [
        "how many {item} does {who} have now?",
        "how many {item} are there in the end?",
        "what is the number of {item} now?",
        "how many {item} are there now?",
        "find the number of {item}.",
        "how many does {who} have in the end?",
      ],
      validation: ["find the number of {item} now.", "how many are there in the end?"],
      test: [
        "how many {item} does {who} have in the end?",
        "find the number of {item} in the end.",
        "how many are there now?",
      ],
    },
  },
});

/** An exercise about a bare number. */
export const NUMBER: Readonly<Record<Split, Wordings>> = theme({
  hold: {
    openers: [""],
    verbs: [["start with"], ["take"], ["begin with"], ["think of"]],
    frames: ["{does} {n}", "{does} the number {n}", "{does} a number, {n}"],
    alone: {
      train: ["a number is {n}", "the first number is {n}"],
      validation: ["the number is {n} at first"],
      test: ["the number is {n}"],
    },
  },
  groups: {
    openers: [""],
    verbs: [["start with"], ["take"], ["begin with"], ["think of"]],
    frames: ["{does} {k} times {m}", "{does} the product of {k} and {m}", "{does} the number {k} times {m}"],
    alone: { train: ["multiply {k} by {m}"], validation: ["a number is {k} times {m}"], test: [] },
  },
  dozens: {
    openers: [""],
    verbs: [["start with"], ["take"], ["begin with"], ["think of"]],
    frames: ["{does} {k} dozen", "{does} the number {k} dozen", "{does} a number, {k} dozen"],
    alone: { train: ["a number is {k} dozen"], validation: ["the first number is {k} dozen"], test: [] },
  },
  week: {
    openers: [""],
    verbs: [["start with"], ["take"], ["begin with"], ["think of"]],
    frames: [
      "{does} the number of days in {k} weeks",
      "{does} the days of {k} weeks",
      "{does} the days in {k} weeks",
    ],
    alone: { train: [], validation: ["a number is the days of {k} weeks"], test: [] },
  },
  plus: {
    openers: ["", "then ", "after that ", "now "],
    alone: {
      train: [
        "add {n}",
        "add {n} to it",
        "make it {n} larger",
        "make the number {n} larger",
        "it grows by {n}",
        "increase it by {n}",
        "find the sum of it and {n}",
        "take the sum of the number and {n}",
      ],
      validation: ["it is {n} larger", "find the sum of the number and {n}"],
      test: ["add {n} to the number", "the number grows by {n}", "take the sum of it and {n}"],
    },
  },
  minus: {
    openers: ["", "then ", "after that ", "now "],
    alone: {
      train: [
        "subtract {n}",
        "subtract {n} from it",
        "make it {n} smaller",
        "the number falls by {n}",
        "decrease it by {n}",
        "decrease the number by {n}",
        "take {n} from the number",
        "find the difference of it and {n}",
      ],
      validation: ["it is {n} smaller", "take {n} from it"],
      test: ["subtract {n} from the number", "make the number {n} smaller", "it falls by {n}"],
    },
  },
  double: {
    openers: ["", "then ", "after that ", "now "],
    alone: {
      train: [
        "double it",
        "multiply it by 2",
        "take it two times",
        "make it twice as large",
        "the number doubles",
        "it becomes twice as large",
      ],
      validation: ["make the number twice as large"],
      test: ["double the number", "it doubles", "multiply the number by 2"],
    },
  },
  ask: {
    openers: [""],
    alone: {
      train: ["what is the result?", "what number is it now?", "find the result.", "what do you get?"],
      validation: ["what is it now?", "what is the number in the end?"],
      test: ["what is the number now?", "what result do you get?", "find the number in the end."],
    },
  },
});
