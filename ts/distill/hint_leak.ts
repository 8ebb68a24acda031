/**
 * Finds traces that give away that their author was told the verdict. A judge that learns from such a trace learns to
 * claim knowledge that it does not have.
 *
 * @module
 */
import { isCitation, structureOf } from "../cor/tags.ts";

const KNOWN = "(?:correct|right|true|actual|gold(?:en)?|given|known|provided|supplied|expected|intended|" +
  "reference|ground[- ]truth|official|target)";
const VERDICT = "(?:final )?(?:verdict|label|ground[- ]truth)s?";
const GIVEN = "(?:given|provided|supplied|known|told|revealed|shown)";
const EARLIER = "(?:earlier|previous|prior|preceding|initial|original|wrong|incorrect|flawed|rejected)";
/** What a task itself gives: "as given in the question" says nothing of a verdict. */
const TASK =
  "(?:in|by|for|from|to) (?!me\\b|us\\b|the (?:note|hint|verdict|label|instructions|earlier|previous))";

/**
 * Ways of naming the hint: phrases that a judge who saw the question and the two answers alone has no use for. The
 * rule would rather reject a sound trace than keep a telling one: where a task is itself about labels, "the correct
 * label" is rejected, too. "The correct answer" is not: it is the answer to the Client's question.
 */
const LEAKS: readonly RegExp[] = [
  `${KNOWN} ${VERDICT}`,
  `(?:correct|known|provided|expected|reference) judge?ments?`,
  `(?:verdict|label|judge?ment|better response)s? (?:that |which )?(?:(?:is|was|were|has been|had been) )?` +
  `(?:already )?${GIVEN}`,
  `known (?:to be )?(?:the )?(?:better|winning|winner)`,
  `(?:knowing|given|granted) that (?:chatbot )?[ab] (?:is|was) (?:known|stated|said|supposed|meant|expected) to`,
  `as (?:was |is |already )?given(?! ${TASK})`,
  `(?:i|we) (?:was|were|am|are|have been|had been) (?:already )?(?:told|informed|notified|tipped|hinted)`,
  `(?:i|we)'(?:m|re|ve been) (?:already )?(?:told|informed|notified)`,
  `(?:i|we) (?:was|were|am|are|have been|had been) (?:given|shown|provided with|instructed|asked|required) ` +
  `(?:the (?:verdict|label|correct|right|${EARLIER})|to (?:conclude|justify|reach|arrive|rationali[sz]e|prefer))`,
  `(?:i|we) (?:already |do )?know (?:in advance|beforehand|from the (?:verdict|label|hint))`,
  `${EARLIER} (?:evaluation|trace|verdict|judge?ment|draft evaluation)`,
  `${EARLIER} evaluator`,
  `(?:dataset|human|preference|annotated|annotator's) (?:label|verdict|annotation)s?`,
].map((phrase) => new RegExp(`(?<![\\p{L}\\p{N}])${phrase.replaceAll(" ", "\\s+")}(?![\\p{L}\\p{N}])`, "iu"));

/** A phrase by which a trace names the hint. */
export interface HintLeak {
  /** As the trace has it. */
  readonly phrase: string;
  /** Its offset in the trace, in UTF-16 code units. */
  readonly offset: number;
}

/**
 * The first phrase of a trace that names the hint, null where there is none. Quotes and summaries do not count: they
 * are an answer's text.
 */
export function findHintLeak(trace: string): HintLeak | null {
  const own = ownWords(trace);
  const [first] = LEAKS.map((pattern) => pattern.exec(own)).filter((match) => match !== null)
    .sort((x, y) => x.index - y.index);
  return first === undefined
    ? null
    : { phrase: trace.slice(first.index, first.index + first[0].length), offset: first.index };
}

/** The text with as many signs in place of what is cited, and with plain apostrophes. */
function ownWords(trace: string): string {
  let result = "";
  let from = 0;
  for (const { name, start, end } of structureOf(trace).elements) {
    if (!isCitation(name) || start < from) continue;
    result += trace.slice(from, start) + "#".repeat(end - start);
    from = end;
  }
  return (result + trace.slice(from)).replaceAll("\u2019", "'");
}
