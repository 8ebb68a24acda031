/**
 * Whether a verdict agrees with the weights of the rubric that it rests on.
 *
 * @module
 */
import type { Trace } from "rm-r1/cor";
import type { Side } from "rm-r1/data";

/** Which answer a criterion is said to favour, and with what weight. */
interface Favoured {
  readonly weight: number;
  readonly side: Side | "neither";
}

/** What a trace's weights come to. */
export interface WeighedVerdict {
  /** Share of the weight whose criteria the evaluation says something readable of. */
  readonly readable: number;
  /** Weight for A less weight for B, of the whole weight. */
  readonly lead: number;
}

const WORD = /[\p{L}\p{N}]{4,}/gu;
const STOP = new Set([
  "chatbot",
  "response",
  "answer",
  "with",
  "that",
  "this",
  "from",
  "which",
  "their",
  "both",
]);
const BETTER = "better|stronger|superior|wins|leads|excels|more \\p{L}+|preferred";
const WORSE = "worse|weaker|inferior|loses|lags|fails|lacks|less \\p{L}+";
const SIDE = "(?:chatbot |answer |response |assistant )?([AB])(?:'s (?:answer|response))?";
const SAYS = new RegExp(`\\b${SIDE}\\b[^.;\\n]{0,40}?\\b(?:(${BETTER})|(${WORSE}))\\b`, "giu");
const EVEN = /\b(?:both|equally|equal|tie|the same|similar(?:ly)?)\b/i;

/**
 * Reads the evaluation of a Chat trace criterion by criterion: the sentences that share a word with the criterion's
 * name, and in them "A is better", "B lacks" and the like. This reads words, not meaning: the share that is readable is
 * given with it, and a trace without weights has none. null where there are no weights or no evaluation.
 */
export function weighVerdict(
  { rubric, eval: evaluation }: Pick<Trace, "rubric" | "eval">,
): WeighedVerdict | null {
  const items = rubric?.items.filter(({ weight }) => weight !== null && weight > 0) ?? [];
  if (items.length === 0 || evaluation === null) return null;
  const sentences = evaluation.replaceAll(/<\/?(?:quote|summary)_[AB]>/g, " ").split(/(?<=[.;!?])\s+|\n+/);
  const favoured = items.flatMap(({ text, weight }): Favoured[] => {
    const side = sideOf(sentences, wordsOf(text.split(/[:(]/, 1)[0]!));
    return side === null ? [] : [{ weight: weight!, side }];
  });
  const whole = items.reduce((sum, { weight }) => sum + weight!, 0);
  const weightOf = (side?: Side): number =>
    favoured.reduce((sum, each) => sum + (side === undefined || each.side === side ? each.weight : 0), 0);
  return { readable: weightOf() / whole, lead: (weightOf("A") - weightOf("B")) / whole };
}

function wordsOf(text: string): Set<string> {
  return new Set(
    [...text.toLowerCase().matchAll(WORD)].map(([word]) => word).filter((word) => !STOP.has(word)),
  );
}

function sideOf(sentences: readonly string[], criterion: ReadonlySet<string>): Favoured["side"] | null {
  const about = sentences.filter((sentence) => [...wordsOf(sentence)].some((word) => criterion.has(word)));
  let lead = 0;
  for (const sentence of about) {
    for (const [, side, better] of sentence.matchAll(SAYS)) {
      lead += (side!.toUpperCase() === "A") === (better !== undefined) ? 1 : -1;
    }
  }
  if (lead !== 0) return lead > 0 ? "A" : "B";
  return about.some((sentence) => EVEN.test(sentence)) ? "neither" : null;
}
