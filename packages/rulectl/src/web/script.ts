/** What runs in the browser: small, and without it a page is as true, but for the first step. */

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

/** Shows what changed, and copies commands. */
export const PAGE_SCRIPT = `'use strict';
const find = (what) => document.querySelector(what);
const places = () => [...document.querySelectorAll('main :is(a, button, [tabindex])')];
let timer;
let isDue = false;
async function reload() {
  timer = undefined;
  isDue = document.hidden;
  if (isDue) return;
  const answer = await fetch(location.href).catch(() => undefined);
  find('#gone').hidden = answer?.ok === true;
  if (answer?.ok !== true) return;
  const page = new DOMParser().parseFromString(await answer.text(), 'text/html');
  const focused = places().indexOf(document.activeElement);
  find('main').replaceChildren(...page.querySelector('main').childNodes);
  if (focused >= 0) places()[focused]?.focus({ preventScroll: true });
}
const soon = () => { timer ??= setTimeout(reload, 300); };
if (document.body.dataset.events) {
  const events = new EventSource(document.body.dataset.events);
  events.onopen = soon;
  events.onmessage = soon;
  events.onerror = () => { find('#gone').hidden = false; };
  document.addEventListener('visibilitychange', () => { if (isDue) soon(); });
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
