/** The applier accepts only what a plan can need, from every sender. */

import { describe, expect, it } from 'vitest';
import fc from '../../../test/seeded-fast-check.ts';
import { checkRequest, RequestError } from '../src/apply/check.ts';
import { FrameSplitter, frameOf, parseFrame } from '../src/apply/message.ts';
import { wholeChange } from '../src/plan/change.ts';
import { list, planned, ruleSet, scriptText } from './sample.ts';

const OPTIONS = {
  tag: { release: 'ab'.repeat(32), conditions: 'cd'.repeat(8), mark: 7 },
  downstreamGroup: 2,
  answer: 'reject',
} as const;
const WHOLE = wholeChange(
  planned(
    ruleSet(
      [
        {
          name: 'work',
          prefixes: ['10.0.0.1', 'fd00::/64'],
          egress: ['accept proto=tcp dstports=80', 'drop dst=@bad', 'drop dst=@mixed'],
          ingress: ['accept dsthost=x.example'.replace('dst', 'src')],
        },
        { name: 'default', prefixes: [], egress: ['accept dst4=1.2.3.0/24 proto=icmp icmptype=8'] },
      ],
      {
        bad: list('1.1.1.1', '1.1.1.2', '2001:db8::/32'),
        mixed: list('1.0.0.0/8', '2.2.0.0/16', '3.3.3.0/24'),
      },
    ),
  ),
  OPTIONS,
);
const BODY = new Uint8Array(Buffer.concat(WHOLE.body));

/** The request as JSON made it, for tests to spoil. */
function request(): Spoilable {
  return JSON.parse(JSON.stringify({ kind: 'apply', change: WHOLE.change })) as Spoilable;
}

interface Spoilable {
  kind: unknown;
  change: Record<string, unknown> & {
    added: { set: unknown; at: unknown; count: unknown; above: unknown }[];
  };
}

describe('the check', () => {
  it('takes what the sink makes', () => {
    for (const kind of ['apply', 'stage'])
      expect(checkRequest({ ...request(), kind }, BODY)).toEqual({ kind, change: WHOLE.change });
    const { tag } = WHOLE.change;
    expect(checkRequest({ kind: 'release', tag }, BODY)).toEqual({ kind: 'release', tag });
    for (const resolvers of [null, [], ['0a8b0101', 'fd'.repeat(16)]])
      expect(checkRequest({ kind: 'capture', resolvers }, BODY)).toEqual({ kind: 'capture', resolvers });
  });

  it.each([
    ['no resolvers', undefined],
    ['a text', '0a8b0101'],
    ['an address of neither family', ['0a8b01']],
    ['no hex', ['0a8b010x']],
    ['a number', [1]],
    ['more than are captured', Array(65).fill('0a8b0101')],
  ])('captures no DNS of %s', (_, resolvers) => {
    expect(() => checkRequest({ kind: 'capture', resolvers }, BODY)).toThrow(RequestError);
  });

  const injection = 'x; delete table inet qubes';
  it.each<[string, (spoiled: Spoilable) => void]>([
    [
      'no kind',
      (spoiled) => {
        spoiled.kind = 'exec';
      },
    ],
    [
      'a set by a foreign name',
      ({ change }) => {
        change['newSets'] = ['qubes'];
      },
    ],
    [
      'text behind a name',
      ({ change }) => {
        change['newSets'] = [`s0123456789abcdef_4_i_89abcdef${injection}`];
      },
    ],
    [
      'a line break behind a name',
      ({ change }) => {
        change['newCounters'] = ['c0123456789abcdef\n'];
      },
    ],
    [
      'a chain of another table',
      ({ change }) => {
        change['newChains'] = ['forward'];
      },
    ],
    [
      'a base chain of ours',
      ({ change }) => {
        change['oldChains'] = ['to_qubes'];
      },
    ],
    [
      'the group of the kernel’s own logs',
      ({ change }) => {
        change['logGroup'] = 0;
      },
    ],
    [
      'a group beyond all',
      ({ change }) => {
        change['logGroup'] = 65_536;
      },
    ],
    [
      'a group that is text',
      ({ change }) => {
        change['logGroup'] = injection;
      },
    ],
    [
      'a map by a foreign name',
      ({ change }) => {
        change['oldMaps'] = [injection];
      },
    ],
    [
      'a length that the family lacks',
      ({ change }) => {
        change['newSets'] = ['s0123456789abcdef_4_33_4_89abcdef'];
      },
    ],
    [
      'a release that is no hash',
      ({ change }) => {
        change['tag'] = { release: injection, conditions: '0'.repeat(16), mark: 7 };
      },
    ],
    [
      'a mark beyond its labels',
      ({ change }) => {
        change['tag'] = { release: '0'.repeat(64), conditions: '0'.repeat(16), mark: 97 };
      },
    ],
    [
      'a base that is no tag',
      ({ change }) => {
        change['base'] = 'stale';
      },
    ],
    [
      'an answer of its own',
      ({ change }) => {
        change['answer'] = `drop ${injection}`;
      },
    ],
    [
      'a group that is no number',
      ({ change }) => {
        change['downstreamGroup'] = '2 accept';
      },
    ],
    [
      'a fraction',
      ({ change }) => {
        change['downstreamGroup'] = 2.5;
      },
    ],
    [
      'elements beyond the body',
      ({ change }) => {
        change.added = [{ set: 's0123456789abcdef_4_32_4_89abcdef', at: BODY.length, count: 1, above: -1 }];
      },
    ],
    [
      'elements at odd bytes',
      ({ change }) => {
        change.added = [{ set: 's0123456789abcdef_4_32_4_89abcdef', at: 1, count: 1, above: -1 }];
      },
    ],
    [
      'no elements',
      ({ change }) => {
        change.added = [{ set: 's0123456789abcdef_4_32_4_89abcdef', at: 0, count: 0, above: -1 }];
      },
    ],
    [
      'more elements than there can be',
      ({ change }) => {
        change.added = [{ set: 's0123456789abcdef_4_32_4_89abcdef', at: 0, count: 2 ** 31, above: -1 }];
      },
    ],
    [
      'a set without an element',
      ({ change }) => {
        change.added = [{ set: 's0123456789abcdef_4_32_4_89abcdef', at: 0, count: 1, above: 32 }];
      },
    ],
    [
      'an address of the other family',
      ({ change }) => {
        change['keys'] = [{ map: 'de6_128_89abcdef', address: '0a000001', chain: 'e6_0123456789abcdef' }];
      },
    ],
    [
      'an address in words',
      ({ change }) => {
        change['keys'] = [{ map: 'de4_32_89abcdef', address: '10.0.0.1', chain: 'e4_0123456789abcdef' }];
      },
    ],
    [
      'a rule with a text',
      ({ change }) => {
        change['chains'] = [chainWith({ counter: `c0123456789abcdef ${injection}` })];
      },
    ],
    [
      'a protocol beyond a byte',
      ({ change }) => {
        change['chains'] = [chainWith({ protocols: [256] })];
      },
    ],
    [
      'three protocols',
      ({ change }) => {
        change['chains'] = [chainWith({ protocols: [1, 2, 3] })];
      },
    ],
    [
      'ports that run backwards',
      ({ change }) => {
        change['chains'] = [chainWith({ ports: [2, 1] })];
      },
    ],
    [
      'a verdict of its own',
      ({ change }) => {
        change['chains'] = [chainWith({ action: 'queue' })];
      },
    ],
    [
      'a step of its own',
      ({ change }) => {
        change['chains'] = [chainWith({ kind: 'exec' })];
      },
    ],
  ])('refuses %s', (_, spoil) => {
    const spoiled = request();
    spoil(spoiled);
    expect(() => checkRequest(spoiled, BODY)).toThrow(RequestError);
  });

  it.each([
    ['host bits', [0x0a000001], [8], 's0123456789abcdef_4_8_4_89abcdef'],
    ['host bits beyond a word', [0x20010db8, 0, 0, 1], [64], 's0123456789abcdef_6_i_89abcdef'],
    ['a length that the family lacks', [0x0a000001], [33], 's0123456789abcdef_4_i_89abcdef'],
  ])('refuses prefixes with %s', (_, words, lengths, set) => {
    const spoiled = request();
    spoiled.change.added = [{ set, at: 0, count: 1, above: -1 }];
    spoiled.change['removed'] = [];
    const column = (length: number) =>
      new Uint8Array([...new Uint8Array(Uint32Array.from(words).buffer), length, 0, 0, 0]);
    expect(() => checkRequest(spoiled, column(lengths[0] ?? 0))).toThrow('no network of its length');
  });

  it('refuses a look at too many sets, and takes as many as may be', () => {
    const most = 262_144;
    const of = (count: number) => ({
      kind: 'look',
      sets: new Array(count).fill('s0123456789abcdef_4_i_89abcdef'),
      maps: [],
      probes: [],
      classProbes: [],
    });
    expect(checkRequest(of(most), BODY)).toEqual(of(most));
    expect(() => checkRequest(of(most + 1), BODY)).toThrow(`more than ${most}`);
  });

  it('lets no request through that says anything else than it did, whatever is put in its place', () => {
    const paths = pathsOf(request());
    const spoil = fc.tuple(
      fc.constantFrom(...paths),
      fc.oneof(fc.jsonValue(), fc.constant(injection), fc.double(), fc.constant(2 ** 53)),
    );
    const words = /^[a-z0-9_{}:;,.&=!@|()\-/ \n]*$/i; // no quote, no comment, no escape
    fc.assert(
      fc.property(fc.array(spoil, { minLength: 1, maxLength: 3 }), (changes) => {
        const spoiled = request();
        for (const [path, value] of changes) put(spoiled, path, value);
        let taken: ReturnType<typeof checkRequest>;
        try {
          taken = checkRequest(spoiled, BODY);
        } catch (error) {
          expect(error).toBeInstanceOf(RequestError);
          return;
        }
        if (taken.kind !== 'apply') return;
        const script = scriptText(taken.change, BODY);
        expect(script).toMatch(words);
        for (const line of script.trimEnd().split('\n'))
          expect(line).toMatch(/^(add|delete|flush) (table inet rulecast_a$|[a-z]+ inet rulecast_a )/);
        expect(script).not.toContain('qubes;');
      }),
      { numRuns: 2000 },
    );
  });
});

describe('a frame', () => {
  const frames = [
    frameOf({ id: 1, request: { kind: 'counters' } }),
    frameOf({ died: true }, [Uint8Array.of(1, 2, 3)]),
  ];
  const stream = Buffer.concat(frames.flat().map((piece) => Buffer.from(piece)));

  it('comes out of a stream however it is cut', () => {
    for (let size = 1; size <= stream.length; size++) {
      const splitter = new FrameSplitter();
      const out: ReturnType<typeof parseFrame>[] = [];
      for (let at = 0; at < stream.length; at += size) {
        for (const frame of splitter.push(stream.subarray(at, at + size))) out.push(parseFrame(frame));
      }
      expect(out).toEqual([
        { header: { id: 1, request: { kind: 'counters' } }, body: new Uint8Array(0) },
        { header: { died: true }, body: Uint8Array.of(1, 2, 3) },
      ]);
    }
  });

  it.each([
    ['header', [0xffffffff, 0]],
    ['body', [2, 0xffffffff]],
  ])('with a %s over the limits is left out, as long as it claims to be, and not gathered', (_, lengths) => {
    const prefix = Buffer.from(Uint32Array.from(lengths).buffer);
    const splitter = new FrameSplitter();
    expect([...splitter.push(Buffer.concat([prefix, Buffer.alloc(5)]))]).toEqual([]);
    const megabyte = Buffer.alloc(1_048_576);
    let left = (lengths[0] ?? 0) + (lengths[1] ?? 0) - 5;
    for (; left > megabyte.length; left -= megabyte.length) expect([...splitter.push(megabyte)]).toEqual([]);
    const last = Buffer.concat([megabyte.subarray(0, left), stream]);
    expect([...splitter.push(last)].map(parseFrame)).toMatchObject([
      { header: { id: 1 } },
      { header: { died: true } },
    ]);
  });
});

function chainWith(fields: Readonly<Record<string, unknown>>): unknown {
  const rule = {
    kind: 'rule',
    remote: { kind: 'any' },
    protocols: [],
    action: 'accept',
    counter: 'c0123456789abcdef',
  };
  return { name: 'e4_0123456789abcdef', steps: [{ ...rule, ...fields }] };
}

type Path = readonly (string | number)[];

function pathsOf(value: unknown, at: Path = []): readonly Path[] {
  if (typeof value !== 'object' || value === null) return [at];
  return [at, ...Object.entries(value).flatMap(([key, inner]) => pathsOf(inner, [...at, key]))].filter(
    (path) => path.length > 0,
  );
}

function put(target: object, path: Path, value: unknown): void {
  let inner: unknown = target;
  for (const key of path.slice(0, -1))
    inner = typeof inner === 'object' && inner !== null ? Reflect.get(inner, key) : undefined;
  if (typeof inner === 'object' && inner !== null) Reflect.set(inner, path.at(-1) ?? '', value);
}
