/**
 * Rule sets, and the deltas and streams of them, taken apart so that each layer can be mutated by itself and
 * put together again.
 */

import { deflateRawSync, inflateRawSync } from 'node:zlib';
import { diffRuleSets, encodeDelta } from '@rulecast/protocol';
import {
  canonicalPrefixes,
  EMPTY_RULE_SET,
  emptyPolicy,
  FIRST_POLICY,
  NO_RULES,
  nameListOf,
  PrefixBuilder,
  parseRule,
  prefixListOf,
  RunBuilder,
} from '@rulecast/rules';

/**
 * @typedef {import('./draw.mjs').Draw} Draw
 * @typedef {import('@rulecast/rules').RuleSet} RuleSet
 * @typedef {{ op: number, kind: number, name: string, skipped: number, claim: Uint8Array, body: Uint8Array }} Change A change of a delta, with
 *   its body as it is.
 */

const NAMES = ['a', 'bad', 'default', 'common', 'first', 'work.net', 'x'.repeat(63)];
const HOSTS = ['a.example', 'b.example', 'c.a.example', 'xn--bcher-kva.example', 'z.z'];
const PACKED_KINDS = [2, 3, 4];

/** @param {Draw} draw @param {4 | 6} family */
function prefixesOf(draw, family) {
  const builder = new PrefixBuilder(family);
  const bits = family === 4 ? 32 : 128;
  const isCrowded = draw.oneIn(3);
  for (let count = draw.below(draw.oneIn(20) ? 6000 : 24); count > 0; count--) {
    const length = draw.oneIn(3) ? bits : draw.below(bits + 1);
    const words = Uint32Array.from({ length: bits / 32 }, (_, w) => {
      const word = isCrowded ? (w === 0 ? 0x0a000000 + draw.below(4096) : draw.below(4)) : draw.word();
      const kept = Math.min(32, Math.max(0, length - w * 32));
      return kept === 0 ? 0 : (word & (0xffffffff << (32 - kept))) >>> 0;
    });
    builder.push(words, 0, length);
  }
  return canonicalPrefixes(builder.build());
}

/** @param {Draw} draw */
function prefixSetOf(draw) {
  return { v4: prefixesOf(draw, 4), v6: prefixesOf(draw, 6) };
}

/** @param {Draw} draw @param {'egress' | 'ingress'} direction @param {readonly string[]} [actions] */
function runsOf(draw, direction, actions = ['accept', 'drop']) {
  const side = direction === 'egress' ? 'dst' : 'src';
  const runs = new RunBuilder();
  for (let count = draw.below(8); count > 0; count--) {
    const remote = draw.of([
      '',
      `${side}4=10.${draw.below(256)}.0.0/16`,
      `${side}6=2001:db8:${draw.below(9)}::/48`,
      `${side}host=${draw.of(HOSTS)}`,
      `${side}=@${draw.of(NAMES)}`,
    ]);
    const proto = draw.of(['', ' proto=tcp dstports=80-443', ' proto=icmp icmptype=8', ' proto=udp']);
    const end = draw.of(['', ' expire=1900000000', ` comment=${'c'.repeat(1 + draw.below(99))}`]);
    const line = `${draw.of(actions)} ${remote}${proto}${end}`.replaceAll(/ +/g, ' ').trim();
    const parsed = parseRule(line, direction, 0);
    if ('rule' in parsed) runs.push(parsed.rule);
  }
  return runs.build();
}

/** Names that share labels with the hosts above, few of them wildcards, and exceptions of these. @param {Draw} draw */
function nameList(draw) {
  const names = HOSTS.filter(() => draw.oneIn(2));
  for (let count = draw.below(draw.oneIn(10) ? 3000 : 20); count > 0; count--) {
    const labels = Array.from({ length: draw.below(4) }, () => label(draw));
    const end = draw.of(['example', 'a.example', 'com', `t${label(draw)}`]);
    names.push(draw.of(['', '', '', '', '', '', '*.', '.']) + [...labels, end].join('.'));
  }
  const above = names.filter((name) => name.startsWith('.') || name.startsWith('*'));
  const exceptions = above.flatMap((name) =>
    Array.from(
      { length: draw.below(3) },
      () => draw.of(['', '*.', '.']) + label(draw) + name.replace('*', ''),
    ),
  );
  for (const exception of exceptions)
    if (draw.oneIn(4)) names.push(draw.of(['', '.']) + label(draw) + exception.replace(/^\*?\.?/, '.'));
  return nameListOf(names, draw.of([false, true, 'firewall', 'firewall-private']), exceptions);
}

/** @param {Draw} draw */
function label(draw) {
  const length = draw.oneIn(20) ? 50 : 1 + draw.below(6);
  const inner = Array.from({ length }, () => draw.of([...'aabbcz019_-'])).join('');
  return `x${inner}y`;
}

/** A rule set of one list of names, or of none. @param {Draw} draw @returns {RuleSet} */
export function namesOf(draw) {
  return { ...EMPTY_RULE_SET, lists: new Map([['a', nameList(draw)]]) };
}

/** @param {Draw} draw @returns {RuleSet} */
export function ruleSetOf(draw) {
  const lists = new Map();
  const policies = new Map();
  for (let count = draw.below(4); count > 0; count--) {
    const isNames = draw.oneIn(3);
    lists.set(draw.of(NAMES), isNames ? nameList(draw) : prefixListOf(prefixSetOf(draw)));
  }
  for (let count = draw.below(3); count > 0; count--) {
    const name = draw.of(NAMES);
    if (name === FIRST_POLICY) {
      const [egress, ingress] = [runsOf(draw, 'egress', ['drop']), runsOf(draw, 'ingress', ['drop'])];
      policies.set(name, { ...emptyPolicy(name), egress, ingress });
      continue;
    }
    policies.set(name, {
      ...emptyPolicy(name),
      prefixes: draw.oneIn(2) ? prefixSetOf(draw) : emptyPolicy(name).prefixes,
      egress: runsOf(draw, 'egress'),
      ingress: runsOf(draw, 'ingress'),
      exceptions: { egress: draw.oneIn(4) ? runsOf(draw, 'egress') : NO_RULES, ingress: NO_RULES },
    });
  }
  const resolved = HOSTS.filter(() => draw.oneIn(3)).map((host) => [host, prefixSetOf(draw)]);
  const resolutions = /** @type {RuleSet['resolutions']} */ (new Map(/** @type {[]} */ (resolved)));
  return { lists, policies, resolutions, unmatched: draw.of([undefined, 'accept', 'drop']) };
}

const REMOVE = 0;
const ADD = 3;

/** @param {Uint8Array} delta @returns {Change[]} */
function changesOf(delta) {
  const bytes = Buffer.from(delta);
  let at = 0;
  const varint = () => {
    for (let value = 0, scale = 1; ; scale *= 128) {
      const byte = bytes[at++] ?? 0;
      value += (byte & 127) * scale;
      if (byte < 128) return value;
    }
  };
  /** @param {number} start */
  const from = (start) => bytes.subarray(start, at);
  return Array.from({ length: varint() }, () => {
    const op = bytes[at++] ?? 0;
    const isNew = op === ADD;
    const kind = isNew ? (bytes[at++] ?? 0) : 0;
    const nameAt = at + 1;
    if (isNew) at = nameAt + (bytes[at] ?? 0);
    const name = isNew ? from(nameAt).toString('latin1') : '';
    const skipped = isNew ? 0 : varint();
    if (op === REMOVE) return { op, kind, name, skipped, claim: from(at), body: from(at) };
    const claimAt = at;
    varint();
    varint();
    const claim = from(claimAt);
    const length = varint();
    at += length;
    return { op, kind, name, skipped, claim, body: from(at - length) };
  });
}

/** @param {number} value @returns {readonly number[]} */
function leb128(value) {
  return value < 128 ? [value] : [(value % 128) + 128, ...leb128(Math.floor(value / 128))];
}

/** @param {readonly Change[]} changes */
function deltaOf(changes) {
  const parts = changes.map(({ op, kind, name, skipped, claim, body }) => {
    const place = op === ADD ? [kind, name.length, ...Buffer.from(name, 'latin1')] : leb128(skipped);
    const head = Buffer.from([op, ...place]);
    return op === REMOVE ? head : Buffer.concat([head, claim, Buffer.from(leb128(body.length)), body]);
  });
  return Buffer.concat([Buffer.from(leb128(changes.length)), ...parts]);
}

/**
 * A packed body of other content. @param {Uint8Array} body @param {(raw: Uint8Array) => Uint8Array} change
 */
function repacked(body, change) {
  return packed(change(unpacked(body)));
}

/** @param {Uint8Array} body @returns {Uint8Array} */
function unpacked(body) {
  return body[0] === 1 ? inflateRawSync(body.subarray(5)) : body.subarray(1);
}

/** @param {Uint8Array} raw */
function packed(raw) {
  const head = Buffer.alloc(5);
  head[0] = 1;
  head.writeUInt32LE(raw.length, 1);
  return Buffer.concat([head, deflateRawSync(raw)]);
}

/** Much out of little: zeros that inflate, and all networks of a length as a tree. @param {Draw} draw */
function bomb(draw) {
  if (draw.oneIn(2)) {
    const tag = Buffer.from(draw.of(['RCQ1', 'RCQ2', 'RCA1', '']), 'latin1');
    const raw = Buffer.alloc(2 ** (8 + draw.below(16)));
    raw.set(tag);
    if (draw.oneIn(2))
      raw.writeUInt32LE(draw.of([1, raw.length >> 2, raw.length >> 4, raw.length]), 4 + draw.below(12));
    return packed(raw);
  }
  const length = draw.below(17);
  const builder = new PrefixBuilder(4, 2 ** length);
  for (let i = 0; i < 2 ** length; i++) builder.push(Uint32Array.of(i * 2 ** (32 - length)), 0, length);
  const list = prefixListOf({ v4: builder.build(), v6: prefixesOf(draw, 6) });
  return (
    changesOf(
      encodeDelta(diffRuleSets(EMPTY_RULE_SET, { ...EMPTY_RULE_SET, lists: new Map([['a', list]]) })),
    )[0]?.body ?? Buffer.alloc(0)
  );
}

/**
 * The change of a delta that has just one, with its body mutated, or what it holds packed.
 * @param {Draw} draw
 * @param {Uint8Array} delta
 */
export function mutatedBody(draw, delta) {
  const mutated = (/** @type {Uint8Array} */ body) =>
    draw.oneIn(4) ? draw.mutated(body) : repacked(body, (raw) => draw.mutated(raw));
  return deltaOf(changesOf(delta).map((change) => ({ ...change, body: mutated(change.body) })));
}

/** What the bodies of a delta hold packed. @param {Uint8Array} delta */
export function rawBodies(delta) {
  return changesOf(delta).map(({ body }) => Buffer.from(unpacked(body)));
}

/**
 * A delta between two rule sets, mutated in one of its layers: its bytes, a head, a body, or what a body
 * holds packed.
 * @param {Draw} draw
 * @param {Uint8Array} delta
 */
export function mutatedDelta(draw, delta) {
  if (draw.oneIn(4)) return draw.mutated(delta);
  const changes = changesOf(delta);
  const at = draw.below(changes.length);
  const change = changes[at];
  if (change === undefined) return draw.mutated(delta);
  switch (draw.below(6)) {
    case 0:
      change.op = draw.below(5);
      break;
    case 1:
      change.kind = draw.below(7);
      break;
    case 2:
      change.body = bomb(draw);
      break;
    case 3:
      changes.splice(at, 0, { ...change, name: draw.of([change.name, ...NAMES]) });
      break;
    default:
      change.body =
        PACKED_KINDS.includes(change.kind) && change.body.length > 1 && draw.oneIn(2)
          ? repacked(change.body, (raw) => draw.mutated(raw))
          : draw.mutated(change.body);
  }
  return deltaOf(changes);
}
