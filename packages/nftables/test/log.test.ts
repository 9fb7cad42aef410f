/** The rules that log what is refused, and what is read of it. */

import { describe, expect, it } from 'vitest';
import fc from '../../../test/seeded-fast-check.ts';
import { often } from '../../../test/thorough.ts';
import { MessageWriter } from '../src/kernel/attributes.ts';
import { captureCommands } from '../src/kernel/capture-script.ts';
import { type Command, NftMessage } from '../src/kernel/commands.ts';
import { isLogChain } from '../src/kernel/log-script.ts';
import type { NetlinkSocket } from '../src/kernel/native.ts';
import { closedCommands, ruleCount, scriptOf } from '../src/kernel/script.ts';
import { DropLog } from '../src/log/drop-log.ts';
import { loggedIn, type RefusedPacket } from '../src/log/packet.ts';
import { type ChangeOptions, transition, wholeChange } from '../src/plan/change.ts';
import { planned, plannedAfter, ruleSet, TABLE } from './sample.ts';

const OFF: ChangeOptions = {
  tag: { release: 'ab'.repeat(32), conditions: 'cd'.repeat(8), mark: 1 },
  downstreamGroup: 2,
  answer: 'reject',
};
const ON = { ...OFF, logGroup: 5310 };
const PLAN = planned(
  ruleSet([{ name: 'work', prefixes: ['10.137.0.5'], egress: ['accept dst=@dns', 'drop'] }]),
);

interface Rule {
  readonly chain: string;
  /** The name of each expression, and its JSON. */
  readonly expressions: readonly (readonly [name: string, text: string])[];
}

function rulesOf(commands: Iterable<Command>): readonly Rule[] {
  return [...commands].flatMap(({ type, attributes }): readonly Rule[] => {
    if (type !== NftMessage.newRule) return [];
    const [, [, chain], [, list]] = attributes as readonly [
      unknown,
      [number, string],
      [number, readonly unknown[]],
    ];
    const expressions = list.map((each) => {
      const [, [[, name]]] = each as readonly [number, readonly [readonly [number, string], unknown]];
      return [name, JSON.stringify(each)] as const;
    });
    return [{ chain, expressions }];
  });
}

function whole(options: ChangeOptions): readonly Rule[] {
  const { objects, chains, release } = scriptOf(wholeChange(PLAN, options).change, TABLE);
  return rulesOf([...objects, ...chains, ...release]);
}

const isVerdict = (text: string, code: number): boolean => text.includes(`[1,0],[2,[[2,[[1,${code}]`);
const [DROP, JUMP] = [0, -3] as const;

describe('the rules of the log', () => {
  it.each<[string, () => readonly Rule[], number]>([
    ['a release', () => whole(ON), 6],
    ['a release that is silent', () => whole({ ...ON, answer: 'silent' }), 3],
    ['what is closed', () => rulesOf(closedCommands(true, { downstreamGroup: 2, logGroup: 5310 })), 1],
    [
      'DNS that is taken over',
      () => rulesOf(captureCommands(['0a8b0101'], { downstreamGroup: 2, logGroup: 5310 }, true)),
      1,
    ],
  ])('are before every place where %s drops', (_, rules, places) => {
    const all = rules();
    let count = 0;
    for (const [index, { chain, expressions }] of all.entries()) {
      const isEnd = expressions.some(([name, text]) => name === 'reject' || isVerdict(text, DROP));
      if (!isEnd) continue;
      count++;
      const before = all.slice(0, index).filter((each) => each.chain === chain);
      const jumps = before.filter(({ expressions: own }) => own.some(([, text]) => isVerdict(text, JUMP)));
      expect(jumps.length, `${chain}: ${JSON.stringify(expressions)}`).toBe(chain === 'deny' ? 2 : 1);
      for (const { expressions: own } of jumps)
        expect(own.at(-1)?.[1]).toMatch(/"log_(?:rule|reply|tcp-rest|flowless|closed|dns)"/);
    }
    expect(count).toBe(places);
  });

  it.each<[string, (options: ChangeOptions) => readonly Rule[]]>([
    ['a release', whole],
    ['DNS that is taken over', (options) => rulesOf(captureCommands(['0a8b0101'], options, true))],
    ['what is closed', (options) => rulesOf(closedCommands(true, options))],
  ])('ask nothing of a packet that passes %s', (_, rules) => {
    const [off, on] = [rules(OFF), rules(ON)];
    const passed = (all: readonly Rule[]): readonly Rule[] =>
      all.filter(({ chain }) => !isLogChain(chain) && chain !== 'deny');
    const asked = (all: readonly Rule[]): readonly string[] =>
      passed(all).map(({ chain, expressions }) => {
        const isEnd = ([name, text]: Rule['expressions'][number]): boolean =>
          name === 'reject' || isVerdict(text, DROP) || text.includes('"drop_');
        const end = expressions.findIndex(isEnd);
        const isCounted = expressions[end - 1]?.[0] === 'objref';
        const kept = end < 0 ? expressions : expressions.slice(0, isCounted ? end - 1 : end);
        return `${chain} ${kept.map(([, text]) => text).join(' ')}`;
      });
    expect(asked(on)).toEqual(asked(off));
    expect(on.length).toBeGreaterThan(off.length);
    expect(passed(on).some(({ expressions }) => expressions.some(([name]) => name === 'log'))).toBe(false);
  });

  it.each([OFF, ON])('are counted as the kernel has them: %o', (options) => {
    expect(ruleCount(PLAN.kernelChains.values(), options)).toBe(whole(options).length);
  });

  it('say the release that refuses, which a change in place rewrites in its one transaction', () => {
    const prefixes = (rules: readonly Rule[]): readonly string[] =>
      rules.flatMap(({ expressions }) =>
        expressions.flatMap(([name, text]) =>
          name === 'log' ? (/\[2,"([^"]+)"\]/.exec(text)?.[1] ?? '') : [],
        ),
      );
    expect(new Set(prefixes(whole(ON)))).toEqual(
      new Set(
        ['rule', 'reply', 'tcp-rest', 'flowless'].flatMap((reason) =>
          ['from', 'to'].map((way) => `${'ab'.repeat(8)} ${reason} ${way}`),
        ),
      ),
    );
    const next = { ...ON.tag, release: 'ef'.repeat(32) };
    const after = plannedAfter(ruleSet([{ name: 'work', prefixes: ['10.137.0.5'], egress: ['drop'] }]), PLAN);
    const { change } = transition({ plan: PLAN, tag: ON.tag }, after, { ...ON, tag: next }).release;
    const { objects, chains, release } = scriptOf(change, TABLE);
    expect(prefixes(rulesOf([...objects, ...chains]))).toEqual([]);
    const rewritten = prefixes(rulesOf(release));
    expect(rewritten).toHaveLength(prefixes(whole(ON)).length);
    expect(rewritten.every((prefix) => prefix.startsWith('ef'.repeat(8)))).toBe(true);
  });
});

// ── What is read ───────────────────────────────────────────────────────────────────────────────────────────

const PACKET = (4 << 8) | 0;

interface Logged {
  readonly prefix?: string;
  readonly sequence?: number;
  readonly payload?: Uint8Array;
}

function datagram(...all: readonly Logged[]): Buffer {
  const writer = new MessageWriter();
  for (const { prefix = `${'0'.repeat(16)} rule from`, sequence = 1, payload = ipv4() } of all)
    writer.message(PACKET, 0, 2, 5310, () =>
      writer.attributes([
        [4, 7],
        [5, 8],
        [10, prefix],
        [12, sequence],
        [9, payload],
      ]),
    );
  return Buffer.from(writer.bytes.subarray(0, writer.length));
}

/** A datagram from port 1000 to 53. */
function ipv4(fragmentAt = 0): Uint8Array {
  const bytes = Buffer.alloc(28);
  bytes[0] = 0x45;
  bytes.writeUInt16BE(fragmentAt, 6);
  bytes[9] = 17;
  bytes.set([10, 137, 0, 5, 192, 0, 2, 1], 12);
  bytes.writeUInt16BE(1000, 20);
  bytes.writeUInt16BE(53, 22);
  return bytes;
}

function ipv6(next: number, ...rest: readonly number[]): Uint8Array {
  const bytes = Buffer.alloc(40 + rest.length);
  bytes[0] = 0x60;
  bytes[6] = next;
  bytes.fill(1, 8, 24);
  bytes.fill(2, 24, 40);
  bytes.set(rest, 40);
  return bytes;
}

const interfaceOf = (index: number): string => `vif${index}.0`;
const read = (bytes: Buffer): readonly (RefusedPacket | undefined)[] =>
  [...loggedIn(bytes, interfaceOf)].map(({ packet }) => packet);

describe('what is read of the log', () => {
  const from = {
    qube: Uint8Array.of(10, 137, 0, 5),
    remote: Uint8Array.of(192, 0, 2, 1),
    interface: 'vif7.0',
  };
  const to = { qube: from.remote, remote: from.qube, interface: 'vif8.0' };
  it.each([
    ['rule from', { ...from, reason: 'rule', direction: 'egress', port: 53 }],
    ['rule to', { ...to, reason: 'rule', direction: 'ingress', port: 53 }],
    ['reply from', { ...from, reason: 'rule', direction: 'ingress', port: 1000 }],
    ['reply to', { ...to, reason: 'rule', direction: 'egress', port: 1000 }],
    ['tcp-rest to', { ...to, reason: 'tcp-rest', direction: 'ingress', port: 53 }],
  ])('is the flow that was refused, and whose: %s', (words, expected) => {
    expect(read(datagram({ prefix: `${'ab'.repeat(8)} ${words}` }))).toEqual([
      { ...expected, release: 'ab'.repeat(8), proto: 17, icmpType: undefined },
    ]);
    const [closed] = read(datagram({ prefix: `- ${words}` }));
    expect(closed?.release).toBe('');
  });

  it.each<[string, Uint8Array, number, number | undefined, number | undefined]>([
    ['a later fragment', ipv4(1), 17, undefined, undefined],
    ['IPv6', ipv6(6, 1, 2, 3, 4, 0, 0, 0, 0), 6, 0x0304, undefined],
    ['ICMPv6', ipv6(58, 128, 0), 58, undefined, 128],
    [
      'extensions',
      ipv6(0, 60, 0, 0, 0, 0, 0, 0, 0, 17, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4),
      17,
      0x0304,
      undefined,
    ],
    ['a first fragment', ipv6(44, 17, 0, 0, 1, 0, 0, 0, 0, 1, 2, 3, 4), 17, 0x0304, undefined],
    ['a fragment behind', ipv6(44, 17, 0, 0, 9, 0, 0, 0, 0, 1, 2, 3, 4), 17, undefined, undefined],
    ['a header that is cut off', ipv6(6, 1, 2), 6, undefined, undefined],
    ['a protocol without ports', ipv6(47, 1, 2, 3, 4), 47, undefined, undefined],
  ])('has a port where there is one: %s', (_, payload, proto, port, icmpType) => {
    expect(read(datagram({ payload }))).toMatchObject([{ proto, port, icmpType }]);
  });

  it.each<[string, Logged]>([
    ['another prefix', { prefix: 'dropped: ' }],
    ['no IP', { payload: Uint8Array.of(0x55) }],
    ['a part of a header', { payload: ipv4().subarray(0, 19) }],
  ])('is nothing where it has %s', (_, logged) => {
    expect(read(datagram(logged))).toEqual([undefined]);
  });

  it('is a packet, or none, for any bytes', () => {
    const damaged = fc
      .tuple(fc.uint8Array({ maxLength: 200 }), fc.nat(400), fc.nat(400))
      .map(([noise, at, cut]) => {
        const bytes = datagram({ payload: ipv6(0, 43, 0, 0, 0, 0, 0, 0, 0) }, { sequence: 2 });
        bytes.set(noise.subarray(0, Math.max(0, bytes.length - at)), Math.min(at, bytes.length));
        return bytes.subarray(0, bytes.length - cut);
      });
    fc.assert(
      fc.property(fc.oneof(damaged, fc.uint8Array({ maxLength: 300 }).map(Buffer.from)), (bytes) => {
        for (const { packet } of loggedIn(Buffer.from(bytes), interfaceOf)) {
          if (packet === undefined) continue;
          expect([4, 16]).toContain(packet.qube.length);
          expect(packet.remote.length).toBe(packet.qube.length);
        }
      }),
      { numRuns: often(2000, 20_000) },
    );
  });

  it('counts what the kernel had no room for by numbers that are left out, and what cannot be read', () => {
    const waiting = [
      datagram({ sequence: 2 ** 32 - 2 }, { sequence: 1 }), // two between
      datagram({ sequence: 2, prefix: 'dropped: ' }),
      datagram({ sequence: 3 }, { sequence: 3 }), // begins anew
    ];
    const socket: NetlinkSocket = {
      send: () => undefined,
      receive: (into) => {
        const next = waiting.shift();
        into.set(next ?? []);
        return next?.length ?? 0;
      },
      close: () => undefined,
    };
    const log = new DropLog(socket);
    let count = 0;
    log.read(() => count++);
    expect([count, log.lost]).toEqual([4, 3]);
  });
});
