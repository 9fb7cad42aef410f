import { describe, expect, it } from 'vitest';
import fc from '../../../test/seeded-fast-check.ts';
import { COMMENT_MAX_CHARS } from '../src/limits.ts';
import { type Direction, formatRule, type Rule } from '../src/rule.ts';
import { parseRule, RULE_LINE_MAX_CHARS } from '../src/rule-line.ts';
import { ruleArbitrary } from './arbitrary.ts';

const NOW = 1_700_000_000;

function ruleOf(text: string, direction: Direction = 'egress'): Rule {
  const result = parseRule(text, direction, NOW);
  if (result.kind === 'fault') throw new Error(`${text}: ${result.code}: ${result.reason}`);
  return result.rule;
}

describe('a rule line', () => {
  it('says all that a rule can hold', () => {
    expect(
      ruleOf('action=drop expire=1800000000 dst4=10.1.2.3/8 proto=tcp dstports=80-443 comment=web, old'),
    ).toEqual({
      action: 'drop',
      remote: { kind: 'prefix', prefix: { family: 4, words: Uint32Array.of(0x0a000000), length: 8 } },
      proto: 'tcp',
      dns: false,
      ports: { first: 80, last: 443 },
      icmpType: undefined,
      expire: 1_800_000_000,
      comment: 'web, old',
    });
  });

  it.each([
    ['accept', 'action=accept'],
    ['drop', 'action=drop'],
    ['dst4=1.2.3.4 drop', 'action=drop dst4=1.2.3.4/32'],
    ['  action=accept   proto=tcp  ', 'action=accept proto=tcp'],
    ['drop dst6=2001:DB8::1', 'action=drop dst6=2001:db8::1/128'],
    ['drop dst6=::ffff:1.2.3.4/104', 'action=drop dst4=1.0.0.0/8'],
    ['drop dsthost=1.2.3.0/24', 'action=drop dst4=1.2.3.0/24'],
    ['drop dsthost=::ffff:1.2.3.4', 'action=drop dst4=1.2.3.4/32'],
    ['drop dsthost=fe80::', 'action=drop dst6=fe80::/128'],
    ['drop dsthost=EXAMPLE.com.', 'action=drop dsthost=example.com'],
    ['drop dsthost=face.beef', 'action=drop dsthost=face.beef'],
    ['drop dst=@Ads_2.x', 'action=drop dst=@Ads_2.x'],
    ['drop dstports=0 proto=udp', 'action=drop proto=udp dstports=0-0'],
    ['drop dstports=65535 proto=udp', 'action=drop proto=udp dstports=65535-65535'],
    ['drop proto=icmp icmptype=0', 'action=drop proto=icmp icmptype=0'],
    ['drop proto=icmp icmptype=255', 'action=drop proto=icmp icmptype=255'],
    ['accept specialtarget=dns dstports=53', 'action=accept specialtarget=dns'],
    [
      'accept proto=tcp specialtarget=dns dstports=53',
      'action=accept proto=tcp specialtarget=dns dstports=53-53',
    ],
    ['accept dst4=10.139.1.1 specialtarget=dns', 'action=accept dst4=10.139.1.1/32 specialtarget=dns'],
    ['accept expire=0', 'action=accept expire=0'],
    ['accept expire=253402300799', 'action=accept expire=253402300799'],
    ['accept expire=+0', 'action=accept expire=1700000000'],
    ['accept expire=+3600', 'action=accept expire=1700003600'],
    ['accept private=true dsthost=a.example', 'action=accept dsthost=a.example private=true'],
    ['drop dsthost=a private=true comment=x', 'action=drop dsthost=a private=true comment=x'],
    ['accept dsthost=a private=false', 'action=accept dsthost=a'],
    ['accept comment=', 'action=accept'],
    ['accept comment=  a  b  ', 'action=accept comment=a  b'],
    ['accept comment=A:z;0,./-_[] 9', 'action=accept comment=A:z;0,./-_[] 9'],
    ['accept comment=drop accept', 'action=accept comment=drop accept'],
  ])('%j is printed %j', (text, canonical) => {
    expect(formatRule(ruleOf(text), 'egress')).toBe(canonical);
    expect(formatRule(ruleOf(canonical), 'egress')).toBe(canonical);
  });

  it.each([
    ['drop src4=1.2.3.4', 'action=drop src4=1.2.3.4/32'],
    [
      'drop src6=2001:db8::/32 proto=tcp dstports=22',
      'action=drop src6=2001:db8::/32 proto=tcp dstports=22-22',
    ],
    ['drop srchost=example.com', 'action=drop srchost=example.com'],
    ['drop srchost=1.2.3.4', 'action=drop src4=1.2.3.4/32'],
    ['drop src=@ads', 'action=drop src=@ads'],
  ])('%j of ingress is printed %j', (text, canonical) => {
    expect(formatRule(ruleOf(text, 'ingress'), 'ingress')).toBe(canonical);
  });

  it.each(['egress', 'ingress'] as const)(
    'of %s is printed so that it parses to the same rule',
    (direction) => {
      fc.assert(
        fc.property(ruleArbitrary(direction), (rule) => {
          const line = formatRule(rule, direction);
          expect(parseRule(line, direction, NOW)).toEqual({ kind: 'rule', rule });
        }),
        { numRuns: 1000 },
      );
    },
  );

  it('takes its options in any order', () => {
    fc.assert(
      fc.property(
        ruleArbitrary('egress').filter((rule) => rule.comment === undefined),
        fc.infiniteStream(fc.nat()),
        (rule, keys) => {
          const options = formatRule(rule, 'egress').split(' ');
          const shuffled = options
            .map((option) => ({ option, key: keys.next().value ?? 0 }))
            .sort((a, b) => a.key - b.key)
            .map(({ option }) => option);
          expect(parseRule(shuffled.join(' '), 'egress', NOW)).toEqual({ kind: 'rule', rule });
        },
      ),
    );
  });
});

describe('a line that is no rule', () => {
  it.each([
    ['', 'empty-line', 1],
    ['   ', 'empty-line', 1],
    ['proto=tcp', 'missing-action', 1],
    ['comment=accept', 'missing-action', 1],
    ['Accept', 'unknown-option', 1],
    ['accept 1.2.3.4', 'unknown-option', 8],
    ['accept =x', 'unknown-option', 8],
    ['accept PROTO=tcp', 'unknown-option', 8],
    ['accept __proto__=1', 'unknown-option', 8],
    ['accept  drop', 'duplicate-option', 9],
    ['accept action=accept', 'duplicate-option', 8],
    ['accept proto=tcp proto=tcp', 'duplicate-option', 18],
    ['accept proto=tcp dstports=1 dstports=1', 'duplicate-option', 29],
    ['accept proto=icmp icmptype=1 icmptype=1', 'duplicate-option', 30],
    ['accept specialtarget=dns specialtarget=dns', 'duplicate-option', 26],
    ['accept expire=1 expire=1', 'duplicate-option', 17],
    ['accept dst4=1.2.3.4 dst4=1.2.3.4', 'duplicate-option', 21],
    ['accept dsthost=*.a.example', 'unsupported', 16],
    ['accept dsthost=.a.example', 'unsupported', 16],
    ['accept dsthost=a.example private=maybe', 'bad-private', 34],
    ['accept dsthost=a.example private=TRUE', 'bad-private', 34],
    ['accept dsthost=a.example private=', 'bad-private', 34],
    ['accept dsthost=a.example private=true private=true', 'duplicate-option', 39],
    ['accept private=true', 'bad-private', 8],
    ['accept dst=@a private=true', 'bad-private', 15],
    ['accept private=false dst4=1.2.3.4', 'bad-private', 8],
    ['accept dst4=1.2.3.4 dst=@a', 'second-remote', 21],
    ['accept dsthost=a dstname=a', 'second-remote', 18],
    ['action=ACCEPT', 'bad-action', 8],
    ['accept\t', 'tab-in-rule', 7],
    ['accept dsthost=a\tb', 'tab-in-rule', 17],
    ['accept comment=a\tb', 'tab-in-rule', 17],
    ['accept src4=1.2.3.4', 'wrong-direction', 8],
    ['accept dst4=1.2.3.4/33', 'bad-prefix-length', 13],
    ['accept dst4=', 'bad-address', 13],
    ['accept dst4=example.com', 'bad-address', 13],
    ['accept dst4=١.2.3.4', 'bad-address', 13],
    [`accept dst6=${'0'.repeat(60)}`, 'bad-address', 13],
    ['accept dst4=2001:db8::', 'wrong-family', 13],
    ['accept dst4=::ffff:1.2.3.4', 'wrong-family', 13],
    ['accept dst6=1.2.3.4', 'wrong-family', 13],
    ['accept dst6=::ffff:0:0/95', 'mapped-prefix-too-short', 13],
    ['accept dst6=fe80::1%eth0', 'bad-address', 13],
    ['accept dst=1.2.3.4', 'bad-list-reference', 12],
    ['accept dst=ads', 'bad-list-reference', 12],
    ['accept dst=', 'bad-list-reference', 12],
    ['accept dst=@', 'bad-list-reference', 13],
    ['accept dst=@.a', 'bad-list-reference', 13],
    ['accept dst=@a,b', 'bad-list-reference', 13],
    ['accept dsthost=', 'empty-name', 16],
    ['accept dsthost=1.2.3', 'name-is-numeric', 16],
    ['accept dsthost=010.0.0.1', 'bad-address', 16],
    ['accept dsthost=0x7f000001', 'name-is-numeric', 16],
    ['accept dsthost=example.com/24', 'bad-address', 16],
    ['accept dsthost=@ads', 'bad-label', 16],
    [`accept dsthost=${'a.'.repeat(127)}a`, 'name-too-long', 16],
    ['accept proto=6', 'bad-proto', 14],
    ['accept proto=tcp dstports=', 'bad-ports', 27],
    ['accept proto=tcp dstports=080', 'bad-ports', 27],
    ['accept proto=tcp dstports=1-65536', 'bad-ports', 27],
    ['accept proto=tcp dstports=1-2-3', 'bad-ports', 27],
    ['accept proto=tcp dstports=1e3', 'bad-ports', 27],
    ['accept proto=tcp dstports=http', 'bad-ports', 27],
    ['accept proto=icmp icmptype=08', 'bad-icmptype', 28],
    ['accept proto=icmp icmptype=-1', 'bad-icmptype', 28],
    ['accept expire=', 'bad-expire', 15],
    ['accept expire=+', 'bad-expire', 15],
    ['accept expire=-1', 'bad-expire', 15],
    ['accept expire=1.5', 'bad-expire', 15],
    ['accept expire=253402300800', 'bad-expire', 15],
    ['accept expire=+253402300799', 'bad-expire', 15],
    ['accept dstports=80', 'ports-without-proto', 8],
    ['accept proto=icmp dstports=80', 'ports-without-proto', 19],
    ['accept icmptype=8', 'icmptype-without-icmp', 8],
    ['accept icmptype=8 specialtarget=dns', 'icmptype-without-icmp', 8],
    ['accept specialtarget=dns proto=icmp', 'dns-with-icmp', 8],
    ['accept dstports=853 specialtarget=dns', 'dns-with-other-port', 8],
    ['accept proto=udp dstports=53-54 specialtarget=dns', 'dns-with-other-port', 18],
    ['accept comment="x"', 'bad-comment', 16],
    ['accept comment=a\u{1f600}', 'bad-comment', 17],
    ['accept\nproto=tcp', 'unknown-option', 1],
    ['accept\u00a0proto=tcp', 'unknown-option', 1],
  ])('%j is refused: %s at column %i', (text, code, column) => {
    expect(parseRule(text, 'egress', NOW)).toMatchObject({ kind: 'fault', code, column });
  });

  it.each([
    ['accept dst4=1.2.3.4', 'wrong-direction', 8],
    ['accept srcname=a', 'unknown-option', 8],
    ['accept src4=::1', 'wrong-family', 13],
    ['accept src=a', 'bad-list-reference', 12],
    ['accept specialtarget=dns', 'dns-in-ingress', 8],
  ])('%j of ingress is refused: %s at column %i', (text, code, column) => {
    expect(parseRule(text, 'ingress', NOW)).toMatchObject({ kind: 'fault', code, column });
  });

  it.each([
    ['accept dst=1.2.3.4', 'egress', 'dst4='],
    ['accept dst=2001:db8::', 'egress', 'dst6='],
    ['accept dst=example.com', 'egress', 'dsthost='],
    ['accept src=1.2.3.4', 'ingress', 'src4='],
    ['accept dst4=::1', 'egress', 'dst6='],
    ['accept src6=1.2.3.4', 'ingress', 'src4='],
    ['accept dst4=1.2.3.4', 'ingress', 'src4='],
    ['accept dsthost=bücher.example', 'egress', 'xn--bcher-kva.example'],
    ['accept dsthost=example.com:443', 'egress', 'dstports='],
    ['accept proto=tcp dstports=9-8', 'egress', 'dstports=8-9'],
    ['comment=x action=accept', 'egress', 'before it'],
  ] as const)('%j of %s is told to write %s', (text, direction, advice) => {
    const result = parseRule(text, direction, NOW);
    expect(result.kind === 'fault' && result.reason).toContain(advice);
  });

  it('gives a reason without control characters and of bounded length, whatever the text', () => {
    fc.assert(
      fc.property(
        fc.constantFrom('', 'accept ', 'accept dst4=', 'accept dsthost=', 'accept comment=', 'accept dst=@'),
        fc.string({ unit: 'binary', maxLength: 300 }),
        (start, rest) => {
          const result = parseRule(start + rest, 'egress', NOW);
          if (result.kind === 'rule') return;
          expect(result.reason).not.toMatch(/\p{Cc}/u);
          expect(result.reason.length).toBeLessThan(1000);
          expect(result.column).toBeGreaterThanOrEqual(1);
          expect(result.column).toBeLessThanOrEqual(start.length + rest.length + 1);
        },
      ),
      { numRuns: 2000 },
    );
  });
});

describe('limits', () => {
  it('a line as long as can be is read, and one character more is not', () => {
    const line = `action=accept${' '.repeat(RULE_LINE_MAX_CHARS - 22)}proto=tcp`;
    expect(line.length).toBe(RULE_LINE_MAX_CHARS);
    expect(formatRule(ruleOf(line), 'egress')).toBe('action=accept proto=tcp');
    expect(parseRule(`${line} `, 'egress', NOW)).toMatchObject({
      code: 'line-too-long',
      column: RULE_LINE_MAX_CHARS + 1,
    });
  });

  it('a comment as long as can be is kept, and one character more is refused', () => {
    const comment = 'x'.repeat(COMMENT_MAX_CHARS);
    expect(ruleOf(`drop comment=${comment}`).comment).toBe(comment);
    expect(parseRule(`drop comment=${comment}x`, 'egress', NOW)).toMatchObject({
      code: 'bad-comment',
      column: 14 + COMMENT_MAX_CHARS,
    });
  });
});
