/**
 * How a report looks.
 *
 * @module
 */

/** The page's style sheet: light and dark as the reader's system has it, and for narrow screens too. */
export const STYLE: string = `
:root {
  color-scheme: light dark;
  --ground: #fff; --raised: #f6f7f9; --line: #d5d9e0; --ink: #1b1f27; --quiet: #586070; --link: #0b57c5;
  --good: #14682f; --good-ground: #dcf3e3; --bad: #a01c1c; --bad-ground: #fbe3e1; --odd: #7a4b00; --odd-ground: #fdefd3;
  --curve-0: #1f66c9; --curve-1: #c4560a; --curve-2: #1a7f4b; --curve-3: #a5298f;
  --curve-4: #7a6a00; --curve-5: #008090; --curve-6: #b3263e; --curve-7: #5d5f66;
}
@media (prefers-color-scheme: dark) {
  :root {
    --ground: #14171c; --raised: #1d2128; --line: #363d49; --ink: #e7e9ee; --quiet: #a3abba; --link: #86b4ff;
    --good: #7fd99a; --good-ground: #163822; --bad: #ff9c94; --bad-ground: #451d1d; --odd: #f2c46b; --odd-ground: #3f2f10;
    --curve-0: #6aa6ff; --curve-1: #ff9a4d; --curve-2: #5dcf92; --curve-3: #ec8bdb;
    --curve-4: #d9c44a; --curve-5: #4fcfdf; --curve-6: #ff8398; --curve-7: #b4b8c2;
  }
}
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 88rem; padding: 1rem clamp(0.75rem, 3vw, 2.5rem) 3rem; background: var(--ground);
  color: var(--ink); font: 1rem/1.5 system-ui, sans-serif; overflow-wrap: break-word; }
a { color: var(--link); }
h1 { font-size: 1.6rem; margin: 0.5rem 0; }
h2 { font-size: 1.25rem; margin: 2.5rem 0 0.75rem; padding-top: 0.75rem; border-top: 1px solid var(--line); }
h3 { font-size: 1.05rem; margin: 1.25rem 0 0.4rem; }
h4, h5 { font-size: 0.95rem; margin: 0.6rem 0 0.3rem; }
p { margin: 0.4rem 0; max-width: 75ch; }
small, .meta { color: var(--quiet); font-size: 0.85rem; font-weight: normal; }
nav ul, .legend { display: flex; flex-wrap: wrap; gap: 0.3rem 1.1rem; list-style: none; margin: 0.5rem 0; padding: 0; }
.legend { font-size: 0.85rem; }
.card { background: var(--raised); border: 1px solid var(--line); border-radius: 0.5rem; padding: 0.75rem 0.9rem; margin: 0; }
.figures { display: grid; gap: 1rem; grid-template-columns: repeat(auto-fill, minmax(min(100%, 24rem), 1fr)); align-items: start; }
figure h3 { margin: 0; }
figure p { color: var(--quiet); font-size: 0.85rem; margin: 0.15rem 0 0.35rem; }
figure svg { --plot-background: var(--raised); width: 100%; height: auto; }
.tiles { display: grid; gap: 1rem; grid-template-columns: repeat(auto-fit, minmax(min(100%, 15rem), 1fr)); margin: 1rem 0; padding: 0; }
.tiles dt { color: var(--quiet); font-size: 0.85rem; }
.tiles dd { margin: 0; font-size: 1.5rem; font-variant-numeric: tabular-nums; }
.tiles dd small { display: block; }
.swatch { display: inline-block; width: 1.1em; height: 0.3em; margin-right: 0.4em; vertical-align: middle; border-radius: 0.15em; }
.c0 { background: var(--curve-0); } .c1 { background: var(--curve-1); } .c2 { background: var(--curve-2); }
.c3 { background: var(--curve-3); } .c4 { background: var(--curve-4); } .c5 { background: var(--curve-5); }
.c6 { background: var(--curve-6); } .c7 { background: var(--curve-7); }
.scroll { overflow: auto; max-width: 100%; margin: 0.6rem 0; }
details > .scroll { max-height: 30rem; }
table { border-collapse: collapse; font-size: 0.875rem; font-variant-numeric: tabular-nums; }
caption { text-align: left; font-weight: 600; padding: 0.25rem 0; }
th, td { overflow-wrap: normal; border-bottom: 1px solid var(--line); padding: 0.25rem 0.9rem 0.25rem 0; text-align: left; vertical-align: top; }
th { font-weight: 600; }
tbody th { font-weight: normal; }
.config td, .config tbody th, code { font-family: ui-monospace, monospace; font-size: 0.82rem; }
summary { cursor: pointer; color: var(--link); font-size: 0.9rem; padding: 0.2rem 0; }
.pair { margin: 0.6rem 0; padding-block: 0.4rem; }
.pair > summary h4 { display: inline; margin: 0 0.75rem 0 0; }
.pair > summary span { color: var(--quiet); }
.side-by-side { display: grid; gap: 1rem; grid-template-columns: repeat(auto-fit, minmax(min(100%, 20rem), 1fr)); margin-top: 0.5rem; }
.side-by-side > * { min-width: 0; }
.text { white-space: pre-wrap; overflow-wrap: anywhere; unicode-bidi: isolate; background: var(--ground); border: 1px solid var(--line); border-radius: 0.35rem;
  padding: 0.5rem 0.65rem; font-size: 0.875rem; max-height: 28rem; overflow: auto; }
.trace { border-top: 3px solid var(--line); padding-top: 0.15rem; }
.trace.right { border-color: var(--good); } .trace.wrong { border-color: var(--bad); } .trace.unreadable { border-color: var(--odd); }
.badge { display: inline-block; border-radius: 1rem; padding: 0 0.6rem; font-size: 0.82rem; font-weight: 600; white-space: nowrap; }
.badge.right, .badge.finished { color: var(--good); background: var(--good-ground); }
.badge.wrong { color: var(--bad); background: var(--bad-ground); }
.badge.unreadable, .badge.interrupted { color: var(--odd); background: var(--odd-ground); }
.badge.running { color: var(--link); border: 1px solid currentColor; }
mark.quote { color: inherit; background: var(--odd-ground); border-radius: 0.2rem; padding: 0 0.15rem; }
mark.quote.exact, mark.quote.normalised { background: var(--good-ground); }
mark.quote.missing, mark.quote.empty { background: var(--bad-ground); }
.sign { font-weight: 700; font-size: 0.8em; }
.notice { border-left: 4px solid var(--odd); background: var(--odd-ground); padding: 0.5rem 0.8rem; border-radius: 0.25rem; }
.hidden { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); white-space: nowrap; }
:focus-visible { outline: 2px solid var(--link); outline-offset: 2px; }
@media print { details > * { display: revert; } .scroll, .text { max-height: none; } }
`;
