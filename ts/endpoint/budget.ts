/**
 * A budget that is never passed: each call reserves the most that it can take before it is sent.
 *
 * @module
 */
import type { CallTokens } from "./call.ts";
import type { Spent } from "./journal.ts";

/** What a million tokens cost. */
export interface Prices {
  readonly input: number;
  readonly output: number;
}

/** Most that calls may take, over all sessions of their journal. */
export interface BudgetLimits {
  /** In the currency of the prices. */
  readonly cost?: number;
  readonly calls?: number;
  /** Input and output together. */
  readonly tokens?: number;
}

/** What was or may be taken. `cost` is null where prices are not known. */
export interface Amount {
  readonly calls: number;
  readonly tokens: number;
  readonly cost: number | null;
}

type ByPass<T> = { readonly 1: T; readonly 2: T };

/**
 * Keeps account of calls: of those that have ended what they took, of those under way the most that they can take.
 * Sums are of whole tokens, so that no rounding adds up.
 */
export class Budget {
  readonly #limits: BudgetLimits;
  readonly #prices: ByPass<Prices | null>;
  #spent: ByPass<Spent>;
  #reserved: ByPass<Spent> = { 1: NOTHING, 2: NOTHING };
  #waiting: (() => void)[] = [];

  /**
   * @param prices of each pass's model, null where they are not known
   * @param spent by the journal's earlier sessions
   * @throws {RangeError} A limit of the cost, and prices that are not known.
   */
  constructor(limits: BudgetLimits, prices: ByPass<Prices | null>, spent: ByPass<Spent>) {
    if (limits.cost !== undefined && (prices[1] === null || prices[2] === null)) {
      throw new RangeError("A budget in currency needs the prices of input and output tokens");
    }
    this.#limits = limits;
    this.#prices = prices;
    this.#spent = { 1: spent[1], 2: spent[2] };
  }

  /** What was taken so far; of calls whose end is not known, the most that they can have taken. */
  get spent(): Amount {
    return this.#amountOf(this.#spent);
  }

  /** The most that the calls under way can take. */
  get reserved(): Amount {
    return this.#amountOf(this.#reserved);
  }

  /**
   * Sets aside the most that a call can take. Where that is only wanting because of other calls' room, it waits for
   * their ends; null where there is not enough without them, either.
   */
  async reserve(pass: 1 | 2, worst: CallTokens): Promise<Reservation | null> {
    const amount = { calls: 1, tokens: worst };
    while (!this.#fits(pass, amount)) {
      if (this.#reserved[1].calls + this.#reserved[2].calls === 0) return null;
      await new Promise<void>((go) => this.#waiting.push(go));
    }
    this.#reserved = { ...this.#reserved, [pass]: sum(this.#reserved[pass], amount, 1) };
    return {
      settle: (tokens) => {
        this.#reserved = { ...this.#reserved, [pass]: sum(this.#reserved[pass], amount, -1) };
        this.#spent = { ...this.#spent, [pass]: sum(this.#spent[pass], { calls: 1, tokens }, 1) };
        const waiting = this.#waiting;
        this.#waiting = [];
        for (const go of waiting) go();
      },
    };
  }

  #fits(pass: 1 | 2, amount: Spent): boolean {
    const { calls = Infinity, tokens = Infinity, cost = Infinity } = this.#limits;
    const all = {
      1: sum(this.#spent[1], this.#reserved[1], 1),
      2: sum(this.#spent[2], this.#reserved[2], 1),
    };
    const then = this.#amountOf({ ...all, [pass]: sum(all[pass], amount, 1) });
    return then.calls <= calls && then.tokens <= tokens && (then.cost ?? 0) <= cost;
  }

  #amountOf(spent: ByPass<Spent>): Amount {
    const costs = ([1, 2] as const).map((pass) => costOf(spent[pass], this.#prices[pass]));
    return {
      calls: spent[1].calls + spent[2].calls,
      tokens: spent[1].tokens.input + spent[1].tokens.output + spent[2].tokens.input + spent[2].tokens.output,
      cost: costs.some((cost) => cost === null) ? null : costs[0]! + costs[1]!,
    };
  }
}

/** Room that was set aside for a call. */
export interface Reservation {
  /** Gives the room back and books what the call took; to be called once. */
  settle(taken: CallTokens): void;
}

/** What calls cost: null where the prices are not known, and there were any. */
export function costOf({ calls, tokens: { input, output } }: Spent, prices: Prices | null): number | null {
  if (calls === 0) return 0;
  return prices === null ? null : (input * prices.input + output * prices.output) / 1e6;
}

const NOTHING: Spent = { calls: 0, tokens: { input: 0, output: 0 } };

function sum(x: Spent, y: Spent, sign: 1 | -1): Spent {
  return {
    calls: x.calls + sign * y.calls,
    tokens: {
      input: x.tokens.input + sign * y.tokens.input,
      output: x.tokens.output + sign * y.tokens.output,
    },
  };
}
