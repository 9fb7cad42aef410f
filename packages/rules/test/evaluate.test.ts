import { describe, expect, it } from 'vitest';
import { prefixSetFrom, runsFrom } from '../../../test/kit/rules.ts';
import {
  addressJudgedBy,
  beginsFlow,
  type Environment,
  evaluate,
  evaluateFlow,
  type Packet,
  type Verdict,
} from '../src/evaluate.ts';
import { type List, nameListOf, prefixListOf } from '../src/list.ts';
import { COMMON_POLICY, DEFAULT_POLICY, type Policy } from '../src/policy.ts';
import { type Address, formatAddress, formatPrefix, parseAddress } from '../src/prefix.ts';
import type { PrefixSet } from '../src/prefix-set.ts';
import type { Action } from '../src/rule.ts';
import { bootBehindFirst, type RuleSet } from '../src/rule-set.ts';
import { RunBuilder } from '../src/runs.ts';

const NOW = 1_700_000_000;
const ENVIRONMENT: Environment = { now: NOW, dns: [address('10.139.1.1'), address('fd09::1')] };

function address(text: string): Address {
  const result = parseAddress(text);
  if (result === undefined) throw new Error(text);
  return result;
}

interface PolicyText {
  readonly prefixes?: readonly string[];
  readonly egress?: readonly string[];
  readonly ingress?: readonly string[];
  readonly defaultAction?: Action;
  readonly exceptions?: { readonly egress?: readonly string[]; readonly ingress?: readonly string[] };
}

function ruleSet(
  policies: Readonly<Record<string, PolicyText>>,
  lists: Readonly<Record<string, List>> = {},
  resolutions: Readonly<Record<string, PrefixSet>> = {},
  unmatched?: Action,
): RuleSet {
  const built = Object.entries(policies).map(
    ([name, text]): Policy => ({
      name,
      prefixes: prefixSetFrom(text.prefixes ?? []),
      defaultAction: text.defaultAction ?? 'drop',
      exceptions: {
        egress: runsFrom('egress', text.exceptions?.egress ?? [], NOW),
        ingress: runsFrom('ingress', text.exceptions?.ingress ?? [], NOW),
      },
      egress: runsFrom('egress', text.egress ?? [], NOW),
      ingress: runsFrom('ingress', text.ingress ?? [], NOW),
    }),
  );
  return {
    lists: new Map(Object.entries(lists)),
    policies: new Map(built.map((policy) => [policy.name, policy])),
    resolutions: new Map(Object.entries(resolutions)),
    unmatched,
  };
}

/** A packet of egress from 10.137.0.5 to 1.2.3.4, TCP port 443, but for what is given. */
function packet(given: Omit<Partial<Packet>, 'src' | 'dst'> & { src?: string; dst?: string } = {}): Packet {
  return {
    direction: 'egress',
    proto: 6,
    port: 443,
    icmpType: undefined,
    ...given,
    src: address(given.src ?? '10.137.0.5'),
    dst: address(given.dst ?? '1.2.3.4'),
  };
}

/**
 * `action policy[/rule policy]#run.index list prefix`, `action policy default`, or `action unmatched`; `!`
 * marks an exception.
 */
function brief(verdict: Verdict): string {
  const by = verdict.by;
  if (by === undefined) return verdict.action;
  const judge = by.policy ?? 'unmatched';
  if (by.rule === undefined) {
    return `${verdict.action} ${by.direction} ${judge}${by.policy === undefined ? '' : ' default'}`;
  }
  const { policy, block, run, index, list, prefix } = by.rule;
  expect(block === 'common').toBe(policy === COMMON_POLICY);
  const owner = policy === by.policy ? policy : `${judge}/${policy}`;
  const where = block === 'exceptions' ? `${owner}!` : owner;
  return `${verdict.action} ${by.direction} ${where} #${run}.${index} ${list ?? '-'} ${prefix === undefined ? '-' : formatPrefix(prefix)}`;
}

function judged(set: RuleSet, given: Packet, environment = ENVIRONMENT): string {
  return brief(evaluate(set, environment, given));
}

describe('which policy judges', () => {
  const set = ruleSet({
    [DEFAULT_POLICY]: { egress: ['accept dst4=1.2.3.4'] },
    wide: { prefixes: ['10.137.0.0/16', 'fd00::/8'], egress: ['drop'], ingress: ['accept'] },
    narrow: { prefixes: ['10.137.0.5'], egress: ['accept'], defaultAction: 'accept' },
  });

  it.each([
    ['10.137.0.5', 'accept egress narrow #0.0 - -'],
    ['10.137.0.6', 'drop egress wide #0.0 - -'],
    ['fd00::1', 'drop egress wide #0.0 - -'],
    ['10.138.0.1', 'accept egress default #0.0 - 1.2.3.4/32'],
    ['fe80::1', 'accept egress default #0.0 - 1.2.3.4/32'],
  ])('egress from %s: the longest prefix, or default', (src, expected) => {
    expect(judged(set, packet({ src }))).toBe(expected);
  });

  it('egress without a source is judged by default', () => {
    expect(judged(set, { ...packet(), src: undefined })).toBe('accept egress default #0.0 - 1.2.3.4/32');
  });

  it.each([
    ['10.137.0.5', 'accept ingress wide #0.0 - -'],
    ['10.138.0.1', 'none'],
  ])(
    'ingress to %s: the longest prefix among policies with ingress rules, never default',
    (dst, expected) => {
      expect(judged(set, packet({ direction: 'ingress', src: '1.2.3.4', dst }))).toBe(expected);
    },
  );

  it.each<[string, 4 | 6, string | undefined]>([
    ['host', 4, '10.0.0.9'],
    ['host', 6, undefined],
    ['wide', 4, '10.0.0.255'], // its first is of another
    ['narrow', 4, '10.0.0.0'],
    ['hidden', 4, undefined], // others have all of it
    ['two', 4, '10.3.0.1'],
    ['two', 6, 'fd00::'],
    ['nobody', 4, undefined],
  ])('%s judges, of IPv%i, the address %s', (name, family, text) => {
    const all = ruleSet({
      host: { prefixes: ['10.0.0.9'] },
      wide: { prefixes: ['10.0.0.0/24'] },
      narrow: { prefixes: ['10.0.0.0/30'] },
      hidden: { prefixes: ['10.2.0.0/31'] },
      one: { prefixes: ['10.2.0.0', '10.2.0.1', '10.3.0.0'] },
      two: { prefixes: ['10.2.0.0/31', '10.3.0.0/31', 'fd00::/64'] },
      nobody: {},
    });
    const policy = all.policies.get(name);
    const found = policy && addressJudgedBy(all, policy, family);
    expect(found && formatAddress(found)).toBe(text);
  });

  it.each([
    [63, '10.9.0.126'],
    [64, undefined],
  ])('of a policy, %i of whose networks others have, it is looked at 64', (hidden, text) => {
    const ends = Array.from({ length: hidden * 2 }, (_, i) => `10.9.0.${i}`);
    const networks = Array.from({ length: 65 }, (_, i) => `10.9.0.${i * 2}/31`);
    const all = ruleSet({ others: { prefixes: ends }, asked: { prefixes: networks } });
    const policy = all.policies.get('asked');
    const found = policy && addressJudgedBy(all, policy, 4);
    expect(found && formatAddress(found)).toBe(text);
  });

  it('a policy without egress rules judges by its default action', () => {
    const only = ruleSet({ [DEFAULT_POLICY]: { egress: ['accept'] }, a: { prefixes: ['10.0.0.0/8'] } });
    expect(judged(only, packet())).toBe('drop egress a default');
  });

  it('nobody judges where there is no policy, common alone included', () => {
    const only = ruleSet({ [COMMON_POLICY]: { egress: ['drop'], ingress: ['drop'] } });
    expect(judged(only, packet())).toBe('none');
    expect(judged(only, packet({ direction: 'ingress' }))).toBe('none');
    expect(judged(only, packet({ direction: 'both' }))).toBe('none');
    expect(judged(ruleSet({}), packet())).toBe('none');
  });
});

describe('which rule decides', () => {
  const set = ruleSet({
    [COMMON_POLICY]: { egress: ['drop dst4=198.51.100.0/24'], ingress: ['drop src4=198.51.100.0/24'] },
    a: {
      prefixes: ['10.137.0.5'],
      egress: ['drop dst4=1.2.0.0/16', 'drop dst4=1.2.3.0/24', 'accept dst4=1.0.0.0/8', 'accept dst6=::/0'],
      ingress: ['accept src4=198.51.0.0/16 proto=tcp'],
    },
  });

  it.each([
    ['198.51.100.7', 'drop egress a/common #0.0 - 198.51.100.0/24'],
    ['1.2.3.4', 'drop egress a #0.0 - 1.2.0.0/16'],
    ['1.3.0.0', 'accept egress a #1.2 - 1.0.0.0/8'],
    ['2001:db8::1', 'accept egress a #2.3 - ::/0'],
    ['2.0.0.0', 'drop egress a default'],
  ])('egress to %s: common first, then the first that matches', (dst, expected) => {
    expect(judged(set, packet({ dst }))).toBe(expected);
  });

  it.each([
    ['198.51.100.7', 'drop ingress a/common #0.0 - 198.51.100.0/24'],
    ['198.51.101.7', 'accept ingress a #0.0 - 198.51.0.0/16'],
    ['198.52.0.0', 'drop ingress a default'],
  ])('ingress from %s: rules look at the source', (src, expected) => {
    expect(judged(set, packet({ direction: 'ingress', src, dst: '10.137.0.5' }))).toBe(expected);
  });

  it('ingress without a source matches no rule that names one', () => {
    const given = { ...packet({ direction: 'ingress', dst: '10.137.0.5' }), src: undefined };
    expect(judged(set, given)).toBe('drop ingress a default');
    const any = ruleSet({ a: { prefixes: ['10.137.0.5'], ingress: ['accept'] } });
    expect(judged(any, given)).toBe('accept ingress a #0.0 - -');
  });
});

//
describe('the policy first', () => {
  const first = {
    egress: ['drop dst4=198.51.100.0/24', 'drop dst=@bad proto=tcp dstports=25', 'drop dst6=2001:db8::/32'],
    ingress: ['drop src4=198.51.100.0/24'],
  };
  const lists = { bad: prefixListOf(prefixSetFrom(['1.2.3.0/24'])) };
  const a = {
    prefixes: ['10.137.0.5'],
    egress: ['accept'],
    ingress: ['accept'],
    exceptions: { egress: ['accept dst4=198.51.100.7'], ingress: ['accept src4=198.51.100.7'] },
  };
  const set = ruleSet({ first, a, [COMMON_POLICY]: { egress: ['accept dst4=198.51.100.7'] } }, lists);

  it.each<[string, Parameters<typeof packet>[0], string]>([
    ['before exceptions', { dst: '198.51.100.7' }, 'drop egress first #0.0 - 198.51.100.0/24'],
    ['by a list and a port', { port: 25 }, 'drop egress first #1.1 bad 1.2.3.0/24'],
    ['where the port cannot be read', { port: undefined }, 'drop egress first #1.1 bad 1.2.3.0/24'],
    ['nothing else', { port: 443 }, 'accept egress a #0.0 - -'],
    [
      'what a qube sends that nobody judges',
      { src: '10.9.9.9', port: 25 },
      'drop egress first #1.1 bad 1.2.3.0/24',
    ],
    ['nothing else of such a qube', { src: '10.9.9.9' }, 'none'],
    [
      'what goes to a qube before its exceptions',
      { direction: 'ingress', src: '198.51.100.7', dst: '10.137.0.5' },
      'drop ingress first #0.0 - 198.51.100.0/24',
    ],
    [
      'what goes to a qube that nobody judges',
      { direction: 'ingress', src: '198.51.100.7', dst: '10.9.9.9' },
      'drop ingress first #0.0 - 198.51.100.0/24',
    ],
    [
      'and makes nobody judge the rest of that',
      { direction: 'ingress', src: '1.2.3.4', dst: '10.9.9.9' },
      'none',
    ],
    [
      'what goes from one qube to another, by the ingress of that',
      { direction: 'both', src: '198.51.100.7', dst: '10.9.9.9' },
      'drop ingress first #0.0 - 198.51.100.0/24',
    ],
  ])('drops %s', (_what, given, expected) => {
    expect(judged(set, packet(given))).toBe(expected);
  });

  it('drops without a source, and with nothing else in the rule set', () => {
    const alone = ruleSet({ first }, lists);
    expect(judged(alone, { ...packet({ port: 25 }), src: undefined })).toBe(
      'drop egress first #1.1 bad 1.2.3.0/24',
    );
    expect(judged(alone, { ...packet(), src: undefined })).toBe('none');
  });

  //
  it.each<[Action, string, string]>([
    ['accept', '25', 'drop egress first #1.1 bad 1.2.3.0/24'],
    ['accept', '443', 'accept egress default default'],
    ['drop', '25', 'drop egress first #1.1 bad 1.2.3.0/24'],
    ['drop', '443', 'drop egress default default'],
  ])('is judged before a boot mode that %ss: port %s', (defaultAction, port, expected) => {
    const boot = ruleSet({ [DEFAULT_POLICY]: { defaultAction } });
    expect(judged(bootBehindFirst(boot, ruleSet({ first }, lists)), packet({ port: Number(port) }))).toBe(
      expected,
    );
    expect(bootBehindFirst(boot, ruleSet({}, lists))).toBe(boot);
  });

  it('opens nothing by an accept, which makes a rule set unsound', () => {
    expect(judged(ruleSet({ first: { egress: ['accept'] } }), packet())).toBe('drop egress first #0.0 - -');
  });
});

describe('qubes that no policy names', () => {
  const common = { egress: ['drop dst4=198.51.100.0/24', 'accept dst4=192.0.2.7'], ingress: ['drop'] };
  const work = { prefixes: ['10.137.0.5'], egress: ['accept'], ingress: ['accept'] };
  const other = (given: Parameters<typeof packet>[0] = {}): Packet => packet({ src: '10.137.0.9', ...given });

  it.each<[Action | undefined, string, string]>([
    ['drop', '203.0.113.7', 'drop egress unmatched'],
    ['drop', '198.51.100.7', 'drop egress unmatched/common #0.0 - 198.51.100.0/24'],
    ['drop', '192.0.2.7', 'accept egress unmatched/common #1.1 - 192.0.2.7/32'],
    ['accept', '203.0.113.7', 'none'],
    ['accept', '198.51.100.7', 'drop egress unmatched/common #0.0 - 198.51.100.0/24'],
    ['accept', '192.0.2.7', 'accept egress unmatched/common #1.1 - 192.0.2.7/32'],
    [undefined, '203.0.113.7', 'none'],
    [undefined, '198.51.100.7', 'none'], // a rule set that says nothing keeps its meaning
  ])('unmatched %s, egress to %s: common, then what is said', (unmatched, dst, expected) => {
    const set = ruleSet({ common, work }, {}, {}, unmatched);
    expect(judged(set, other({ dst }))).toBe(expected);
  });

  it.each<[string, string]>([
    ['fd00::5', 'drop egress unmatched'], // of a qube of which only the IPv4 address is named
    ['10.137.0.5', 'accept egress work #0.0 - -'],
  ])('the other family of a policy of one family is judged alike: from %s', (src, expected) => {
    const set = ruleSet({ work }, {}, {}, 'drop');
    expect(judged(set, packet({ src, dst: src.includes(':') ? '2001:db8::1' : '1.2.3.4' }))).toBe(expected);
  });

  it('an unknown source is that of no policy', () => {
    expect(judged(ruleSet({ work }, {}, {}, 'drop'), { ...packet(), src: undefined })).toBe(
      'drop egress unmatched',
    );
  });

  it('default goes before unmatched', () => {
    const set = ruleSet({ work, [DEFAULT_POLICY]: { egress: [], defaultAction: 'accept' } }, {}, {}, 'drop');
    expect(judged(set, other())).toBe('accept egress default default');
  });

  it.each<[Action | undefined, string]>([
    ['drop', 'drop egress unmatched'],
    ['accept', 'none'],
    [undefined, 'none'],
  ])('without any policy, unmatched %s decides', (unmatched, expected) => {
    expect(judged(ruleSet({}, {}, {}, unmatched), other())).toBe(expected);
  });

  it('ingress is not judged by it', () => {
    const set = ruleSet({ common, work }, {}, {}, 'drop');
    expect(judged(set, packet({ direction: 'ingress', src: '1.2.3.4', dst: '10.137.0.9' }))).toBe('none');
    expect(judged(set, packet({ direction: 'both', src: '10.137.0.9', dst: '10.137.0.8' }))).toBe(
      'drop egress unmatched',
    );
  });

  //
  it('a word that is neither closes', () => {
    const set = { ...ruleSet({ work }), unmatched: 'close' as Action };
    expect(judged(set, other())).toBe('drop egress unmatched');
  });
});

describe('exceptions', () => {
  const set = ruleSet({
    [COMMON_POLICY]: { egress: ['drop dst4=198.51.100.0/24'], ingress: ['drop src4=198.51.100.0/24'] },
    work: {
      prefixes: ['10.137.0.5'],
      exceptions: {
        egress: ['accept dst4=198.51.100.7 proto=tcp', 'drop dst4=1.2.3.4'],
        ingress: ['accept src4=198.51.100.8'],
      },
      egress: ['accept dst4=1.2.3.4', 'accept dst4=198.51.100.7'],
    },
    [DEFAULT_POLICY]: { exceptions: { egress: ['accept dst4=198.51.100.9'] }, egress: ['accept'] },
  });

  it.each<[string, Parameters<typeof packet>[0], string]>([
    ['before common', { dst: '198.51.100.7' }, 'accept egress work! #0.0 - 198.51.100.7/32'],
    [
      'common where none matches',
      { dst: '198.51.100.7', proto: 17 },
      'drop egress work/common #0.0 - 198.51.100.0/24',
    ],
    ['before the own rules', { dst: '1.2.3.4' }, 'drop egress work! #1.1 - 1.2.3.4/32'],
    [
      'of this policy only',
      { src: '10.137.0.6', dst: '198.51.100.7' },
      'drop egress default/common #0.0 - 198.51.100.0/24',
    ],
    [
      'of default',
      { src: '10.137.0.6', dst: '198.51.100.9' },
      'accept egress default! #0.0 - 198.51.100.9/32',
    ],
    [
      'of ingress, which make the policy judge it',
      { direction: 'ingress', src: '198.51.100.8', dst: '10.137.0.5' },
      'accept ingress work! #0.0 - 198.51.100.8/32',
    ],
    [
      'of ingress, then common',
      { direction: 'ingress', src: '198.51.100.9', dst: '10.137.0.5' },
      'drop ingress work/common #0.0 - 198.51.100.0/24',
    ],
    [
      'of ingress, then the default action',
      { direction: 'ingress', src: '9.9.9.9', dst: '10.137.0.5' },
      'drop ingress work default',
    ],
  ])('%s', (_, given, expected) => {
    expect(judged(set, packet(given))).toBe(expected);
  });

  it('that cannot be read drop, before common could accept', () => {
    const ports = ruleSet({
      [COMMON_POLICY]: { egress: ['accept'] },
      work: { prefixes: ['10.137.0.5'], exceptions: { egress: ['accept proto=tcp dstports=443'] } },
    });
    expect(judged(ports, packet({ port: undefined }))).toBe('drop egress work! #0.0 - -');
    expect(judged(ports, packet({ port: 80 }))).toBe('accept egress work/common #0.0 - -');
  });
});

describe('between two qubes', () => {
  const between = packet({ direction: 'both', src: '10.0.0.1', dst: '10.0.0.2' });

  it.each([
    ['accept', 'accept', 'accept egress a #0.0 - -'],
    ['accept', 'drop', 'drop ingress b #0.0 - -'],
    ['drop', 'accept', 'drop egress a #0.0 - -'],
    ['drop', 'drop', 'drop egress a #0.0 - -'],
    ['drop', undefined, 'drop egress a #0.0 - -'],
    ['accept', undefined, 'accept egress a #0.0 - -'],
    [undefined, 'drop', 'drop ingress b #0.0 - -'],
    [undefined, 'accept', 'accept ingress b #0.0 - -'],
    [undefined, undefined, 'none'],
  ] as const)('egress %s and ingress %s make %s', (egress, ingress, expected) => {
    const set = ruleSet({
      ...(egress && { a: { prefixes: ['10.0.0.1'], egress: [egress] } }),
      ...(ingress && { b: { prefixes: ['10.0.0.2'], ingress: [ingress] } }),
    });
    expect(judged(set, between)).toBe(expected);
  });
});

/** What a single rule decides, with a default action that is its opposite. */
function decides(line: string, given: Packet, environment = ENVIRONMENT): boolean {
  const action = line.startsWith('accept') ? 'drop' : 'accept';
  const set = ruleSet({ [DEFAULT_POLICY]: { egress: [line], defaultAction: action } });
  return evaluate(set, environment, given).by?.rule !== undefined;
}

describe('what a rule matches', () => {
  it.each([
    ['accept proto=tcp', packet(), true],
    ['accept proto=udp', packet(), false],
    ['accept proto=tcp', packet({ proto: 17 }), false],
    ['accept proto=icmp', packet({ proto: 1, port: undefined, icmpType: 8 }), true],
    ['accept proto=icmp', packet({ proto: 58, port: undefined, icmpType: 8 }), false],
    ['accept proto=icmp', packet({ proto: 58, dst: '2001:db8::1', icmpType: 128 }), true],
    ['accept proto=icmp', packet({ proto: 1, dst: '2001:db8::1', icmpType: 8 }), false],
    ['accept proto=icmp icmptype=8', packet({ proto: 1, icmpType: 8 }), true],
    ['accept proto=icmp icmptype=8', packet({ proto: 1, icmpType: 0 }), false],
    ['accept proto=icmp icmptype=0', packet({ proto: 1, icmpType: 0 }), true],
    ['accept proto=tcp dstports=442-443', packet(), true],
    ['accept proto=tcp dstports=443-444', packet(), true],
    ['accept proto=tcp dstports=444-500', packet(), false],
    ['accept proto=tcp dstports=1-442', packet(), false],
    ['accept dst4=0.0.0.0/0', packet(), true],
    ['accept dst4=0.0.0.0/0', packet({ dst: '::1' }), false],
    ['accept dst6=::/0', packet(), false],
    ['accept specialtarget=dns', packet({ dst: '10.139.1.1', port: 53 }), true],
    ['accept specialtarget=dns', packet({ dst: '10.139.1.1', port: 53, proto: 17 }), true],
    ['accept specialtarget=dns', packet({ dst: 'fd09::1', port: 53, proto: 17 }), true],
    ['accept specialtarget=dns', packet({ dst: '10.139.1.1', port: 54 }), false],
    ['accept specialtarget=dns', packet({ dst: '10.139.1.2', port: 53 }), false],
    ['accept specialtarget=dns', packet({ dst: '10.139.1.1', port: 53, proto: 132 }), false],
    ['accept proto=udp specialtarget=dns', packet({ dst: '10.139.1.1', port: 53 }), false],
    ['accept dst4=10.139.1.2 specialtarget=dns', packet({ dst: '10.139.1.1', port: 53 }), false],
    ['accept', packet({ proto: 47, port: undefined }), true],
  ])('%s, case %#: %o is %s', (line, given, expected) => {
    expect(decides(line, given)).toBe(expected);
  });

  //
  it('is in force while the clock is below its expiry', () => {
    for (const [now, expected] of [
      [99, true],
      [100, false],
      [101, false],
    ] as const) {
      expect(decides('accept expire=100', packet(), { ...ENVIRONMENT, now })).toBe(expected);
      expect(decides('drop expire=100', packet(), { ...ENVIRONMENT, now })).toBe(expected);
    }
  });

  // There was one clock, and it opened when it was set: back, and an accept rule lived on; forward, and a
  // drop rule ended.
  it.each([
    ['accept', 99, 98, true],
    ['accept', 100, 98, false],
    ['accept', 100, 100, false],
    ['drop', 99, 98, true],
    ['drop', 100, 99, true],
    ['drop', 100, 100, false],
  ])('%s expire=100, by clocks that show %i and %i: %s', (action, now, earliest, expected) => {
    expect(decides(`${action} expire=100`, packet(), { ...ENVIRONMENT, now, earliest })).toBe(expected);
  });
});

describe('a rule value that no line can say', () => {
  const rule = {
    action: 'accept',
    dns: false,
    expire: undefined,
    comment: undefined,
    remote: { kind: 'any' },
  } as const;

  it.each([
    [{ proto: undefined, ports: undefined, icmpType: 8 }, packet({ proto: 1, icmpType: 8 }), 'accept'],
    [{ proto: undefined, ports: undefined, icmpType: 8 }, packet({ proto: 17, icmpType: 8 }), 'drop'],
    [{ proto: undefined, ports: { first: 1, last: 500 }, icmpType: undefined }, packet(), 'accept'],
    [
      { proto: undefined, ports: { first: 1, last: 500 }, icmpType: undefined },
      packet({ proto: 132 }),
      'drop',
    ],
  ] as const)(
    'still reads types of ICMP and ports of TCP and UDP only, case %#',
    (narrowing, given, expected) => {
      const builder = new RunBuilder();
      builder.push({ ...rule, ...narrowing });
      const set = ruleSet({ [DEFAULT_POLICY]: {} });
      const policy = set.policies.get(DEFAULT_POLICY);
      if (policy === undefined) throw new Error('no default policy');
      const policies = new Map([[DEFAULT_POLICY, { ...policy, egress: builder.build() }]]);
      expect(evaluate({ ...set, policies }, ENVIRONMENT, given).action).toBe(expected);
    },
  );
});

//
describe('without a readable port or ICMP type', () => {
  const fragment = packet({ port: undefined });
  const noType = packet({ proto: 1, port: undefined });
  const dnsFragment = packet({ port: undefined, dst: '10.139.1.1', proto: 17 });

  it.each([
    ['accept proto=tcp dstports=443', fragment, 'drop egress default #0.0 - -'],
    ['drop proto=tcp dstports=443', fragment, 'drop egress default #0.0 - -'],
    ['accept dst4=1.2.3.0/24 proto=tcp dstports=443', fragment, 'drop egress default #0.0 - 1.2.3.0/24'],
    ['accept proto=udp dstports=443', fragment, 'accept egress default #1.1 - -'],
    ['accept dst4=9.0.0.0/8 proto=tcp dstports=443', fragment, 'accept egress default #1.1 - -'],
    ['accept expire=1 proto=tcp dstports=443', fragment, 'accept egress default #1.1 - -'],
    ['accept proto=tcp', fragment, 'accept egress default #0.0 - -'],
    ['accept specialtarget=dns', dnsFragment, 'drop egress default #0.0 - -'],
    ['accept specialtarget=dns', fragment, 'accept egress default #1.1 - -'],
    ['accept proto=icmp icmptype=8', noType, 'drop egress default #0.0 - -'],
    ['accept proto=icmp', noType, 'accept egress default #0.0 - -'],
    ['accept proto=icmp icmptype=8', fragment, 'accept egress default #1.1 - -'],
  ])('%s before accept, case %#: a rule that could match drops', (line, given, expected) => {
    const set = ruleSet({ [DEFAULT_POLICY]: { egress: [line, 'accept'] } });
    expect(judged(set, given)).toBe(expected);
  });
});

describe('lists and names', () => {
  const lists = {
    bad: prefixListOf(prefixSetFrom(['198.51.100.0/24', '203.0.113.7', '2001:db8::/32'])),
    hosts: nameListOf(['one.test', 'two.test', 'gone.test'], true),
    unresolved: nameListOf(['one.test'], false),
  };
  const resolutions = {
    'one.test': prefixSetFrom(['192.0.2.1', '2001:db8:1::1']),
    'two.test': prefixSetFrom(['192.0.2.0/30', '192.0.2.9']),
  };
  const set = ruleSet(
    {
      [DEFAULT_POLICY]: {
        egress: [
          'drop dst=@bad',
          'drop dst=@unresolved',
          'drop dst=@missing',
          'accept dst=@hosts',
          'accept dsthost=far.test',
          'accept dsthost=one.test',
        ],
      },
      b: { prefixes: ['10.0.0.2'], ingress: ['drop src=@bad'], defaultAction: 'accept' },
    },
    lists,
    { ...resolutions, 'far.test': prefixSetFrom(['192.0.2.77']) },
  );

  it.each([
    ['198.51.100.200', 'drop egress default #0.0 bad 198.51.100.0/24'],
    ['203.0.113.7', 'drop egress default #0.0 bad 203.0.113.7/32'],
    ['203.0.113.8', 'drop egress default default'],
    ['2001:db8::5', 'drop egress default #0.0 bad 2001:db8::/32'],
    ['192.0.2.9', 'accept egress default #3.3 hosts 192.0.2.9/32'],
    ['192.0.2.77', 'accept egress default #4.4 - 192.0.2.77/32'],
  ])('%s: the list and its member, or the name and its address', (dst, expected) => {
    expect(judged(set, packet({ dst }))).toBe(expected);
  });

  it('a list of names is the union of its resolutions: the widest member holds the address', () => {
    expect(judged(set, packet({ dst: '192.0.2.1' }))).toBe('accept egress default #3.3 hosts 192.0.2.0/30');
  });

  it('ingress looks for the source in the list', () => {
    const given = packet({ direction: 'ingress', src: '203.0.113.7', dst: '10.0.0.2' });
    expect(judged(set, given)).toBe('drop ingress b #0.0 bad 203.0.113.7/32');
  });

  // A direction that is none was judged by nobody: it got no verdict, and so passed.
  it.each(['Egress', '', 'in'])('a packet whose direction is %j is judged both ways', (word) => {
    const given: Packet = {
      ...packet({ src: '203.0.113.7', dst: '10.0.0.2' }),
      direction: JSON.parse(`"${word}"`),
    };
    expect(evaluate(set, ENVIRONMENT, given)).toEqual(
      evaluate(set, ENVIRONMENT, { ...given, direction: 'both' }),
    );
    expect(evaluate(set, ENVIRONMENT, given).action).toBe('drop');
  });

  it('a name without addresses is that rule’s problem only', () => {
    const gone = ruleSet({ [DEFAULT_POLICY]: { egress: ['drop dsthost=gone.test', 'accept'] } });
    expect(judged(gone, packet())).toBe('accept egress default #1.1 - -');
  });
});

//
describe('the first packet of a flow', () => {
  const v6 = { src: 'fd00::5', dst: '2001:db8::1' };
  const all = ruleSet({ [DEFAULT_POLICY]: { egress: ['accept'] } });

  it.each<[string, Parameters<typeof packet>[0], boolean]>([
    ['tcp with a port', {}, true],
    ['tcp whose header is cut', { port: undefined }, false],
    ['udp whose header is cut', { proto: 17, port: undefined }, false],
    ['gre', { proto: 47, port: undefined }, true],
    ...[8, 13, 15, 17].map((icmpType): [string, Parameters<typeof packet>[0], boolean] => [
      `icmp ${icmpType}`,
      { proto: 1, port: undefined, icmpType },
      true,
    ]),
    ...[0, 3, 11, 128, 255, undefined].map((icmpType): [string, Parameters<typeof packet>[0], boolean] => [
      `icmp ${icmpType}`,
      { proto: 1, port: undefined, icmpType },
      false,
    ]),
    ['icmpv6 128', { ...v6, proto: 58, port: undefined, icmpType: 128 }, true],
    ['icmpv6 139', { ...v6, proto: 58, port: undefined, icmpType: 139 }, true],
    ['icmpv6 8', { ...v6, proto: 58, port: undefined, icmpType: 8 }, false],
    ['icmpv6 129', { ...v6, proto: 58, port: undefined, icmpType: 129 }, false],
    ['icmpv6 in IPv4', { proto: 58, port: undefined, icmpType: 128 }, false],
    ['icmp in IPv6', { ...v6, proto: 1, port: undefined, icmpType: 8 }, false],
  ])('%s', (_, text, expected) => {
    const given = packet(text);
    expect(beginsFlow(given)).toBe(expected);
    expect(evaluate(all, ENVIRONMENT, given).action).toBe('accept');
    const verdict = evaluateFlow(all, ENVIRONMENT, given);
    expect(verdict).toEqual(expected ? evaluate(all, ENVIRONMENT, given) : { action: 'drop', by: undefined });
  });
});

describe('what a qube was told by name', () => {
  const lists = {
    updates: nameListOf(['a.example'], 'firewall'),
    plain: prefixListOf(prefixSetFrom([])),
    own: nameListOf(['a.example'], true),
  };
  const judgedTold = (lines: readonly string[], told: readonly string[]): string => {
    const set = ruleSet({ work: { prefixes: ['10.1.0.0/16'], egress: lines } }, lists);
    const to = packet({ src: '10.1.2.3', dst: '203.0.113.7' });
    return brief(evaluateFlow(set, ENVIRONMENT, to, (list) => told.includes(list)));
  };

  it.each<[string, readonly string[], readonly string[], RegExp]>([
    [
      'is accepted by its list',
      ['accept dst=@updates'],
      ['updates'],
      /^accept .*updates.*203\.0\.113\.7\/32/,
    ],
    ['as all that is resolved', ['accept dst=@resolved'], ['resolved'], /^accept .*resolved/],
    ['not by another list', ['accept dst=@updates'], ['resolved'], /^drop/],
    ['nor for other ports', ['accept dst=@updates proto=tcp dstports=80'], ['updates'], /^drop/],
    ['nor behind what drops it', ['drop dst4=203.0.113.7', 'accept dst=@updates'], ['updates'], /^drop/],
    ['no drop is about packets', ['drop dst=@updates', 'accept'], ['updates'], /^accept(?!.*updates)/],
    ['and no list of addresses', ['accept dst=@plain'], ['plain'], /^drop/],
    ['or that the publisher resolves', ['accept dst=@own'], ['own'], /^drop/],
  ])('%s: %j', (_, lines, told, expected) => {
    expect(judgedTold(lines, told)).toMatch(expected);
  });
});
