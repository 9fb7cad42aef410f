/** The style: light or dark as the browser prefers, from 320 pixels on. */

export const ICON =
  '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 16 16"><path d="M8 1l6 2v5c0 4-3 6-6 7-3-1-6-3-6-7V3z" fill="#2f6f8f"/><path d="M5 8l2 2 4-4" fill="none" stroke="#fff" stroke-width="2"/></svg>';

export const STYLE = `:root {
  color-scheme: light dark;
  --page: #fff; --panel: #f4f6f8; --line: #d5dbe1; --text: #1c2329; --soft: #56616b;
  --link: #0b5f86; --well: #17692f; --degraded: #855400; --bad: #b3261e;
}
@media (prefers-color-scheme: dark) {
  :root {
    --page: #14181c; --panel: #1d2329; --line: #38424c; --text: #e4e9ee; --soft: #a3aeb8;
    --link: #7cc4e8; --well: #6fcf87; --degraded: #e8b450; --bad: #ff8f85;
  }
}
* { box-sizing: border-box; }
html { background: var(--page); color: var(--text); font: 1rem/1.5 system-ui, sans-serif; }
body { margin: 0 auto; padding: 0 1rem 3rem; max-width: 68rem; background: var(--page); }
a { color: var(--link); text-underline-offset: .15em; }
:focus-visible { outline: 3px solid var(--link); outline-offset: 2px; }
header { display: flex; flex-wrap: wrap; gap: .25rem 1.5rem; align-items: baseline; padding: 1rem 0 .5rem;
  border-bottom: 1px solid var(--line); margin-bottom: 1.5rem; }
header strong { font-size: 1.1rem; }
nav { display: flex; flex-wrap: wrap; gap: .25rem 1.1rem; }
nav a { padding: .25rem 0; text-decoration: none; }
nav a:hover, nav a[aria-current] { text-decoration: underline; }
nav a[aria-current] { color: var(--text); font-weight: 600; }
.skip { position: absolute; left: -99rem; }
.skip:focus { left: 1rem; top: .5rem; background: var(--page); padding: .25rem .5rem; }
h1 { font-size: 1.5rem; line-height: 1.3; margin: 0 0 1rem; overflow-wrap: anywhere; }
h2 { font-size: 1.15rem; margin: 2.25rem 0 .5rem; } h3 { font-size: 1rem; margin: 1.25rem 0 .5rem; }
p { margin: .5rem 0; } .lines { white-space: pre-line; }
.soft, .soft a { color: var(--soft); }
.well { color: var(--well); } .degraded { color: var(--degraded); } .bad { color: var(--bad); }
.state { white-space: nowrap; }
.state::before { content: ''; display: inline-block; width: .6em; height: .6em; margin-right: .45em;
  border-radius: 50%; background: currentColor; }
.state.degraded::before { border-radius: 0; } .state.bad::before { border-radius: 0; rotate: 45deg; }
.truth { border-left: .35rem solid currentColor; background: var(--panel); padding: 1rem 1.25rem;
  margin: 0 0 1.25rem; border-radius: .25rem; }
.truth h1 { margin: 0; color: var(--text); font-size: 1.35rem; }
.truth p, .truth li { color: var(--text); } .truth .state { font-weight: 600; margin: 0 0 .25rem; color: inherit; }
.truth ul { margin: .75rem 0 0; padding-left: 1.2rem; }
.note, #gone { background: var(--panel); border: 1px solid var(--line); border-radius: .25rem;
  padding: .6rem .9rem; overflow-wrap: anywhere; }
#gone { border-color: var(--bad); }
code, pre { font: .875rem/1.5 ui-monospace, monospace; overflow-wrap: break-word; }
pre { background: var(--panel); border: 1px solid var(--line); border-radius: .25rem; padding: .75rem 1rem;
  white-space: pre-wrap; margin: .5rem 0 1rem; }
.added { color: var(--well); } .removed { color: var(--bad); }
.run { display: flex; flex-wrap: wrap; gap: .25rem .5rem; color: var(--text); align-items: center; margin: .4rem 0; }
.run code { background: var(--panel); border: 1px solid var(--line); border-radius: .25rem;
  padding: .15rem .5rem; min-width: 0; }
button, input, select { font: inherit; color: var(--text); min-height: 2.4rem; background: var(--page); border: 1px solid var(--soft);
  border-radius: .25rem; padding: .35rem .7rem; max-width: 100%; }
button { cursor: pointer; } button:hover { background: var(--panel); }
.copy { font-size: .8rem; padding: .1rem .5rem; min-height: 1.75rem; flex: none; }
.tables { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-size: .9375rem; }
caption { text-align: left; }
th, td { text-align: left; vertical-align: top; padding: .4rem 1.5rem .4rem 0; border-top: 1px solid var(--line);
  overflow-wrap: break-word; }
thead th { border: 0; color: var(--soft); font-weight: 400; font-size: .85rem; white-space: nowrap; }
tbody th { font-weight: 600; }
.number { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
.when { white-space: nowrap; }
tr.why td, tr.why th { border: 0; padding-top: 0; font-size: .875rem; overflow-wrap: anywhere; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .2rem 1.25rem; margin: .5rem 0; }
dt { color: var(--soft); } dt::first-letter, thead th::first-letter { text-transform: uppercase; } dd { margin: 0; min-width: 0; overflow-wrap: anywhere; }
figure { margin: .75rem 0 1rem; }
figure svg { display: block; width: 100%; height: 8rem; background: var(--panel);
  border-bottom: 1px solid var(--soft); }
figure rect { fill: var(--link); }
figure polyline { fill: none; stroke: var(--link); stroke-width: 2; vector-effect: non-scaling-stroke; }
figcaption, .axis { color: var(--soft); font-size: .85rem; }
.axis { display: flex; justify-content: space-between; }
.share { width: 30%; min-width: 4rem; } .share svg { width: 100%; height: .6rem; display: block; margin-top: .45rem; }
.share rect { fill: var(--link); }
form { display: flex; flex-wrap: wrap; gap: .5rem; align-items: end; margin: .5rem 0 1rem; }
label { display: grid; gap: .15rem; color: var(--soft); font-size: .875rem; }
label input, label select { color: var(--text); font-size: 1rem; }
.wide { flex: 1 1 16rem; }
@media (max-width: 40rem) {
  body { padding: 0 .75rem 2rem; }
  .less { display: none; }
  th, td { padding-right: .5rem; font-size: .875rem; } .when, thead th { white-space: normal; }
  nav { gap: .25rem .8rem; font-size: .9375rem; }
  dl { grid-template-columns: 1fr; gap: 0; } dd { margin-bottom: .5rem; }
}
`;
