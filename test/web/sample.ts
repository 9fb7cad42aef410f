/**
 * A publisher that answers with an office as it may be: five firewalls, one of them away and one that refuses
 * the newest release, a list that fails, and a day of refused packets. Always the same, for pictures; larger
 * for measurements.
 */

import type { Connection, ControlRecord, ControlRecordOf, Message } from '@rulecast/protocol';
import * as records from '../../packages/rulectl/test/records.ts';

export const { NOW_MS } = records;
const [MINUTE, HOUR] = [60_000, 3_600_000];
const ago = (ms: number): number => NOW_MS - ms;

const FIREWALLS = [
  records.subscriber({
    name: 'sys-firewall',
    version: 43,
    bound: ['socket /run/rulecast/sys-firewall.sock'],
  }),
  records.subscriber({ name: 'sys-firewall-dev', version: 43, bound: ['qube sys-firewall-dev'] }),
  records.subscriber({
    name: 'lab-firewall',
    state: 'refused',
    version: 42,
    matches: false,
    lagVersions: 1,
    lagMs: 3 * HOUR,
    refusal: {
      code: 'over-limit',
      text: 'it takes 200,000 entries, and this release has 253,704',
      atMs: ago(3 * HOUR),
    },
    bound: ['qube lab-firewall'],
  }),
  records.subscriber({
    name: 'guest-firewall',
    state: 'disconnected',
    version: 41,
    matches: false,
    lagVersions: 2,
    lagMs: 5 * HOUR,
    lastSeenMs: ago(5 * HOUR),
    bound: ['curve-key Yne@$w-vo<fVvi]a<NY6T1ed:M$fCG*[IaLV{hID'],
  }),
  records.subscriber({ name: 'vpn-firewall', version: 43, bound: ['qube vpn-firewall'] }),
];

/** A list that was read from elsewhere, some time ago. */
function list(
  name: string,
  count: number,
  changedMs: number,
  more: Partial<ControlRecordOf<'list'>> = {},
): ControlRecordOf<'list'> {
  const times = {
    fetchedAtMs: ago(25 * MINUTE),
    nextAtMs: NOW_MS + 35 * MINUTE,
    changedAtMs: ago(changedMs),
  };
  return records.list({
    name,
    count,
    origin: `https://lists.example/${name}.txt`,
    formats: ['plain'],
    ...times,
    ...more,
  });
}

const LISTS = [
  list('ads', 184_233, 2 * HOUR, { holds: 'names', added: 412, removed: 77 }),
  list('malware', 41_902, HOUR, { added: 96, removed: 18 }),
  list('phishing', 26_160, 9 * HOUR, {
    state: 'failing',
    holds: 'names',
    fetchedAtMs: ago(9 * HOUR),
    error: {
      code: 'http-status',
      text: 'lists.example answered 503: what was read before stays',
      atMs: ago(8 * HOUR),
    },
  }),
  list('spamhaus-drop', 1406, 3 * HOUR, { added: 12, removed: 3, formats: ['spamhaus'] }),
  records.list({
    ...{ name: 'office', source: 'push', origin: '', count: 3, added: 1, removed: 0, formats: [] },
    ...{ fetchedAtMs: undefined, nextAtMs: undefined, changedAtMs: ago(26 * HOUR) },
  }),
];

function release(
  version: number,
  hours: number,
  cause: ControlRecordOf<'history'>['cause'],
  changedParts: readonly string[],
  more: Partial<ControlRecordOf<'history'>> = {},
): ControlRecordOf<'history'> {
  return {
    ...{ record: 'history', epoch: 1, version, hash: records.HASH, createdAtMs: ago(hours * HOUR), cause },
    ...{ detail: changedParts[0]?.replace(/^\w+ /, '') ?? '', parts: 8, entries: 253_704, rules: 21 },
    ...{ changedParts, changedCount: changedParts.length, added: 96, removed: 18, deltaBytes: 4712 },
    ...more,
  };
}

const RELEASES = [
  release(43, 1, 'source', ['list malware']),
  release(42, 3, 'push', ['policy work', 'list office'], {
    ...{
      detail: 'office.yaml',
      by: 'anna',
      message: 'The new printer is at 198.51.100.20',
      added: 2,
      removed: 1,
    },
  }),
  release(41, 5, 'source', ['list spamhaus-drop'], { added: 12, removed: 3 }),
  release(40, 9, 'blocks', ['policy lab'], { by: 'anna', detail: 'block 203.0.113.9', added: 1, removed: 0 }),
  release(39, 20, 'source', ['list malware'], { added: 1210, removed: 60 }),
  release(38, 27, 'rollback', ['list ads'], { by: 'ben', detail: '36', added: 1800, removed: 10 }),
  release(37, 44, 'source', ['list malware'], { added: 410, removed: 900 }),
  release(36, 61, 'source', ['list malware'], { added: 2600, removed: 20 }),
  release(35, 80, 'source', ['list malware'], { added: 300, removed: 280 }),
];

const CHANGES: readonly ControlRecord[] = [
  records.change({ kind: 'policy', name: 'work', added: 1, removed: 1, unchanged: 11 }),
  records.edit({
    op: 'removed',
    kind: 'policy',
    name: 'work',
    aspect: 'egress',
    index: 4,
    lines: ['action=accept dst4=198.51.100.19/32 proto=tcp dstports=9100'],
  }),
  records.edit({
    op: 'added',
    kind: 'policy',
    name: 'work',
    aspect: 'egress',
    index: 4,
    lines: ['action=accept dst4=198.51.100.20/32 proto=tcp dstports=9100'],
  }),
  records.change({ name: 'office', added: 1, removed: 0, unchanged: 2 }),
  records.edit({ op: 'added', name: 'office', lines: ['198.51.100.20/32'] }),
];

const BY_HOUR = [
  310, 280, 640, 120, 90, 75, 40, 22, 18, 30, 12, 9, 14, 25, 60, 180, 420, 510, 380, 350, 610, 240, 130, 95,
];

/** Sums as a publisher has them: from the start of an hour to now. */
function dropped({ of, sinceMs = 0 }: Extract<Message, { kind: 'top' }>): readonly ControlRecord[] {
  const hours = Math.min(BY_HOUR.length, Math.round(sinceMs / HOUR));
  const sum = BY_HOUR.slice(0, hours).reduce((total, packets) => total + packets, 0);
  const fromMs = ago(hours * HOUR - 20 * MINUTE);
  if (of === 'rules')
    return [
      { record: 'dropped', packets: sum, policy: 'work', direction: 'egress', rule: 'default', fromMs },
    ];
  const shares = { ads: 0.61, malware: 0.22, 'spamhaus-drop': 0.09, phishing: 0.04 };
  return Object.entries(shares).map(([list, share]) => ({
    record: 'dropped',
    list,
    packets: Math.round(sum * share),
    fromMs,
  }));
}

const verdictOf = (list: string, prefix: string) => ({
  ...({ action: 'drop', direction: 'egress', policy: 'work', rulePolicy: 'work', block: 'own' } as const),
  ...{ rule: `action=drop dst=@${list}`, ruleIndex: 1, run: 1, list, prefix },
});
const REFUSED = [
  records.refused({
    subscriber: 'sys-firewall',
    remote: '203.0.113.80',
    name: 'metrics.ads.example',
    count: 14,
    version: 43,
    judgedBy: 43,
    lastS: ago(40_000) / 1000,
    verdict: verdictOf('ads', '203.0.113.80/32'),
    allow: 'metrics.ads.example',
  }),
  records.refused({
    id: 2,
    subscriber: 'sys-firewall',
    qube: '10.137.0.9',
    remote: '192.0.2.66',
    name: undefined,
    port: 6667,
    count: 3,
    version: 43,
    judgedBy: 43,
    lastS: ago(3 * MINUTE) / 1000,
    verdict: verdictOf('malware', '192.0.2.64/28'),
    allow: '192.0.2.66',
  }),
  records.refused({
    id: 3,
    subscriber: 'vpn-firewall',
    what: 'name',
    remote: undefined,
    proto: undefined,
    port: undefined,
    name: 'login.phish.example',
    count: 2,
    version: 43,
    judgedBy: 43,
    lastS: ago(4 * MINUTE) / 1000,
    verdict: { ...verdictOf('phishing', ''), prefix: undefined },
    allow: undefined,
  }),
  records.refused({
    id: 4,
    subscriber: 'sys-firewall',
    qube: '10.137.0.12',
    remote: '198.51.100.9',
    name: undefined,
    proto: 17,
    port: 123,
    count: 61,
    version: 43,
    judgedBy: 43,
    lastS: ago(4.5 * MINUTE) / 1000,
    verdict: { action: 'drop', direction: 'egress', policy: 'lab', rulePolicy: 'lab', run: 0 },
    allow: undefined,
  }),
];

const VERDICTS: readonly ControlRecord[] = ['sys-firewall', 'sys-firewall-dev', 'vpn-firewall'].map(
  (subscriber) =>
    records.verdict({
      ...{ subscriber, version: 43, source: '10.137.0.5', policy: 'work', rulePolicy: 'work', block: 'own' },
      ...{ rule: 'action=drop dst=@malware', ruleIndex: 1, list: 'malware', prefix: '192.0.2.64/28' },
    }),
);
const HOLDING: readonly ControlRecord[] = [
  {
    ...{ record: 'holder', name: 'malware', how: 'all', entries: ['192.0.2.64/28'], more: false },
    ...{ used: true, published: true, source: 'url', origin: 'https://lists.example/malware.txt' },
  },
  { record: 'decision', policy: 'work', direction: 'egress', action: 'drop', by: 'rule', rules: 1 },
  {
    ...{ record: 'step', policy: 'work', direction: 'egress', rulePolicy: 'work', block: 'own' },
    ...{
      rule: 'action=drop dst=@malware',
      ruleIndex: 1,
      how: 'all',
      entry: '192.0.2.64/28',
      decides: 'rest',
    },
  },
];

/** What it answers; undefined: what it refuses. */
export function answersOf(message: Message): readonly ControlRecord[] | undefined {
  switch (message.kind) {
    case 'status': {
      const counted = FIREWALLS.filter(({ state }) => state === 'synced');
      const head = records.head({
        version: 43,
        createdAtMs: ago(HOUR),
        entries: 253_704,
        parts: 8,
        rules: 21,
        unmatched: 'drop',
        startedAtMs: ago(200 * HOUR),
        degraded: ['list phishing is not fresh: lists.example answered 503'],
      });
      const parts = LISTS.map(({ name, count }) => records.part({ name, count }));
      const counters = counted.map(({ name }) =>
        records.counters({ subscriber: name, counters: { generation: 43 } }),
      );
      return [head, ...parts, ...FIREWALLS, ...(message.counters === true ? counters : [])];
    }
    case 'lists':
      return LISTS.filter(({ source }) => !message.sourcesOnly || source !== 'push');
    case 'list':
      return LISTS.filter(({ name }) => name === message.name);
    case 'history':
      return RELEASES.filter(
        ({ changedParts }) => message.list === undefined || changedParts.includes(`list ${message.list}`),
      ).slice(0, message.most);
    case 'diff':
      return CHANGES;
    case 'top':
      return dropped(message);
    case 'log':
      return REFUSED;
    case 'test':
      return VERDICTS;
    case 'which':
      return HOLDING;
    case 'metrics':
      return [{ record: 'samples', family: 'head-version', labels: [], values: [43] }];
    default:
      return undefined;
  }
}

const AWAY = {
  state: 'disconnected',
  matches: false,
  lagVersions: 1,
  lastSeenMs: ago(HOUR),
  version: 42,
} as const;

/** The same with so many firewalls and lists; every other firewall of those is away. */
export function grown(firewalls: number, lists: number): typeof answersOf {
  const names = (what: string, count: number): readonly string[] =>
    Array.from({ length: Math.max(0, count) }, (_, i) => `${what}-${String(i).padStart(5, '0')}`);
  const more = {
    subscriber: names('firewall', firewalls - FIREWALLS.length),
    list: names('list', lists - LISTS.length),
  } as const;
  return (message) => {
    const records = answersOf(message);
    if (message.kind !== 'status' && message.kind !== 'lists') return records;
    return records?.flatMap((record, at) => {
      if (records[at + 1]?.record === record.record) return [record];
      if (record.record === 'subscriber')
        return [record, ...more.subscriber.map((name, i) => ({ ...record, name, ...(i % 2 === 0 && AWAY) }))];
      if (record.record !== 'list' && record.record !== 'part') return [record];
      return [record, ...more.list.map((name) => ({ ...record, name }))];
    });
  };
}

/** Answers one connection by `answers`; the status is watched until the other side is gone. */
export function scripted(answers: (message: Message) => readonly ControlRecord[] | undefined) {
  return async (connection: Connection): Promise<void> => {
    for (;;) {
      const message = (await connection.receive())?.message;
      if (message === undefined) return;
      if (message.kind === 'greet') {
        const { protocolMin, protocolMax } = message;
        await connection.send({ kind: 'greet', protocolMin, protocolMax, capabilities: [] });
        continue;
      }
      const told = answers(message);
      if (told === undefined)
        return connection.send({
          kind: 'fail',
          code: 'not-permitted',
          text: `viewer may status, and ${message.kind} takes the role admin`,
        });
      for (const record of told) await connection.send({ kind: 'record', record });
      if (message.kind !== 'status' || !message.watch)
        return connection.send({ kind: 'done', code: 'ok', text: '' });
      await connection.send({ kind: 'record', record: { record: 'end' } });
    }
  };
}
