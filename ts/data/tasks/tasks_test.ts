import { expect } from "expect";
import fc from "fast-check";
import type { Fault } from "./answers.ts";
import { checkQuotes, parseTrace } from "../../cor/trace.ts";
import { bothOrders } from "../placement.ts";
import { traceFromData } from "../traces.ts";
import { type Problem, splitOfQuantity } from "./problem.ts";
import { drawTasks, generateTasks, type Task } from "./tasks.ts";
import type { Split } from "../record.ts";
import { ITEMS, NUMBER, type Slot, STORY, SUBJECTS } from "./wordings.ts";

const SPLITS: readonly Split[] = ["train", "validation", "test"];
const COUNT = 3000;
const TASKS: Readonly<Record<Split, readonly Task[]>> = {
  train: [...drawTasks({ seed: 5, split: "train", count: COUNT })],
  validation: [...drawTasks({ seed: 5, split: "validation", count: COUNT })],
  test: [...drawTasks({ seed: 5, split: "test", count: COUNT })],
};

/** What every sentence that adds has, and none that subtracts. */
const UP =
  /more|another|buys|bought|finds|found|wins|won|gets|makes|made|\badd|come|friend gives|larger|grows|increase|sum/i;

/** Works the problem out from its text alone, so that a label never rests on the generator's own steps. */
function solve(text: string): number {
  const dozenOrWeek = /dozen/.test(text) ? 12 : /week/.test(text) ? 7 : null;
  const [first, ...others] = text.split(/(?<=[.?]) /);
  const numbers = [...first!.matchAll(/\d+/g)].map(([digits]) => Number(digits));
  let total = numbers.reduce((product, factor) => product * factor, dozenOrWeek ?? 1);
  for (const sentence of others) {
    const number = Number(/\d+/.exec(sentence)?.[0]);
    if (/doubl|twice|two times|by 2\./i.test(sentence)) total *= 2;
    else if (/\d/.test(sentence)) {
      total += UP.test(sentence) ? number : -number;
    }
  }
  return total;
}

function finalNumber(answer: string): number {
  return Number(/(\d+)\.$/.exec(answer)![1]);
}

function sentences(split: Split): Set<string> {
  const all = [STORY, NUMBER].flatMap((theme) => Object.values(theme[split]).flat());
  return new Set(all.map((sentence) => sentence.toLowerCase()));
}

function words(split: Split): Set<string> {
  return new Set([...sentences(split)].flatMap((sentence) => sentence.match(/[a-z]+/g)!));
}

/** The sentences of a problem with their numbers, subject and things taken out. */
function frames({ text }: Problem): string[] {
  const subject = new RegExp(`\\b(${SUBJECTS.join("|")})\\b`, "gi");
  const item = new RegExp(`\\b(${ITEMS.join("|")})\\b`, "g");
  return text.split(/(?<=[.?]) /).map((sentence) =>
    sentence.replace(/(?<!by )\d+/g, "#").replace(/by \d+/, "by #").replace(subject, "@").replace(item, "*")
      .toLowerCase()
  );
}

Deno.test("the chosen answer is right and the rejected one wrong, worked out from the text", () => {
  for (const split of SPLITS) {
    for (const { record, problem } of TASKS[split]) {
      const right = solve(problem.text);
      expect([problem.text, finalNumber(record.chosen)]).toEqual([problem.text, right]);
      expect([problem.text, finalNumber(record.rejected)]).not.toEqual([problem.text, right]);
    }
  }
});

Deno.test("the solution's steps follow from each other", () => {
  for (const split of SPLITS) {
    for (const { record } of TASKS[split]) {
      let total: number | null = null;
      for (const line of record.solution!.split("\n")) {
        const [, left, operation, right, value] = /^(\d+)([-+*])(\d+)=(\d+)$/.exec(line)!;
        if (total !== null) expect(Number(left)).toBe(total);
        const [x, y] = [Number(left), Number(right)];
        total = Number(value);
        expect(total).toBe(operation === "+" ? x + y : operation === "-" ? x - y : x * y);
      }
      expect(total).toBe(finalNumber(record.chosen));
    }
  }
});

Deno.test("every task has a trace in both places, and its quotes stand in the answers", () => {
  for (const split of SPLITS) {
    for (const { record } of TASKS[split].slice(0, 500)) {
      for (const pair of bothOrders(record)) {
        const made = traceFromData(pair);
        if ("skipped" in made) throw new Error(`Task "${record.id}" has no trace: ${made.skipped}`);
        const trace = parseTrace(made.trace);
        expect(trace.verdict).toEqual({ kind: pair.gold });
        expect(trace.solution).toBe(record.solution);
        expect(checkQuotes(trace, pair).map(({ found }) => found)).toEqual(["exact", "exact"]);
      }
    }
  }
});

Deno.test("each split states only quantities of its own ranges", () => {
  for (const split of SPLITS) {
    const digits: [Set<string>, Set<string>] = [new Set(), new Set()];
    for (const { problem } of TASKS[split]) {
      expect(problem.quantities.length).toBeGreaterThan(0);
      for (const quantity of problem.quantities) {
        expect(splitOfQuantity(quantity)).toBe(split);
        expect(problem.text).toContain(String(quantity));
        digits[0].add(String(quantity)[0]!);
        digits[1].add(String(quantity)[1]!);
      }
    }
    if (split === "train") {
      expect(digits.map((seen) => [...seen].sort().join(""))).toEqual(["123456789", "0123456789"]);
    }
  }
});

Deno.test("each split has sentences of its own, all made of words that training knows", () => {
  const known = words("train");
  for (const split of ["validation", "test"] as const) {
    expect([...words(split)].filter((word) => !known.has(word))).toEqual([]);
  }
  for (
    const [split, other] of [["train", "validation"], ["train", "test"], ["validation", "test"]] as const
  ) {
    expect([...sentences(split)].filter((sentence) => sentences(other).has(sentence))).toEqual([]);
    const seen = new Set(TASKS[split].flatMap(({ problem }) => frames(problem)));
    expect(TASKS[other].flatMap(({ problem }) => frames(problem)).filter((frame) => seen.has(frame))).toEqual(
      [],
    );
  }
});

Deno.test("every slot of every split and theme has sentences, with the places that it needs", () => {
  const places: Readonly<Record<Slot, readonly string[]>> = {
    hold: ["{n}"],
    groups: ["{k}", "{m}"],
    dozens: ["{k}"],
    week: ["{k}"],
    plus: ["{n}"],
    minus: ["{n}"],
    double: [],
    ask: [],
  };
  for (const theme of [STORY, NUMBER]) {
    for (const split of SPLITS) {
      for (const [slot, wordings] of Object.entries(theme[split])) {
        expect(wordings.length).toBeGreaterThan(0);
        for (const wording of wordings) {
          const found = wording.match(/\{[nkm]\}/g) ?? [];
          expect([wording, [...found].sort()]).toEqual([wording, places[slot as Slot]]);
        }
      }
    }
  }
});

Deno.test("ids and problems are unique", () => {
  for (const split of SPLITS) {
    expect(new Set(TASKS[split].map(({ record }) => record.id)).size).toBe(COUNT);
    expect(new Set(TASKS[split].map(({ record }) => record.group)).size).toBe(COUNT);
  }
});

Deno.test("no cue of length or wording tells the right answer", () => {
  const layoutOf = (answer: string): string => answer.replace(/\d+/g, "").replace(/[^A-Z]/g, "");
  for (const split of SPLITS) {
    let longer = 0;
    let moreLines = 0;
    const layouts = new Map<string, number>();
    for (const { record: { chosen, rejected } } of TASKS[split]) {
      longer += Math.sign(chosen.length - rejected.length);
      moreLines += Math.sign(chosen.split("\n").length - rejected.split("\n").length);
      layouts.set(layoutOf(chosen), (layouts.get(layoutOf(chosen)) ?? 0) + 1);
      layouts.set(layoutOf(rejected), (layouts.get(layoutOf(rejected)) ?? 0) - 1);
    }
    // A share of 50 % that is off by 3 points is a difference of 6 % of the tasks.
    expect(Math.abs(longer)).toBeLessThan(0.06 * COUNT);
    expect(Math.abs(moreLines)).toBeLessThan(0.06 * COUNT);
    for (const difference of layouts.values()) expect(Math.abs(difference)).toBeLessThan(0.05 * COUNT);
  }
});

Deno.test("every fault happens in every split", () => {
  const faults: readonly Fault[] = ["arithmetic", "operand", "operation", "omitted", "repeated"];
  for (const split of SPLITS) {
    for (const fault of faults) {
      const share = TASKS[split].filter((task) => task.fault === fault).length / COUNT;
      expect([split, fault, share > 0.01]).toEqual([split, fault, true]);
    }
  }
});

Deno.test("a set depends on its seed alone, and a shorter one is the start of a longer one", () => {
  fc.assert(
    fc.property(
      fc.nat(0xffffffff),
      fc.constantFrom(...SPLITS),
      fc.nat(20),
      fc.nat(20),
      (seed, split, count, more) => {
        const longer = generateTasks({ seed, split, count: count + more });
        expect(generateTasks({ seed, split, count })).toEqual(longer.slice(0, count));
      },
    ),
    { numRuns: 30 },
  );
});

Deno.test("a seed or count that is no unsigned integer is refused", () => {
  expect(() => generateTasks({ seed: 1.5, split: "train", count: 1 })).toThrow('"seed"');
  expect(() => generateTasks({ seed: 1, split: "train", count: -1 })).toThrow('"count"');
});
