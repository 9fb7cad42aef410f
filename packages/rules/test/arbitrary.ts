/** Random values of the rule language for properties, in normal form. */

import fc from '../../../test/seeded-fast-check.ts';
import { COMMENT_MAX_CHARS, EXPIRE_MAX } from '../src/limits.ts';
import { type Family, type Prefix, prefixOf } from '../src/prefix.ts';
import type { Direction, PortRange, Remote, Rule } from '../src/rule.ts';

const word = fc.oneof(fc.constantFrom(0, 1, 0xffff, 0x80000000, 0xffffffff), fc.nat(0xffffffff));

/** A prefix of a family. IPv6 ones are never IPv4-mapped. */
export function prefixArbitrary(family: Family): fc.Arbitrary<Prefix> {
  if (family === 4) {
    return fc.tuple(word, fc.nat(32)).map(([w, length]) => prefixOf(4, [w], length));
  }
  return fc
    .tuple(word, word, word, word, fc.nat(128))
    .map(([a, b, c, d, length]) => prefixOf(6, [a, b, c, d], length))
    .filter(({ words }) => !(words[0] === 0 && words[1] === 0 && words[2] === 0xffff));
}

const label = fc.stringMatching(/^[a-z_]([a-z0-9_-]{0,10}[a-z0-9_])?$/);
export const hostNameArbitrary: fc.Arbitrary<string> = fc
  .array(label, { minLength: 1, maxLength: 4 })
  .map((labels) => labels.join('.'));
export const partNameArbitrary: fc.Arbitrary<string> = fc.stringMatching(/^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$/);

const remote: fc.Arbitrary<Remote> = fc.oneof(
  fc.constant<Remote>({ kind: 'any' }),
  prefixArbitrary(4).map((prefix): Remote => ({ kind: 'prefix', prefix })),
  prefixArbitrary(6).map((prefix): Remote => ({ kind: 'prefix', prefix })),
  hostNameArbitrary.map((name): Remote => ({ kind: 'name', name })),
  partNameArbitrary.map((list): Remote => ({ kind: 'list', list })),
);
const ports: fc.Arbitrary<PortRange> = fc
  .tuple(fc.nat(65_535), fc.nat(65_535))
  .map(([a, b]) => ({ first: Math.min(a, b), last: Math.max(a, b) }));
const comment = fc
  .oneof(
    fc.stringMatching(/^[A-Za-z0-9:;,./\-_[\] ]{1,40}$/),
    fc.constantFrom('x'.repeat(COMMENT_MAX_CHARS), 'accept'),
  )
  .map((text) => text.trim())
  .filter((text) => text !== '');

type Narrowing = Pick<Rule, 'proto' | 'dns' | 'ports' | 'icmpType'>;

/** What can stand beside the remote side: the combinations that the grammar allows. */
function narrowingArbitrary(direction: Direction): fc.Arbitrary<Narrowing> {
  const proto = fc.constantFrom('tcp' as const, 'udp' as const);
  const none = { proto: undefined, dns: false, ports: undefined, icmpType: undefined };
  const plain: fc.Arbitrary<Narrowing>[] = [
    fc.constant(none),
    fc
      .tuple(proto, fc.option(ports, { nil: undefined }))
      .map(([p, range]) => ({ ...none, proto: p, ports: range })),
    fc
      .option(fc.nat(255), { nil: undefined })
      .map((icmpType) => ({ ...none, proto: 'icmp' as const, icmpType })),
  ];
  if (direction === 'ingress') return fc.oneof(...plain);
  const dns53 = { first: 53, last: 53 };
  return fc.oneof(
    ...plain,
    fc.constant({ ...none, dns: true }),
    fc
      .tuple(proto, fc.constantFrom(undefined, dns53))
      .map(([p, range]) => ({ ...none, proto: p, dns: true, ports: range })),
  );
}

/** Any rule that a line can say. */
export function ruleArbitrary(direction: Direction): fc.Arbitrary<Rule> {
  return fc
    .record({
      action: fc.constantFrom('accept' as const, 'drop' as const),
      narrowing: narrowingArbitrary(direction),
      remote,
      expire: fc.option(
        fc.maxSafeNat().map((n) => n % (EXPIRE_MAX + 1)),
        { nil: undefined },
      ),
      comment: fc.option(comment, { nil: undefined }),
    })
    .map(({ narrowing, ...rest }): Rule => ({ ...rest, ...narrowing }))
    .chain((rule) =>
      rule.remote.kind === 'name'
        ? fc.boolean().map((isPrivate): Rule => ({ ...rule, ...(isPrivate && { isPrivate }) }))
        : fc.constant(rule),
    );
}
