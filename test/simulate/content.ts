/**
 * What is pushed, and what tells one release from another: lists and rules over a few addresses that are
 * asked for, so that two releases rarely judge all of them alike.
 */

import type { PushInput } from '@rulecast/publisher';
import {
  type Environment,
  evaluate,
  type Packet,
  parseAddress,
  type RuleSet,
  saysAnything,
  type Verdict,
} from '@rulecast/rules';
import type { Random } from '../kit/random.mjs';

const QUBES = ['10.137.0.5', '10.137.0.6', '10.138.0.9', 'fd09::5'] as const;
const REMOTES4 = Array.from({ length: 16 }, (_, i) => `203.0.113.${i * 8}`);
const REMOTES6 = Array.from({ length: 6 }, (_, i) => `2001:db8::${i + 1}`);
/** What rules with an expiry are about, and no list. */
const ENDING = { accept: '203.0.113.201', drop: '203.0.113.202' } as const;
/** No rule ends later. */
const FAR_FUTURE = 2 ** 40;

export const PACKETS: readonly Packet[] = QUBES.flatMap((qube) => {
  const remotes = qube.includes(':') ? REMOTES6 : [...REMOTES4, ...Object.values(ENDING)];
  return remotes.flatMap((remote) => [
    packetOf('egress', qube, remote, 443),
    packetOf('ingress', remote, qube, 22),
  ]);
});

function packetOf(direction: Packet['direction'], src: string, dst: string, port: number): Packet {
  return { direction, src: addressOf(src), dst: addressOf(dst), proto: 6, port, icmpType: undefined };
}

function addressOf(text: string): Packet['dst'] {
  const address = parseAddress(text);
  if (address === undefined) throw new TypeError(text);
  return address;
}

/** What a table says of all packets, as one text. */
export function answersOf(ask: (packet: Packet) => Pick<Verdict, 'action'>): string {
  return PACKETS.map((packet) => LETTERS[ask(packet).action]).join('');
}

const LETTERS = { accept: 'a', drop: 'd', none: '-' } as const;

/** What a release may say: its rules that accept and those that drop end by times of their own. */
export interface Answers {
  readonly text: string;
  /** Whether a rule that accepts has ended then; undefined where that is not to be seen. */
  readonly hasAcceptEnded: boolean | undefined;
}

export function possibleAnswers(ruleSet: RuleSet): readonly Answers[] {
  // What decides nothing has the boot mode in force, which drops everything.
  if (!saysAnything(ruleSet))
    return [{ text: LETTERS.drop.repeat(PACKETS.length), hasAcceptEnded: undefined }];
  const ended = (hasAcceptEnded: boolean): readonly string[] =>
    [0, FAR_FUTURE].map((earliest) => {
      const environment: Environment = { now: hasAcceptEnded ? FAR_FUTURE : 0, earliest, dns: [] };
      return answersOf((packet) => evaluate(ruleSet, environment, packet));
    });
  const [before, after] = [ended(false), ended(true)];
  return [...new Set([...before, ...after])].map((text) => {
    const isEither = before.includes(text) && after.includes(text);
    return { text, hasAcceptEnded: isEither ? undefined : after.includes(text) };
  });
}

/** When the one rule that accepts and ends does so, in seconds since 1970; undefined if there is none. */
export function acceptEnd(ruleSet: RuleSet): number | undefined {
  const ends = [...ruleSet.policies.values()].flatMap(({ egress }) =>
    egress.forms.flatMap(({ match }) => (match.action === 'accept' ? (match.expire ?? []) : [])),
  );
  return ends[0];
}

/** How large the list is that nobody asks for: what is sent weighs by it. */
export type Weight = 'light' | 'usual' | 'heavy' | 'huge';
const BULK_COUNT: Readonly<Record<Weight, number>> = { light: 20, usual: 150, heavy: 2500, huge: 6000 };

/** A whole rule set; with `isPart`, one list of it. */
export function pushOf(random: Random, weight: Weight, wallMs: number, isPart: boolean): PushInput {
  const bad = [...REMOTES4, ...REMOTES6].filter(() => random.chance(0.5));
  const base: Omit<PushInput, 'files'> = {
    action: 'replace',
    list: undefined,
    policy: undefined,
    replaceAll: false,
  };
  const text = isPart ? `${[...bad, '192.0.2.1'].join('\n')}\n` : document(random, bad, weight, wallMs);
  const name = isPart ? 'bad.txt' : 'rules.yaml';
  return { ...base, files: [{ name, role: 'pushed', bytes: new TextEncoder().encode(text) }] };
}

function document(random: Random, bad: readonly string[], weight: Weight, wallMs: number): string {
  const count = Math.ceil(BULK_COUNT[weight] * (0.5 + random.below(50) / 100));
  const bulk = Array.from({ length: count }, () => hostOf(random.word()));
  // No rule uses them: they are there for deltas to carry.
  const exceptions = Array.from({ length: random.below(20) }, () => `x${random.below(40)}.example`);
  const nowS = Math.floor(wallMs / 1000);
  const ends = (['accept', 'drop'] as const)
    .filter(() => random.chance(0.5))
    .map((action) => `      - ${action} dst4=${ENDING[action]} expire=${nowS + 20 + random.below(400)}\n`);
  const lines = [
    `lists:\n  bad: { entries: [${['192.0.2.1', ...bad].map((entry) => `"${entry}"`).join(', ')}] }\n`,
    `  bulk: { entries: [${bulk.map((entry) => `"${entry}"`).join(', ')}] }\n`,
    `  names: { names: [.example], exceptions: [${exceptions.join(', ')}], resolve: firewall }\n`,
    ...(random.chance(0.5) ? [firstOf(random)] : []),
    'policies:\n  work:\n    prefixes: [10.137.0.5, "fd09::/64"]\n',
    `    default: ${random.pick(['accept', 'drop'])}\n    egress:\n`,
    ...ends,
    `      - ${random.pick(['accept', 'drop'])} dst=@bad\n      - drop dst=@bulk\n`,
    `    ingress:\n      - ${random.pick(['accept', 'drop'])} src=@bad proto=tcp dstports=22\n`,
    `  default:\n    default: ${random.pick(['accept', 'drop'])}\n`,
    `    egress:\n      - ${random.pick(['accept', 'drop'])} dst=@bad proto=tcp\n`,
  ];
  return lines.join('');
}

/** The policy `first`: it drops some of the remotes for all qubes. */
function firstOf(random: Random): string {
  const [egress, ingress] = [random.pick(REMOTES4), random.pick(REMOTES4)];
  return `first: { egress: [drop dst4=${egress}, drop dst6=${random.pick(REMOTES6)}], ingress: [drop src4=${ingress}] }\n`;
}

/** In 11.0.0.0/8: nobody asks for those. */
function hostOf(word: number): string {
  return `11.${(word >>> 16) & 0xff}.${(word >>> 8) & 0xff}.${word & 0xff}`;
}
