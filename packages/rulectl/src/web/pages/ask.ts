/**
 * Two forms: the verdict on a packet or a name, and the lists and rules that contain an address or a name.
 */

import type { ControlRecord, ControlRecordOf } from '@rulecast/protocol';
import type { LiveAnswers } from '../../control/live.ts';
import { renderDecision, renderHolder, renderStep } from '../../render/holding.ts';
import { renderVerdict, viewOf } from '../../render/verdict.ts';
import { DIRECTIONS } from '../../terminal/packets.ts';
import { PLAIN } from '../../terminal/terminal.ts';
import { type Html, html } from '../html.ts';
import type { Model } from '../model.ts';
import { firsts, namesText, type Page, sentence, shown } from './frame.ts';

/** Firewalls that did not answer; `rulectl test` names all. */
const MISSING_SHOWN = 10;
const TEXT_MAX_CHARS = 512;
const WAYS = { egress: 'from a qube', ingress: 'to a qube', both: 'between two qubes' } as const;
const SELECTED = html` selected`;

export async function askPage(model: Model, query: URLSearchParams): Promise<Page> {
  const packet = textOf(query, 'packet');
  const what = textOf(query, 'what');
  const direction = DIRECTIONS.find((one) => one === query.get('direction')) ?? 'egress';
  const [verdicts, holders] = await Promise.all([
    packet === '' ? undefined : shown(model.verdicts(packet, direction), (all) => verdictsPart(packet, all)),
    what === '' ? undefined : shown(model.holders(what), holdersPart),
  ]);
  const ways = DIRECTIONS.map(
    (one) => html`<option value="${one}"${one === direction ? SELECTED : undefined}>${WAYS[one]}</option>`,
  );
  const main = html`<h1>Ask</h1>
<h2>What happens to this packet, or this name?</h2><p class="soft" id="how">Such as <code>10.137.0.5 &gt; 192.0.2.7 tcp/443</code>, or <code>work &gt; 192.0.2.7 udp/53</code> from a qube of the policy work, or the name that it asks for: <code>work ? ads.example</code></p>
<form><label class="wide">Packet or name<input name="packet" value="${packet}" placeholder="10.137.0.5 &gt; 192.0.2.7 tcp/443" aria-describedby="how" maxlength="${TEXT_MAX_CHARS}" required></label><label>It goes<select name="direction">${ways}</select></label><button>Ask the firewalls</button></form>${verdicts}
<h2>Which lists hold this address or name?</h2><form><label class="wide">Address, prefix or name<input name="what" value="${what}" placeholder="192.0.2.7" maxlength="${TEXT_MAX_CHARS}" required></label><button>Look</button></form>${holders}`;
  return { title: 'Ask', view: 'ask', isLive: false, main };
}

function textOf(query: URLSearchParams, name: string): string {
  return (query.get(name) ?? '').trim();
}

/** Groups firewalls with the same verdict. */
function verdictsPart(packet: string, { verdicts, missing }: LiveAnswers): Html {
  const alike = new Map<string, ControlRecordOf<'verdict'>[]>();
  for (const verdict of verdicts) {
    const { subscriber: _whose, ...view } = viewOf(verdict);
    const key = JSON.stringify(view);
    alike.set(key, [...(alike.get(key) ?? []), verdict]);
  }
  const parts = [...alike.values()].map((group) => {
    const [first] = group;
    if (first === undefined) return undefined;
    const who = namesText(group.map(({ subscriber }) => subscriber));
    return html`<pre>${renderVerdict(packet, { ...viewOf(first), subscriber: who }, PLAIN)}</pre>`;
  });
  const without = missing.map(
    ({ subscriber, text }) =>
      html`<p class="note">${subscriber === undefined ? 'No verdict' : `No verdict of ${subscriber}`}: ${sentence(text)}</p>`,
  );
  return html`${parts}${firsts(without, MISSING_SHOWN, 'rulectl status', (some) => html`${some}`)}`;
}

function holdersPart(records: readonly ControlRecord[]): Html {
  const lines = records.flatMap((record) => {
    if (record.record === 'holder') return [renderHolder(record, PLAIN)];
    if (record.record === 'decision') return [renderDecision(record, PLAIN)];
    if (record.record === 'step') return [renderStep(record, PLAIN)];
    return record.record === 'warning' ? [record.reason] : [];
  });
  if (!records.some(({ record }) => record === 'holder' || record === 'decision'))
    return html`<p>Nothing holds it.</p>`;
  return html`<pre>${lines.join('\n')}</pre>`;
}
