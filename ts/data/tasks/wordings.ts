/**
 * The sentences that problems are made of. A problem is told in one theme: an opening, a sentence an operation, a
 * question. Each split has sentences of its own; those of validation and test use only words that training knows.
 *
 * `{n}` is a stated quantity, `{k}` and `{m}` are factors, `{who}` (`{Who}` at the start of a sentence) is who the
 * story is about, `{item}` what is counted.
 *
 * @module
 */

/** A set of tasks. Validation is for choosing settings, test for measuring. */
export type Split = "train" | "validation" | "test";

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

/** The sentences of one theme and split, by slot. */
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

/** A story about things that someone has. */
export const STORY: Readonly<Record<Split, Wordings>> = {
  train: {
    hold: [
      "{Who} has {n} {item}.",
      "{Who} starts with {n} {item}.",
      "At first {who} has {n} {item}.",
      "On Monday {who} counts {n} {item}.",
      "{Who} keeps {n} {item} in a box.",
      "There are {n} {item} in a box.",
      "{Who} finds {n} {item}.",
      "{n} {item} belong to {who}.",
      "In the morning {who} has {n} {item}.",
      "In the morning there are {n} {item}.",
      "{Who} owns a box of {n} {item}.",
      "On Monday {who} buys {n} {item}.",
    ],
    groups: [
      "{Who} has {k} boxes with {m} {item} each.",
      "There are {k} bags of {m} {item}.",
      "{Who} buys {k} boxes of {m} {item}.",
      "{Who} fills {k} bags with {m} {item} each.",
      "Each of {k} friends gives {who} {m} {item}.",
      "There are {m} {item} in each of {k} boxes.",
    ],
    dozens: [
      "{Who} buys {k} dozen {item}.",
      "{Who} starts with {k} dozen {item}.",
      "There are {k} dozen {item}.",
    ],
    week: [
      "{Who} makes {k} {item} a day for a week.",
      "{Who} finds {k} {item} a day for a week.",
      "For a week {who} gets {k} {item} a day.",
    ],
    plus: [
      "{Who} buys {n} more {item}.",
      "Then {who} gets {n} more.",
      "Later {who} finds {n} more {item}.",
      "A friend gives {who} {n} {item}.",
      "{n} more {item} come in the mail.",
      "{Who} wins {n} {item}.",
      "After that {who} adds {n} {item}.",
      "{Who} gets another {n}.",
      "In the evening {n} {item} are added.",
      "Then {who} takes {n} more {item} from a friend.",
      "On Tuesday {who} makes another {n} {item}.",
      "Then {n} {item} come from a friend.",
    ],
    minus: [
      "{Who} sells {n} {item}.",
      "Then {who} loses {n}.",
      "{Who} gives {n} {item} to a friend.",
      "Later {n} {item} break.",
      "{Who} uses {n} of them.",
      "After that {n} {item} are lost.",
      "{Who} throws {n} {item} away.",
      "On Tuesday {n} {item} are sold.",
      "Then a friend takes {n} of the {item}.",
      "In the evening {who} gives {n} away.",
      "Then {n} of them go to a friend.",
      "Later {who} sells {n} of the {item}.",
    ],
    double: [
      "Then the number of {item} doubles.",
      "{Who} doubles the {item}.",
      "After that there are twice as many {item}.",
      "Later {who} has twice as many.",
      "In the evening there are two times as many {item}.",
      "On Tuesday the {item} become twice as many.",
    ],
    ask: [
      "How many {item} does {who} have now?",
      "How many {item} are there in the end?",
      "What is the number of {item} now?",
      "How many {item} are there now?",
      "Find the number of {item}.",
      "How many does {who} have in the end?",
    ],
  },
  validation: {
    hold: ["{Who} counts {n} {item} in the morning.", "On Monday there are {n} {item} in a box."],
    groups: ["{Who} keeps {k} bags of {m} {item}."],
    dozens: ["On Monday {who} has {k} dozen {item}."],
    week: ["{Who} buys {k} {item} a day for a week."],
    plus: ["Later {n} {item} are added.", "{Who} adds another {n} {item}."],
    minus: ["Then {n} of the {item} break.", "In the evening {who} loses {n} {item}."],
    double: ["Later the number of {item} doubles."],
    ask: ["Find the number of {item} now.", "How many {item} are there in the box in the end?"],
  },
  test: {
    hold: [
      "At first there are {n} {item} in a box.",
      "On Monday {who} finds a box with {n} {item}.",
      "{Who} has a box of {n} {item} in the morning.",
      "In the morning {who} starts with {n} {item}.",
    ],
    groups: [
      "{Who} finds {k} bags with {m} {item} each.",
      "At first there are {m} {item} in each of {k} bags.",
    ],
    dozens: ["In the morning there are {k} dozen {item} in a box.", "At first {who} has {k} dozen {item}."],
    week: ["For a week {who} makes {k} {item} a day.", "A friend gives {who} {k} {item} a day for a week."],
    plus: [
      "Later a friend adds {n} more {item}.",
      "After that {who} wins another {n}.",
      "In the evening {who} gets {n} {item} in the mail.",
      "On Tuesday {who} buys another {n} {item}.",
    ],
    minus: [
      "Later {who} throws {n} of them away.",
      "On Tuesday {who} loses {n} {item}.",
      "After that {n} of the {item} are sold.",
      "In the evening {who} uses {n} {item}.",
    ],
    double: ["After that {who} doubles the number of {item}.", "Then there are two times as many."],
    ask: [
      "How many {item} does {who} have in the end?",
      "Find the number of {item} in the end.",
      "How many {item} are in the box now?",
    ],
  },
};

/** An exercise about a bare number. */
export const NUMBER: Readonly<Record<Split, Wordings>> = {
  train: {
    hold: [
      "Start with {n}.",
      "Take the number {n}.",
      "Begin with the number {n}.",
      "A number is {n}.",
      "Think of the number {n}.",
      "The first number is {n}.",
    ],
    groups: [
      "Multiply {k} by {m}.",
      "Take {k} times {m}.",
      "Start with the product of {k} and {m}.",
      "Begin with {k} times {m}.",
    ],
    dozens: ["Start with {k} dozen.", "A number is {k} dozen."],
    week: ["Take the number of days in {k} weeks.", "Begin with the days of {k} weeks."],
    plus: [
      "Add {n}.",
      "Then add {n} to it.",
      "Make it {n} larger.",
      "It grows by {n}.",
      "Then increase it by {n}.",
      "After that add {n} to the number.",
      "Find the sum of it and {n}.",
    ],
    minus: [
      "Subtract {n}.",
      "Then subtract {n} from it.",
      "Make it {n} smaller.",
      "It falls by {n}.",
      "Then decrease it by {n}.",
      "After that take {n} from the number.",
      "Find the difference of it and {n}.",
    ],
    double: [
      "Double it.",
      "Then multiply it by 2.",
      "After that take it two times.",
      "Make it twice as large.",
    ],
    ask: ["What is the result?", "What number is it now?", "Find the result.", "What do you get?"],
  },
  validation: {
    hold: ["Begin with {n}.", "The number is {n} at first."],
    groups: ["Begin with the product of {k} and {m}."],
    dozens: ["Take {k} dozen."],
    week: ["Start with the days of {k} weeks."],
    plus: ["Then make it {n} larger.", "After that it grows by {n}."],
    minus: ["Then make it {n} smaller.", "After that it falls by {n}."],
    double: ["Then double it."],
    ask: ["What is it now?", "What is the number in the end?"],
  },
  test: {
    hold: ["Start with the number {n}.", "Take {n} first.", "Think of {n}."],
    groups: ["Take the product of {k} and {m}.", "Start with {k} times {m}."],
    dozens: ["Begin with {k} dozen.", "The first number is {k} dozen."],
    week: ["Start with the number of days in {k} weeks.", "Think of the days of {k} weeks."],
    plus: [
      "After that increase it by {n}.",
      "Then make the number {n} larger.",
      "Then find the sum of it and {n}.",
    ],
    minus: [
      "After that subtract {n} from it.",
      "Then make the number {n} smaller.",
      "Decrease the number by {n}.",
    ],
    double: ["Then double the number.", "After that multiply the number by 2."],
    ask: ["What is the number now?", "What result do you get?", "Find the number in the end."],
  },
};
