/** The script in the browser: small, and except for the first step pages work without it. */

/** Trades the secret of the link for a cookie. */
export const ENTER_SCRIPT = `'use strict';
const secret = location.hash.slice(1);
const say = (text) => { document.querySelector('main p').textContent = text; };
history.replaceState(null, '', '/');
if (secret === '') say('Open the whole link that rulectl web printed, with what is behind #.');
else
  fetch('/enter', { method: 'POST', body: secret }).then(async (answer) => {
    if (answer.ok) location.replace(await answer.text());
    else say(await answer.text());
  }, () => say('rulectl web has ended: start it again.'));
`;

/** Updates the page, and copies commands. */
export const PAGE_SCRIPT = `'use strict';
const find = (what) => document.querySelector(what);
const places = () => [...document.querySelectorAll('main :is(a, button, input, [tabindex])')];
/** Nothing is taken from who writes, or marks what he copies. */
const isInUse = () => !getSelection().isCollapsed
  || [...document.querySelectorAll('input')].some(({ value, defaultValue }) => value !== defaultValue);
let isDue = false;
let isLoading = false;
async function load() {
  const answer = await fetch(location.href).catch(() => undefined);
  const text = await answer?.text().catch(() => undefined);
  find('#gone').hidden = answer?.ok === true && text !== undefined;
  if (!find('#gone').hidden || isInUse()) return;
  const page = new DOMParser().parseFromString(text, 'text/html');
  const focused = places().indexOf(document.activeElement);
  find('main').replaceChildren(...page.querySelector('main').childNodes);
  if (focused >= 0) places()[focused]?.focus({ preventScroll: true });
}
async function reload() {
  isDue = true;
  if (isLoading) return;
  isLoading = true;
  while (isDue) {
    await new Promise((resolve) => { setTimeout(resolve, 300); });
    isDue = false;
    await load();
  }
  isLoading = false;
}
let events;
/** A browser has six connections to a server: a window that nobody sees takes none. */
function follow() {
  events?.close();
  if (document.hidden) return;
  events = new EventSource(document.body.dataset.events);
  events.onopen = reload;
  events.onmessage = reload;
  events.onerror = () => { find('#gone').hidden = false; };
}
if (document.body.dataset.events) {
  follow();
  document.addEventListener('visibilitychange', follow);
}
document.addEventListener('click', async ({ target }) => {
  if (!target.matches('button.copy')) return;
  const line = target.previousElementSibling;
  const isCopied = await navigator.clipboard.writeText(line.textContent).then(() => true, () => false);
  if (!isCopied) return getSelection().selectAllChildren(line);
  target.textContent = 'Copied';
  setTimeout(() => { target.textContent = 'Copy'; }, 1500);
});
`;
