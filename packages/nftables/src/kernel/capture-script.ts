/**
 * The table that redirects DNS questions of qubes to `rulecast-dns`, and lets no other resolver answer them:
 *
 *   taken   after Qubes' DNAT: a question of a qube to a resolver that is taken over gets our mark, by which routing knows it;
 *           what a qube asks beyond its rate is dropped here, for all share the socket that it would come to
 *   guard   on its way through, before all others: what is such a question leaves by our link, or not at all; it is routed
 *           by then, so our mark goes, before who keeps marks for a connection has its answers routed by it, too
 *   input   what this host itself would answer: not at all
 *   keep    before Qubes masquerades: the qube's address stays, or all qubes would look alike
 *
 * Each chain judges for itself, so that none depends on another, on routes, or on changes by others.
 */

import {
  CAPTURE_LINK,
  CAPTURE_MARK,
  CAPTURE_MARK_BITS,
  CAPTURE_TABLE,
  QUESTIONS_PER_S,
  SENDER_REMEMBERED_MS,
  SENDERS_MAX,
  SENDERS_PER_S,
} from '../limits.ts';
import {
  addBaseChain,
  addChain,
  addCounter,
  addNotedSet,
  addProtocolSet,
  addTable,
  type Command,
  type Hook,
} from './commands.ts';
import {
  Ct,
  CtDirection,
  CtState,
  counts,
  ct,
  equals,
  half,
  interfaceName,
  isIn,
  isWithinRate,
  Meta,
  machineWord,
  masked,
  meta,
  metaBehind,
  setPacketMark,
  sourceFrom,
  verdict,
} from './expressions.ts';
import { type LogPlace, logCommands, refusal } from './log-script.ts';
import {
  addRules,
  goes,
  HAS_PORTS,
  isOf,
  isOfState,
  PORT_PROTOCOLS_SET,
  PROTOCOL,
  type Rule,
  TCP,
} from './script.ts';

/** Which are questions to a resolver that is taken over. */
const QUESTIONS_CHAIN = 'questions';
/** The counter of questions beyond a rate. */
const BEYOND_COUNTER = 'beyond_rate';
/** Links, by the senders that they bring; senders are in sets of their family. */
const LINKS_SET = 'links';
/** Qubes' chains have 0 and, for NAT, -100 and 100; ours of releases -10; the first of others -300. */
const HOOKS = {
  taken: { number: 0, priority: -99, type: 'filter' },
  input: { number: 1, priority: -11, type: 'filter' },
  guard: { number: 2, priority: -301, type: 'filter' },
  keep: { number: 4, priority: 98, type: 'nat' },
} as const satisfies Readonly<Record<string, Hook>>;
const DNS_PORT = 53;

const FAMILIES = [4, 6] as const;
const ACCEPT = verdict('accept');
const DROP = verdict('drop');
const LEAVES = [meta(Meta.outName), equals(interfaceName(CAPTURE_LINK))];
const COMES = [meta(Meta.inName), equals(interfaceName(CAPTURE_LINK))];
const IS_MARKED = [
  meta(Meta.mark),
  masked(machineWord(CAPTURE_MARK_BITS)),
  equals(machineWord(CAPTURE_MARK)),
];
const MARKING = [
  meta(Meta.mark),
  masked(machineWord(~CAPTURE_MARK_BITS), machineWord(CAPTURE_MARK)),
  setPacketMark(),
];
const UNMARKING = [meta(Meta.mark), masked(machineWord(~CAPTURE_MARK_BITS)), setPacketMark()];

/** Makes the table, which is not there. `addresses` are of resolvers, 8 or 32 hex digits. */
export function captureCommands(
  addresses: readonly string[],
  place: LogPlace,
  isOwned: boolean,
): readonly Command[] {
  const table = CAPTURE_TABLE;
  const isOfQube = [meta(Meta.inGroup), equals(machineWord(place.downstreamGroup))];
  const asks: Rule = [
    ...isOfQube,
    ...goes('original'),
    PROTOCOL,
    HAS_PORTS,
    verdict('jump', QUESTIONS_CHAIN),
  ];
  const refuse = refusal('dns', [DROP], place);
  const rules: Readonly<Record<keyof typeof HOOKS, readonly Rule[]>> = {
    taken: [
      asks,
      ...FAMILIES.map((family) => [...IS_MARKED, ...isOf(family), verdict('goto', sendersChain(family))]),
    ],
    input: [asks, [...IS_MARKED, ...refuse]],
    guard: [
      [...COMES, ...goes('original'), ...refuse], // it only answers
      [...LEAVES, ...IS_MARKED, ...UNMARKING, ACCEPT],
      [...LEAVES, ...refuse],
      asks,
      [...IS_MARKED, ...refuse],
    ],
    keep: FAMILIES.map((family) => [
      ...LEAVES,
      ...isOf(family),
      ct(family === 4 ? Ct.src4 : Ct.src6, CtDirection.original),
      sourceFrom(family),
    ]),
  };
  return [
    addTable(table, isOwned),
    ...addProtocolSet(table, PORT_PROTOCOLS_SET, [6, 17]),
    addChain(table, QUESTIONS_CHAIN),
    ...addRules(table, QUESTIONS_CHAIN, addresses.flatMap(questionsTo)),
    ...logCommands(table, { dns: [DROP] }, place),
    ...rateCommands(table, place),
    ...(Object.keys(HOOKS) as (keyof typeof HOOKS)[]).flatMap((chain) => [
      addBaseChain(table, chain, HOOKS[chain]),
      ...addRules(table, chain, rules[chain]),
    ]),
  ];
}

const sendersChain = (family: 4 | 6): string => `senders${family}`;
const rateChain = (family: 4 | 6): string => `rate${family}`;

/**
 * A rate for each sender. A new sender must also fit in the rate of its link, so that a qube cannot fill the
 * sets with forged addresses and shut out others.
 */
function rateCommands(table: string, place: LogPlace): readonly Command[] {
  const room = { size: SENDERS_MAX, milliseconds: SENDER_REMEMBERED_MS };
  const beyond: Rule = [counts(BEYOND_COUNTER), ...refusal('dns', [DROP], place)];
  const made = (family: 4 | 6): readonly Command[] => {
    const [set, counted] = [sendersChain(family), verdict('goto', rateChain(family))];
    const sender = [
      ct(family === 4 ? Ct.src4 : Ct.src6, CtDirection.original),
      metaBehind(Meta.inIndex, family),
    ];
    return [
      addNotedSet(table, set, family, room),
      addChain(table, rateChain(family)),
      ...addRules(table, rateChain(family), [
        [...sender, isWithinRate(set, QUESTIONS_PER_S), ACCEPT],
        beyond,
      ]),
      addChain(table, sendersChain(family)),
      ...addRules(table, sendersChain(family), [
        [PROTOCOL, TCP, ...isOfState(CtState.established), ACCEPT],
        [...sender, isIn(set), counted],
        [meta(Meta.inIndex), isWithinRate(LINKS_SET, SENDERS_PER_S), counted],
        beyond,
      ]),
    ];
  };
  return [
    addCounter(table, BEYOND_COUNTER),
    addNotedSet(table, LINKS_SET, undefined, room),
    ...FAMILIES.flatMap(made),
  ];
}

/** By where they go, and by where the qube sent them, whatever DNAT makes of that. */
function questionsTo(address: string): readonly Rule[] {
  const bytes = Buffer.from(address, 'hex');
  const [replies, asked] = bytes.length === 4 ? [Ct.src4, Ct.dst4] : [Ct.src6, Ct.dst6];
  const [port, { reply, original }] = [equals(half(DNS_PORT)), CtDirection];
  return [
    [ct(Ct.srcPort, reply), port, ct(replies, reply), equals(bytes), ...MARKING],
    [ct(Ct.dstPort, original), port, ct(asked, original), equals(bytes), ...MARKING],
  ];
}
