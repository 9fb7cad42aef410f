/** The proxy as steps: what goes in by hand, and dns-packet reads what comes out. */

import { QUESTIONS_PER_S } from '@rulecast/nftables/capture';
import { Outcome } from '@rulecast/nftables/openings';
import { parseAddress } from '@rulecast/rules';
import packet from 'dns-packet';
import { describe, expect, it } from 'vitest';
import type { OpenedList } from '../src/judge/judge.ts';
import { nameText, turnCase } from '../src/message/name.ts';
import { countersOf } from '../src/proxy/counters.ts';
import { ATTEMPT_MS, ATTEMPTS_MAX, OPEN_MS, QUESTIONS_MAX } from '../src/proxy/limits.ts';
import { type Client, DnsProxy, type ProxyEffect, type Transport } from '../src/proxy/machine.ts';

type Answer = ReturnType<Parameters<typeof proxyOf>[0]>;

const text = (name: Uint8Array): string => nameText(name);

/** A proxy whose judge is told the name and its aliases, and two upstreams. */
function proxyOf(
  judge: (name: string, aliases: readonly string[]) => 'answer' | 'nxdomain' | 'refused' | 'null',
  opens?: (name: string) => readonly OpenedList[],
  mayBePrivate = false,
) {
  let seed = 1;
  return new DnsProxy<Client>({
    upstreamCount: 2,
    judge: (_, name, at, aliases) => {
      const answer = judge(text(name.subarray(at)), aliases.map(text));
      return { action: answer === 'answer' ? 'accept' : 'drop', answer };
    },
    mayBePrivate: () => mayBePrivate,
    ...(opens && { opens: (_, name, at) => opens(text(name.subarray(at))) }),
    randomBytes: (count) => Uint8Array.from({ length: count }, () => (seed = (seed * 37 + 11) % 251)),
  });
}

function client(transport: Transport = 'udp', address = '10.137.0.5'): Client {
  const asker = parseAddress(address);
  if (asker === undefined) throw new TypeError(address);
  return { asker, askerKey: address, transport };
}

interface Asking {
  readonly type?: packet.RecordType;
  readonly edns?: number;
  readonly id?: number;
}

function question(name: string, { type = 'A', edns, id = 7 }: Asking = {}): Uint8Array {
  const additionals =
    edns === undefined
      ? []
      : [{ type: 'OPT', name: '.', udpPayloadSize: edns, flags: 0, options: [] } as never];
  return packet.encode({
    type: 'query',
    id,
    flags: packet.RECURSION_DESIRED,
    questions: [{ type, name }],
    additionals,
  });
}

/** What an upstream answers to what it was asked. */
function answered(asked: Uint8Array, answers: packet.Answer[], flags = 0): Buffer {
  const { id, questions } = packet.decode(Buffer.from(asked));
  return packet.encode({
    type: 'response',
    id: id ?? 0,
    flags: packet.RECURSION_DESIRED | flags,
    questions: questions ?? [],
    answers,
  });
}

const A = (name: string, ttl = 60): packet.Answer => ({ type: 'A', name, ttl, data: '93.184.2.7' });
const CNAME = (name: string, data: string): packet.Answer => ({ type: 'CNAME', name, ttl: 60, data });

function only<K extends ProxyEffect<Client>['kind']>(
  effects: readonly ProxyEffect<Client>[],
  kind: K,
): Extract<ProxyEffect<Client>, { kind: K }> {
  const found = effects.filter((effect) => effect.kind === kind);
  expect(found).toHaveLength(1);
  return found[0] as Extract<ProxyEffect<Client>, { kind: K }>; // by its kind
}

function reply(effects: readonly ProxyEffect<Client>[]): packet.DecodedPacket & { rcode: string } {
  return packet.decode(Buffer.from(only(effects, 'reply').bytes)) as packet.DecodedPacket & { rcode: string };
}

describe('a name that is blocked', () => {
  it.each([
    ['nxdomain', 'NXDOMAIN', 0, 1],
    ['refused', 'REFUSED', 0, 0],
    ['null', 'NOERROR', 1, 0],
  ] as const)('is answered %s at once, and nobody is asked', (how, rcode, answers, authorities) => {
    const proxy = proxyOf((name): Answer => (name === 'ads.example' ? how : 'answer'));
    const effects = proxy.ask(client(), question('Ads.example', { edns: 1232 }), 0);
    expect(effects.map(({ kind }) => kind)).toEqual(['reply']);
    const said = reply(effects);
    expect(said).toMatchObject({ id: 7, type: 'response', rcode, flag_ra: true });
    expect(said.questions?.[0]?.name).toBe('Ads.example');
    expect([said.answers?.length, said.authorities?.length]).toEqual([answers, authorities]);
    const opt = said.additionals?.[0];
    expect(opt?.type === 'OPT' && opt.options.map(({ code, data }) => [code, data?.toString('hex')])).toEqual(
      [[15, '000f']],
    );
    expect(proxy.counts).toMatchObject({ questions: 1, blocked: 1 });
    expect(proxy.deadlineMs).toBeUndefined();
  });

  it('is blocked where it turns out to be what another stands for', () => {
    const seen: unknown[] = [];
    const proxy = proxyOf((name, aliases): Answer => {
      seen.push([name, aliases]);
      return aliases.includes('x.ads.example') ? 'nxdomain' : 'answer';
    });
    const asked = only(proxy.ask(client(), question('www.example'), 0), 'ask');
    const answers = [
      CNAME('www.example', 'cdn.example'),
      CNAME('cdn.example', 'X.ads.example'),
      A('x.ads.example'),
    ];
    const effects = proxy.answer(asked.query, answered(asked.bytes, answers), 1);
    expect(effects.map(({ kind }) => kind)).toEqual(['close', 'reply']);
    expect(reply(effects)).toMatchObject({ rcode: 'NXDOMAIN', answers: [] });
    expect(seen).toEqual([
      ['www.example', []],
      ['www.example', ['cdn.example', 'x.ads.example']],
    ]);
  });
});

it('is counted by list, and by the qube that asked, most first and eight of each', () => {
  const proxy = new DnsProxy<Client>({
    upstreamCount: 1,
    judge: (_, name, at) => {
      const list = text(name.subarray(at)).split('.')[0];
      const rule = { action: 'drop', policy: 'common', block: 'common', run: 0, list } as const;
      return { answer: 'refused', rule };
    },
    mayBePrivate: () => false,
    randomBytes: (count) => new Uint8Array(count),
  });
  for (let i = 1; i <= 12; i++)
    for (let times = 0; times < i; times++)
      proxy.ask(client('udp', `fd09::${i}`), question(`l${i}.example`), 0);
  proxy.ask(client('udp', '10.137.0.5'), question(`${'l'.repeat(25)}.example`), 0);
  const counters = countersOf(proxy);
  expect(counters).toMatchObject({ dnsQuestions: 79, dnsBlocked: 79, dnsAnswered: 0, 'dnsList.l12': 12 });
  expect(Object.keys(counters).filter((name) => name.includes('.'))).toEqual([
    ...[12, 11, 10, 9, 8, 7, 6, 5].map((i) => `dnsList.l${i}`),
    ...[12, 11, 10, 9, 8, 7, 6, 5].map((i) => `dnsQube.fd09--${i}`),
  ]);
});

describe('a name that is not', () => {
  const proxy = (): DnsProxy<Client> => proxyOf((): Answer => 'answer');

  it('is asked with another id and case, and answered as it was asked', () => {
    const one = proxy();
    const asked = only(one.ask(client(), question('wwwwwwww.example', { edns: 4096 }), 0), 'ask');
    const sent = packet.decode(Buffer.from(asked.bytes));
    expect(asked).toMatchObject({ upstream: 0, transport: 'udp' });
    expect(sent.id).not.toBe(7);
    expect(sent.questions?.[0]?.name).not.toBe('wwwwwwww.example');
    expect(sent.questions?.[0]?.name.toLowerCase()).toBe('wwwwwwww.example');
    expect(sent.additionals).toMatchObject([{ type: 'OPT', udpPayloadSize: 1232, options: [] }]);
    const effects = one.answer(asked.query, answered(asked.bytes, [A('wwwwwwww.example')]), 1);
    expect(only(effects, 'close').query).toBe(asked.query);
    const said = reply(effects);
    expect(said).toMatchObject({ id: 7, rcode: 'NOERROR', answers: [{ data: '93.184.2.7', ttl: 60 }] });
    expect(said.questions?.[0]?.name).toBe('wwwwwwww.example');
    expect(one.answer(asked.query, answered(asked.bytes, []), 2)).toEqual([]);
  });

  it('is asked each time, for whoever asks: nothing is kept', () => {
    const one = proxy();
    const numbers = ['10.137.0.5', '10.137.0.5', '10.137.0.6'].map((address) => {
      const asked = only(one.ask(client('udp', address), question('a.example'), 0), 'ask');
      one.answer(asked.query, answered(asked.bytes, [A('a.example')]), 1);
      return asked.query;
    });
    expect(new Set(numbers).size).toBe(3);
  });

  it('is not answered by another id, name, type or by a question, and still is by its own', () => {
    const one = proxy();
    const asked = only(one.ask(client(), question('a.example'), 0), 'ask');
    const good = (): Buffer => answered(asked.bytes, [A('a.example')]);
    const wrong = [0, 2, 13, 12 + 11 + 1].map((at) => {
      const bytes = good();
      bytes[at] = (bytes[at] ?? 0) ^ (at === 2 ? 0x80 : 1);
      return bytes;
    });
    for (const bytes of [...wrong, good().subarray(0, 20), Buffer.alloc(0)])
      expect(one.answer(asked.query, bytes, 1)).toEqual([]);
    expect(one.counts.ignored).toBe(6);
    expect(reply(one.answer(asked.query, good(), 1)).answers).toHaveLength(1);
  });

  it('is asked by TCP where an answer comes in another case: its sender has not seen the question', () => {
    const one = proxy();
    const asked = only(one.ask(client(), question('abcdefgh.example'), 0), 'ask');
    const forged = answered(asked.bytes, [A('abcdefgh.example')]);
    turnCase(forged, 12, 12 + 18, Uint8Array.of(0));
    const effects = one.answer(asked.query, forged, 1);
    expect(effects.map(({ kind }) => kind)).toEqual(['close', 'ask']);
    const again = only(effects, 'ask');
    expect(again).toMatchObject({ upstream: 0, transport: 'tcp' });
    expect(
      reply(one.answer(again.query, answered(again.bytes, [A('abcdefgh.example')]), 2)).answers,
    ).toHaveLength(1);
  });

  it('is cut for whom its answer is too long, and whole by TCP', () => {
    const one = proxy();
    const many = Array.from({ length: 40 }, () => A('a.example'));
    for (const [flags, answers] of [
      [packet.TRUNCATED_RESPONSE, []],
      [0, many],
    ] as const) {
      const asked = only(one.ask(client(), question('a.example'), 0), 'ask');
      const said = reply(one.answer(asked.query, answered(asked.bytes, [...answers], flags), 1));
      expect([said.flag_tc, said.answers?.length, said.id]).toEqual([true, 0, 7]);
    }
    const asked = only(one.ask(client('tcp'), question('a.example'), 0), 'ask');
    expect(asked.transport).toBe('tcp');
    expect(reply(one.answer(asked.query, answered(asked.bytes, many), 1)).answers).toHaveLength(40);
  });

  it('is asked of the next upstream after a failure or silence, and SERVFAIL after three', () => {
    const one = proxy();
    const first = only(one.ask(client(), question('a.example', { edns: 512 }), 0), 'ask');
    const second = only(one.answer(first.query, answered(first.bytes, [], 2), 10), 'ask'); // SERVFAIL
    expect(second.upstream).toBe(1);
    expect(one.deadlineMs).toBe(10 + ATTEMPT_MS);
    expect(one.expire(9 + ATTEMPT_MS)).toEqual([]);
    const third = only(one.expire(10 + ATTEMPT_MS), 'ask');
    expect([third.upstream, ATTEMPTS_MAX]).toEqual([0, 3]);
    const effects = one.fail(third.query, 5000);
    const said = reply(effects);
    expect(said.rcode).toBe('SERVFAIL');
    const opt = said.additionals?.[0];
    expect(opt?.type === 'OPT' && opt.options.map(({ data }) => data?.toString('hex'))).toEqual(['0016']);
    expect(one.deadlineMs).toBeUndefined();
  });

  it('waits for no upstream that is dead, but for the first questions and one now and then', () => {
    const one = proxy();
    let nowMs = 0;
    /** Where the first upstream is silent and the second answers: how long a question takes. */
    const waited = (): number => {
      nowMs += 100;
      const startMs = nowMs;
      let asked = only(one.ask(client(), question('a.example'), nowMs), 'ask');
      while (asked.upstream === 0) {
        nowMs += ATTEMPT_MS;
        asked = only(one.expire(nowMs), 'ask');
      }
      expect(
        reply(one.answer(asked.query, answered(asked.bytes, [A('a.example')]), nowMs)).answers,
      ).toHaveLength(1);
      return nowMs - startMs;
    };
    const waits = Array.from({ length: 300 }, waited);
    expect(waits.slice(0, 3)).toEqual([ATTEMPT_MS, ATTEMPT_MS, ATTEMPT_MS]);
    expect(waits.slice(3).filter((each) => each > 0)).toHaveLength(5); // after 1, 2, 4, 8 and 16 s of 42
    expect(one.upstreams.unanswered).toEqual([8, 0]);
    expect(countersOf(one)).toMatchObject({ 'dnsUpstream.1': 8, dnsFailed: 0 });
    expect(Object.keys(countersOf(one))).not.toContain('dnsUpstream.2');
  });

  it('is asked of an upstream again that fails, since it answers', () => {
    const one = proxy();
    for (let i = 0; i < 10; i++) {
      const asked = only(one.ask(client(), question('a.example'), i), 'ask');
      expect(asked.upstream).toBe(0);
      const next = only(one.answer(asked.query, answered(asked.bytes, [], 2), i), 'ask'); // SERVFAIL
      one.answer(next.query, answered(next.bytes, [A('a.example')]), i);
    }
    expect(one.upstreams.unanswered).toEqual([0, 0]);
  });

  it('is no more among them: what waits is asked of the new ones, and an answer of an old one is none', () => {
    const one = proxy();
    const asked = only(one.ask(client(), question('a.example'), 0), 'ask');
    const [, again] = one.replaceUpstreams(1, 10);
    if (again?.kind !== 'ask') throw new Error('not asked again');
    expect(one.answer(asked.query, answered(asked.bytes, [A('a.example')]), 20)).toEqual([]);
    const { answers } = reply(one.answer(again.query, answered(again.bytes, [A('a.example')]), 20));
    expect(answers).toHaveLength(1);
    expect(one.upstreams.unanswered).toEqual([0]); // silence of an old one is nobody's
    expect(countersOf(one)).toMatchObject({ dnsHeard: 1, dnsHeardMs: 10 });
  });

  it('is the last: what waits is SERVFAIL, and what comes, until there is another', () => {
    const one = proxy();
    one.ask(client(), question('a.example'), 0);
    expect(reply(one.replaceUpstreams(0, 10)).rcode).toBe('SERVFAIL');
    expect(reply(one.ask(client(), question('b.example'), 20)).rcode).toBe('SERVFAIL');
    expect(one.counts).toMatchObject({ questions: 2, failed: 2 });
    one.replaceUpstreams(1, 30);
    expect(only(one.ask(client(), question('b.example'), 40), 'ask').upstream).toBe(0);
  });

  it('fails with an answer that makes more aliases than are looked at', () => {
    const one = proxy();
    const asked = only(one.ask(client('tcp'), question('a.example'), 0), 'ask');
    const chain = Array.from({ length: 65 }, (_, i) => CNAME(`a${i}.example`, `a${i + 1}.example`));
    expect(reply(one.answer(asked.query, answered(asked.bytes, chain), 1)).rcode).toBe('SERVFAIL');
  });
});

describe('what is no plain question', () => {
  const ask = (bytes: Uint8Array): readonly ProxyEffect<Client>[] =>
    proxyOf((): Answer => 'answer').ask(client(), bytes, 0);
  const changed = (at: number, value: number): Uint8Array => {
    const bytes = Uint8Array.from(question('a.example', { edns: 1232 }));
    bytes[at] = value;
    return bytes;
  };

  it.each([
    ['a status request', changed(2, 0x11), 'NOTIMP'],
    ['a transfer', question('a.example', { type: 'AXFR' }), 'REFUSED'],
    ['one with an answer', answered(question('a.example'), [A('a.example')]).fill(0, 2, 3), 'FORMERR'],
  ])('%s is answered %s', (_, bytes, rcode) => {
    expect(reply(ask(bytes)).rcode).toBe(rcode);
  });

  it('is answered BADVERS with a version of EDNS that nobody knows', () => {
    const said = reply(ask(changed(12 + 11 + 4 + 6, 1)));
    expect(said.additionals).toMatchObject([{ type: 'OPT', extendedRcode: 1, ednsVersion: 0 }]);
    expect(said.rcode).toBe('NOERROR');
  });

  it.each([
    ['nothing', new Uint8Array(0)],
    ['garbage', Uint8Array.from({ length: 40 }, (_, i) => i * 31)],
    ['an answer', answered(question('a.example'), [])],
  ])('gets no answer: %s', (_, bytes) => {
    expect(ask(bytes)).toEqual([]);
  });
});

it.each([
  ['resolver.arpa', false],
  ['_dns.Resolver.ARPA', false],
  ['a._dns.resolver.arpa', false],
  ['aresolver.arpa', true],
  ['resolver.arpa.example', true],
  ['arpa', true],
])('%s is asked of an upstream: %s; what is below resolver.arpa is nothing (RFC 9462)', (name, isAsked) => {
  const proxy = proxyOf(() => 'answer');
  const effects = proxy.ask(client(), question(name, { type: 'UNKNOWN_64' as packet.RecordType }), 0);
  expect(effects[0]?.kind).toBe(isAsked ? 'ask' : 'reply');
  if (!isAsked)
    expect(reply(effects)).toMatchObject({ rcode: 'NOERROR', answers: [], authorities: [{ type: 'SOA' }] });
});

it('is told without addresses of another class, whatever they are', () => {
  const proxy = proxyOf(() => 'answer');
  const { query, bytes } = only(proxy.ask(client(), question('n.example'), 0), 'ask');
  const chaos = { ...A('n.example'), class: 'CH' } as packet.Answer;
  expect(reply(proxy.answer(query, answered(bytes, [chaos, A('n.example')]), 1)).answers).toMatchObject([
    { class: 'IN' },
  ]);
});

describe('a qube that asks too much', () => {
  it('has so many questions that wait, and takes no other qube anything', () => {
    const one = proxyOf((): Answer => 'answer');
    for (let i = 0; i < QUESTIONS_MAX; i++) only(one.ask(client(), question('a.example'), i), 'ask');
    expect(reply(one.ask(client(), question('a.example'), 300)).rcode).toBe('SERVFAIL');
    const other = only(one.ask(client('udp', '10.137.0.6'), question('a.example'), 300), 'ask');
    one.answer(other.query, answered(other.bytes, []), 301);
    one.expire(300 + ATTEMPT_MS);
    one.expire(300 + 2 * ATTEMPT_MS);
    one.expire(300 + 3 * ATTEMPT_MS);
    expect(one.deadlineMs).toBeUndefined();
    only(one.ask(client(), question('a.example'), 9000), 'ask');
  });

  it('is not answered beyond its rate, until time has passed', () => {
    const one = proxyOf((): Answer => 'nxdomain');
    let replies = 0;
    for (let i = 0; i < QUESTIONS_PER_S + 50; i++)
      replies += one.ask(client(), question('a.example'), 0).length;
    expect(replies).toBe(QUESTIONS_PER_S);
    expect(one.ask(client('udp', '10.137.0.6'), question('a.example'), 0)).toHaveLength(1);
    expect(one.ask(client('tcp'), question('a.example'), 0)).toEqual([
      { kind: 'end', client: client('tcp') },
    ]);
    expect(one.ask(client(), question('a.example'), 10)).toHaveLength(1);
  });

  it('is forgotten when it asks no more, so that others find room', () => {
    const one = proxyOf((): Answer => 'nxdomain');
    const qube = (i: number): Client => client('udp', `10.${i >> 16}.${(i >> 8) & 255}.${i & 255}`);
    for (let i = 0; i < 4096; i++) one.ask(qube(i), question('a.example'), 0);
    expect(one.ask(qube(5000), question('a.example'), 0)).toEqual([]);
    expect(one.ask(qube(5000), question('a.example'), 1000)).toHaveLength(1);
  });
});

describe('an answer whose addresses have to be opened', () => {
  const LISTS: readonly OpenedList[] = [{ key: '0123456789abcdef', version: '89abcdef89abcdef' }];

  /** A proxy of which the names below `deb.example` are opened, by lists that can be changed. */
  function opening(address = '10.137.0.5', mayBePrivate = false, transport: Transport = 'udp') {
    let lists = LISTS;
    const proxy = proxyOf(
      () => 'answer',
      (name) => (name.endsWith('.deb.example') ? lists : []),
      mayBePrivate,
    );
    const asked = (
      name: string,
      answers: packet.Answer[],
      type: packet.RecordType = 'A',
      nowMs = 0,
      flags = 0,
    ) => {
      const { query, bytes } = only(
        proxy.ask(client(transport, address), question(name, { type, edns: 1232 }), nowMs),
        'ask',
      );
      return proxy.answer(query, answered(bytes, answers, flags), nowMs);
    };
    return {
      proxy,
      asked,
      use: (next: typeof LISTS) => {
        lists = next;
      },
    };
  }
  const error = (effects: readonly ProxyEffect<Client>[]): unknown => {
    const { rcode, additionals = [] } = reply(effects);
    const [opt] = additionals as unknown as readonly { options: readonly { code: number; data: Buffer }[] }[];
    return [rcode, opt?.options.find(({ code }) => code === 15)?.data.readUInt16BE(0)];
  };
  const NOT_OPEN = ['SERVFAIL', 23];

  it('waits until all of them are, by every list, and goes then', () => {
    const { proxy, asked, use } = opening();
    use([...LISTS, { key: 'f'.repeat(16), version: '0'.repeat(16) }]);
    const effects = asked('API.deb.example', [
      CNAME('API.deb.example', 'n.cdn.example'),
      A('n.cdn.example', 30),
      { type: 'A', name: 'n.cdn.example', ttl: 300, data: '93.184.2.8' },
      { type: 'TXT', name: 'n.cdn.example', ttl: 9000, data: 'x' },
    ]);
    const { wait, openings } = only(effects, 'open');
    expect(effects.filter(({ kind }) => kind === 'reply')).toEqual([]);
    expect(openings).toEqual(
      [LISTS[0], { key: 'f'.repeat(16), version: '0'.repeat(16) }].map((list) => ({
        ...list,
        family: 4,
        seconds: 330,
        qube: Uint8Array.of(10, 137, 0, 5),
        addresses: [Uint8Array.of(93, 184, 2, 7), Uint8Array.of(93, 184, 2, 8)],
        label: 'api.deb.example',
      })),
    );
    expect(proxy.opened(wait, 1, Outcome.open)).toEqual([]);
    expect([proxy.opened(wait, 1, Outcome.open), proxy.opened(wait, 2, Outcome.open)]).toEqual([[], []]);
    const said = reply(proxy.opened(wait, 0, Outcome.open));
    expect([said.rcode, said.id, said.answers?.length]).toEqual(['NOERROR', 7, 4]);
    expect(proxy.opened(wait, 0, Outcome.open)).toEqual([]); // once
    expect([proxy.deadlineMs, proxy.counts.answered]).toEqual([undefined, 1]);
  });

  it('is not held back where no rule accepts it by its name, or it has no address', () => {
    const { asked } = opening();
    expect(reply(asked('n.other.example', [A('n.other.example')])).answers).toHaveLength(1);
    expect(reply(asked('n.deb.example', [])).rcode).toBe('NOERROR');
    expect(
      reply(asked('n.deb.example', [{ type: 'TXT', name: 'n.deb.example', data: 'x' }], 'TXT')).answers,
    ).toHaveLength(1);
    expect(reply(asked('n.deb.example', [], 'AAAA', 0, 3)).rcode).toBe('NXDOMAIN');
  });

  it.each<[string, packet.RecordType, packet.Answer, 4 | 6]>([
    ['10.137.0.5', 'AAAA', { type: 'AAAA', name: 'n.deb.example', data: '2600:db8::1' }, 6],
    ['fd00::5', 'A', A('n.deb.example'), 4],
  ])(
    'is of the family that it names, whichever the qube %s asked by; where its address there is not known, there is none',
    (address, type, answer, family) => {
      const { proxy, asked } = opening(address);
      const { wait, openings } = only(asked('n.deb.example', [answer], type), 'open');
      expect(openings).toMatchObject([{ family, qube: { length: family === 4 ? 16 : 4 } }]);
      expect(reply(proxy.opened(wait, 0, Outcome.open)).answers).toHaveLength(1);
      const other = only(asked('n.deb.example', [answer], type), 'open');
      const effects = proxy.opened(other.wait, 0, Outcome.unknown);
      const said = reply(effects);
      expect([error(effects), said.answers, said.authorities?.length]).toEqual([['NOERROR', 21], [], 1]);
      expect([proxy.counts.otherFamily, proxy.counts.failed]).toEqual([1, 0]);
    },
  );

  it('opens no private address because it is answered, and tells it', () => {
    const { asked, use } = opening('10.137.0.5', true);
    const all = { key: 'e'.repeat(16), version: '0'.repeat(16), isOfAll: true };
    const ofNetwork = { ...A('n.deb.example'), data: '10.0.0.1' } as packet.Answer;
    use([all]);
    expect(reply(asked('n.deb.example', [ofNetwork])).answers).toHaveLength(1);
    const { openings } = only(asked('n.deb.example', [ofNetwork, A('n.deb.example')]), 'open');
    expect(openings).toMatchObject([{ key: all.key, addresses: [Uint8Array.of(93, 184, 2, 7)] }]);
    use([...LISTS, all]);
    const both = only(asked('n.deb.example', [ofNetwork]), 'open');
    expect(both.openings).toMatchObject([{ key: LISTS[0]?.key, addresses: [Uint8Array.of(10, 0, 0, 1)] }]);
  });

  it('opens a private address by the lists that say so alone, and what else there is by all', () => {
    const { asked, use } = opening('10.137.0.5', true);
    const corp = { key: 'c'.repeat(16), version: '0'.repeat(16), isPrivate: true };
    const ofNetwork = { ...A('n.deb.example'), data: '10.0.0.1' } as packet.Answer;
    use([...LISTS, corp]);
    const { openings } = only(asked('n.deb.example', [ofNetwork]), 'open');
    expect(openings).toMatchObject([{ key: corp.key, addresses: [Uint8Array.of(10, 0, 0, 1)] }]);
    const both = only(asked('n.deb.example', [ofNetwork, A('n.deb.example')]), 'open').openings;
    expect(both.map(({ key, addresses }) => [key, addresses.length])).toEqual([
      [LISTS[0]?.key, 1],
      [corp.key, 2],
    ]);
  });

  it('is tried once more after 50 ms, by what is in force then, and fails after that', () => {
    const { proxy, asked, use } = opening();
    const { wait } = only(asked('n.deb.example', [A('n.deb.example')]), 'open');
    expect(proxy.opened(wait, 0, Outcome.later)).toEqual([]);
    expect([proxy.deadlineMs, proxy.expire(OPEN_MS - 1)]).toEqual([OPEN_MS, []]);
    use([{ key: LISTS[0]?.key ?? '', version: '1'.repeat(16) }]);
    const again = only(proxy.expire(OPEN_MS), 'open');
    expect(again.openings[0]?.version).toBe('1'.repeat(16));
    expect(proxy.opened(wait, 0, Outcome.open)).toEqual([]); // of the first time
    expect(proxy.opened(again.wait, 0, Outcome.later)).toEqual([]);
    expect(error(proxy.expire(2 * OPEN_MS))).toEqual(NOT_OPEN);
    expect([proxy.deadlineMs, proxy.counts.failed]).toEqual([undefined, 1]);
    const silent = only(asked('n.deb.example', [A('n.deb.example')], 'A', 1000), 'open');
    const last = only(proxy.expire(1000 + OPEN_MS), 'open'); // nothing came of the first
    expect(reply(proxy.opened(last.wait, 0, Outcome.open)).answers).toHaveLength(1);
    expect(proxy.opened(silent.wait, 0, Outcome.open)).toEqual([]);
  });

  it('goes as it is where no rule accepts it any more once it is tried again, and is blocked where one drops it', () => {
    let verdict: Answer = 'answer';
    let lists = LISTS;
    const proxy = proxyOf(
      () => verdict,
      () => lists,
    );
    const held = (): void => {
      const { query, bytes } = only(proxy.ask(client(), question('n.deb.example'), 0), 'ask');
      only(proxy.answer(query, answered(bytes, [A('n.deb.example')]), 0), 'open');
    };
    held();
    lists = [];
    expect(reply(proxy.expire(OPEN_MS)).answers).toHaveLength(1);
    lists = LISTS;
    held();
    verdict = 'nxdomain';
    expect(reply(proxy.expire(OPEN_MS)).rcode).toBe('NXDOMAIN');
  });

  it.each([Outcome.refused, Outcome.full])('fails at once where the outcome is %i', (outcome) => {
    const { proxy, asked } = opening();
    const { wait } = only(asked('n.deb.example', [A('n.deb.example')]), 'open');
    expect(error(proxy.opened(wait, 0, outcome))).toEqual(NOT_OPEN);
    expect([proxy.counts.failed, proxy.counts.full]).toEqual([1, outcome === Outcome.full ? 1 : 0]);
  });

  it('of more addresses than may be open for a name is told with as many, and its aliases', () => {
    const { proxy, asked } = opening('10.137.0.5', false, 'tcp');
    const many = Array.from(
      { length: 70 },
      (_, i) => ({ ...A('n.cdn.example', 30), data: `93.184.2.${i}` }) as packet.Answer,
    );
    const all = [
      CNAME('n.deb.example', 'n.cdn.example'),
      ...many,
      { ...A('other.example', 9000), data: '93.184.2.99' } as packet.Answer,
    ];
    const { wait, openings } = only(asked('n.deb.example', all), 'open');
    const addresses = openings[0]?.addresses ?? [];
    expect(addresses.map(String)).toEqual(Array.from({ length: 64 }, (_, i) => `93,184,2,${i}`));
    expect(openings[0]?.seconds).toBe(90); // by what is told
    const said = reply(proxy.opened(wait, 0, Outcome.open));
    expect(said.answers?.map(({ type }) => type)).toEqual(['CNAME', ...addresses.map(() => 'A')]);
    expect([said.rcode, said.id]).toEqual(['NOERROR', 7]);
    only(asked('n.deb.example', [CNAME('n.deb.example', 'n.cdn.example'), ...many.slice(6)]), 'open');
  });

  it('opens and tells no address that stands beside, nor of an answer that fails or that is cut short', () => {
    const { proxy, asked } = opening();
    const beside = { ...A('other.example'), data: '93.184.2.9' } as packet.Answer;
    expect(reply(asked('n.deb.example', [beside]))).toMatchObject({ rcode: 'NOERROR', answers: [] });
    for (const names of [['N.deb.example'], ['n.deb.example', 'n.cdn.example', 'm.cdn.example']]) {
      const aliases = names.slice(1).map((name, i) => CNAME(names[i] ?? '', name));
      const answers = [beside, ...aliases, A(names.at(-1) ?? '')];
      const { openings, wait } = only(asked('n.deb.example', answers), 'open');
      expect(reply(proxy.opened(wait, 0, Outcome.open)).answers).toHaveLength(names.length);
      expect(openings.map(({ addresses }) => addresses)).toEqual([[Uint8Array.of(93, 184, 2, 7)]]);
    }
    expect(reply(asked('n.deb.example', [A('n.deb.example')], 'A', 0, 3))).toMatchObject({
      rcode: 'SERVFAIL',
      answers: [],
    });
    const cut = asked('n.deb.example', [A('n.deb.example')], 'A', 0, packet.TRUNCATED_RESPONSE);
    expect(reply(cut)).toMatchObject({ flag_tc: true, answers: [] });
  });

  it('tells no address of another class, nor glue of another name, not even of the same address', () => {
    const { proxy } = opening();
    const { query, bytes } = only(proxy.ask(client(), question('n.deb.example'), 0), 'ask');
    const { id, questions } = packet.decode(Buffer.from(bytes));
    const chaos = { ...A('n.deb.example'), class: 'CH', data: '93.184.2.9' } as packet.Answer;
    const answer = packet.encode({
      type: 'response',
      id: id ?? 0,
      questions: questions ?? [],
      answers: [A('n.deb.example'), chaos],
      additionals: [A('ns.other.example'), { ...A('ns.deb.example'), data: '93.184.2.8' } as packet.Answer],
    });
    const { openings, wait } = only(proxy.answer(query, answer, 0), 'open');
    expect(openings[0]?.addresses).toEqual([Uint8Array.of(93, 184, 2, 7)]);
    const said = reply(proxy.opened(wait, 0, Outcome.open));
    expect([said.answers?.length, said.additionals]).toEqual([1, []]);
  });

  it('tells no glue of a name that is asked for otherwise', () => {
    const { proxy } = opening();
    const type = 'MX' as const;
    const { query, bytes } = only(proxy.ask(client(), question('n.deb.example', { type }), 0), 'ask');
    const { id, questions } = packet.decode(Buffer.from(bytes));
    const answer = packet.encode({
      type: 'response',
      id: id ?? 0,
      questions: questions ?? [],
      answers: [{ type, name: 'n.deb.example', data: { preference: 1, exchange: 'mail.deb.example' } }],
      additionals: [A('mail.deb.example')],
    });
    const said = reply(proxy.answer(query, answer, 0));
    expect([said.answers?.length, said.additionals]).toEqual([1, []]);
  });

  it('is told with the addresses that there was room for, by every list, and fails without any', () => {
    const { proxy, asked, use } = opening();
    const three = [7, 8, 9].map((i) => ({ ...A('n.cdn.example'), data: `93.184.2.${i}` }) as packet.Answer);
    const all = [CNAME('n.deb.example', 'n.cdn.example'), ...three];
    const { wait } = only(asked('n.deb.example', all), 'open');
    const said = reply(proxy.opened(wait, 0, [false, true, true]));
    expect(said.answers?.map((each) => 'data' in each && each.data)).toEqual([
      'n.cdn.example',
      '93.184.2.8',
      '93.184.2.9',
    ]);
    expect([said.rcode, said.id, said.authorities, proxy.counts.full]).toEqual(['NOERROR', 7, [], 1]);
    use([...LISTS, { key: 'f'.repeat(16), version: '0'.repeat(16) }]);
    const both = only(asked('n.deb.example', all), 'open');
    proxy.opened(both.wait, 0, [false, true, true]);
    expect(
      reply(proxy.opened(both.wait, 1, [true, true])).answers?.map((each) => 'data' in each && each.data),
    ) //
      .toEqual(['n.cdn.example', '93.184.2.8']);
    const none = only(asked('n.deb.example', all), 'open');
    proxy.opened(none.wait, 0, [false, true]);
    expect(error(proxy.opened(none.wait, 1, [true, false, true]))).toEqual(NOT_OPEN);
    expect(proxy.counts).toMatchObject({ full: 3, failed: 1, answered: 2 });
  });

  it('is told with what is open when its time has come twice', () => {
    const { proxy, asked } = opening();
    const both = [A('n.deb.example'), { type: 'AAAA', name: 'n.deb.example', data: '2600:db8::1' }] as const;
    const { wait } = only(asked('n.deb.example', [...both]), 'open');
    proxy.opened(wait, 0, Outcome.open);
    const again = only(proxy.expire(OPEN_MS), 'open');
    expect(again.openings.map(({ family }) => family)).toEqual([4, 6]);
    expect(proxy.opened(again.wait, 0, Outcome.open)).toEqual([]);
    expect(reply(proxy.expire(2 * OPEN_MS)).answers?.map(({ type }) => type)).toEqual(['A']);
  });

  describe('of a service', () => {
    const HTTPS = 'UNKNOWN_65' as packet.RecordType;
    const KEYS = { mandatory: 0, alpn: 1, ipv4hint: 4, ipv6hint: 6 } as const;
    const SIX = '26000db8000000000000000000000001';

    /** `target`: '.' is the name itself; hints are addresses in hex digits. */
    function service(
      target: string,
      parameters: Partial<Record<keyof typeof KEYS, string>>,
      priority = 1,
      ttl = 300,
    ): packet.Answer {
      const words = (...values: readonly number[]): number[] =>
        values.flatMap((each) => [each >> 8, each & 255]);
      const name =
        target === '.' ? [] : target.split('.').flatMap((label) => [label.length, ...Buffer.from(label)]);
      const values = Object.entries(parameters).flatMap(([key, hex]) => {
        const value = Buffer.from(hex, 'hex');
        return [...words(KEYS[key as keyof typeof KEYS], value.length), ...value];
      });
      const data = Buffer.from([...words(priority), ...name, 0, ...values]);
      return { type: HTTPS, name: 'n.deb.example', ttl, data } as never;
    }
    const datas = (effects: readonly ProxyEffect<Client>[]): unknown =>
      reply(effects).answers?.map((each) => (each as unknown as { data: Buffer }).data.toString('hex'));
    const dataOf = (answer: packet.Answer): string =>
      (answer as unknown as { data: Buffer }).data.toString('hex');

    it('has its hints opened, as addresses of the name asked for, and goes as it is', () => {
      const { proxy, asked } = opening();
      const answers = [
        service('.', { alpn: '026832', ipv4hint: '5db802075db80208', ipv6hint: SIX }),
        service('N.deb.example', { ipv4hint: '5db802085db80209' }, 2, 60),
      ];
      const { wait, openings } = only(asked('n.deb.example', answers, HTTPS), 'open');
      expect(openings).toEqual([
        {
          ...LISTS[0],
          family: 4,
          seconds: 330,
          qube: Uint8Array.of(10, 137, 0, 5),
          addresses: [7, 8, 9].map((last) => Uint8Array.of(93, 184, 2, last)),
          label: 'n.deb.example',
        },
        {
          ...LISTS[0],
          family: 6,
          seconds: 330,
          qube: Uint8Array.of(10, 137, 0, 5),
          addresses: [Uint8Array.from(Buffer.from(SIX, 'hex'))],
          label: 'n.deb.example',
        },
      ]);
      expect(proxy.opened(wait, 1, Outcome.open)).toEqual([]);
      expect(datas(proxy.opened(wait, 0, Outcome.open))).toEqual(answers.map(dataOf));
    });

    it.each<[string, readonly (Outcome | readonly boolean[])[], object]>([
      [
        'of the family that the qube is not known in',
        [Outcome.open, Outcome.unknown],
        { ipv4hint: '5db802075db80208' },
      ],
      ['for which there is no room', [[true, false], Outcome.full], { ipv4hint: '5db80207' }],
      ['that are refused', [Outcome.refused, Outcome.open], { ipv6hint: SIX }],
      ['and all of them', [Outcome.refused, Outcome.refused], {}],
    ])('is told without hints %s', (_, outcomes, left) => {
      const { proxy, asked } = opening();
      const all = service('.', { alpn: '026832', ipv4hint: '5db802075db80208', ipv6hint: SIX });
      const { wait } = only(asked('n.deb.example', [all], HTTPS), 'open');
      const effects = outcomes.map((outcome, index) => proxy.opened(wait, index, outcome));
      expect(datas(effects[1] ?? [])).toEqual([dataOf(service('.', { alpn: '026832', ...left }))]);
      expect([proxy.counts.answered, proxy.counts.failed]).toEqual([1, 0]);
    });

    it('is said to be none where its client has to know hints that are not open', () => {
      const { proxy, asked } = opening();
      const all = service('.', { mandatory: '0004', ipv4hint: '5db80207' });
      const { wait } = only(asked('n.deb.example', [all], HTTPS), 'open');
      const said = reply(proxy.opened(wait, 0, Outcome.full));
      expect([said.rcode, said.answers, said.authorities?.length]).toEqual(['NOERROR', [], 1]);
    });

    it('at another name is told where that is open by itself, and else left out', () => {
      const { asked } = opening();
      const [own, open, alias, other] = [
        service('.', { alpn: '026832' }),
        service('m.deb.example', { alpn: '026832' }, 2),
        service('m.deb.example', {}, 0),
        service('n.cdn.example', { ipv4hint: '5db80209' }, 3),
      ];
      expect(datas(asked('n.deb.example', [own, open, alias, other], HTTPS))).toEqual(
        [own, open, alias].map(dataOf),
      );
      const none = reply(asked('n.deb.example', [other], HTTPS));
      expect([none.rcode, none.answers, none.authorities?.length]).toEqual(['NOERROR', [], 1]);
      expect(datas(asked('n.other.example', [other], HTTPS))).toEqual([dataOf(other)]); // no rule accepts it by name
    });

    it('has no more addresses opened than any answer, of both families together', () => {
      const { proxy, asked } = opening('10.137.0.5', false, 'tcp');
      const fours = Array.from({ length: 60 }, (_, i) => `5db802${Buffer.of(i).toString('hex')}`).join('');
      const sixes = Array.from({ length: 10 }, (_, i) => `26000db8${'00'.repeat(11)}0${i}`);
      const all = service('.', { ipv4hint: fours, ipv6hint: sixes.join('') });
      const { wait, openings } = only(asked('n.deb.example', [all], HTTPS), 'open');
      expect(openings.map(({ addresses }) => addresses.length)).toEqual([60, 4]);
      proxy.opened(wait, 0, Outcome.open);
      expect(datas(proxy.opened(wait, 1, Outcome.open))).toEqual([
        dataOf(service('.', { ipv4hint: fours, ipv6hint: sixes.slice(0, 4).join('') })),
      ]);
    });

    it('is told without the addresses beside it that are not open', () => {
      const { proxy } = opening();
      const own = service('.', { ipv4hint: '5db80207' });
      const exchanged = (beside: packet.Answer): packet.DecodedPacket => {
        const { query, bytes } = only(
          proxy.ask(client(), question('n.deb.example', { type: HTTPS }), 0),
          'ask',
        );
        const { id, questions } = packet.decode(Buffer.from(bytes));
        const message = { type: 'response', id: id ?? 0, flags: packet.RECURSION_DESIRED } as const;
        const answer = packet.encode({
          ...message,
          questions: questions ?? [],
          answers: [own],
          additionals: [beside],
        });
        const { wait } = only(proxy.answer(query, answer, 0), 'open');
        return reply(proxy.opened(wait, 0, Outcome.open));
      };
      expect(exchanged(A('n.deb.example')).additionals).toHaveLength(1);
      const said = exchanged({ ...A('n.deb.example'), data: '93.184.2.9' } as packet.Answer);
      expect([said.answers?.length, said.additionals]).toEqual([1, []]);
    });

    it.each([
      ['parameters that are cut off', 'c0'],
      ['hints of half an address', '000400020102'],
    ])('is said to be none that has %s', (_, hex) => {
      const { asked } = opening();
      const broken = {
        type: HTTPS,
        name: 'n.deb.example',
        ttl: 9,
        data: Buffer.from(`000100${hex}`, 'hex'),
      } as never;
      expect(reply(asked('n.deb.example', [broken], HTTPS)).answers).toEqual([]);
    });

    it('is nothing to wait for where there is none', () => {
      const { asked } = opening();
      expect(
        reply(asked('n.deb.example', [CNAME('n.deb.example', 'm.deb.example')], HTTPS)).answers,
      ).toHaveLength(1);
      expect(reply(asked('n.deb.example', [], HTTPS, 0, 3)).rcode).toBe('NXDOMAIN');
    });

    it('is among all that there is of a name said to be nothing', () => {
      const { asked } = opening();
      const said = reply(
        asked('n.deb.example', [A('n.deb.example'), service('.', {})], 'ANY' as packet.RecordType),
      );
      expect([said.rcode, said.answers]).toEqual(['NOERROR', []]);
    });
  });

  it('counts among the questions of its qube that wait', () => {
    const { proxy, asked } = opening();
    for (let i = 0; i < QUESTIONS_MAX; i++)
      only(asked(`n${i}.deb.example`, [A(`n${i}.deb.example`)]), 'open');
    expect(reply(proxy.ask(client(), question('other.example'), 0)).rcode).toBe('SERVFAIL');
    only(proxy.ask(client('udp', '10.137.0.6'), question('other.example'), 0), 'ask');
    proxy.expire(OPEN_MS);
    proxy.expire(2 * OPEN_MS);
    only(proxy.ask(client(), question('other.example'), 2 * OPEN_MS), 'ask');
  });
});
