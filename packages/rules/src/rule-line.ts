/**
 * The parser of rule lines, which is strict where upstream guesses. docs/explain/design.md "Meaning of a rule
 * set".
 *
 * Upstream's grammar is in qubes-core-admin, qubes/firewall.py; where we differ from it, and why, stands in
 * docs/contribute/adr/0001-where-we-differ-from-qubes.md.
 */

import { domainToASCII } from 'node:url';
import { COMMENT_MAX_CHARS, EXPIRE_MAX } from './limits.ts';
import { isPartName, isWildcard, NameFault, parseHostName, RESOLVED_LIST } from './name.ts';
import { newPrefixScratch, PrefixFault, parsePrefixBytes, prefixOf } from './prefix.ts';
import {
  type Action,
  type Direction,
  type PortRange,
  type Proto,
  REMOTE_STEM,
  type Remote,
  type Rule,
} from './rule.ts';

/**
 * Longest line that the parser looks at. Our choice: the longest comment, all other options and much space
 * fit in.
 */
export const RULE_LINE_MAX_CHARS = 8192;

const PORT_MAX = 65_535;
const ICMP_TYPE_MAX = 255;
const DNS_PORT = 53;

/** Why a line is no rule. The codes of a bad address or host name are PrefixFault's and NameFault's. */
export const RuleFault = {
  empty: 'empty-line',
  tooLong: 'line-too-long',
  tab: 'tab-in-rule',
  unknown: 'unknown-option',
  otherDirection: 'wrong-direction',
  duplicate: 'duplicate-option',
  secondRemote: 'second-remote',
  noAction: 'missing-action',
  action: 'bad-action',
  family: 'wrong-family',
  list: 'bad-list-reference',
  proto: 'bad-proto',
  specialTarget: 'bad-specialtarget',
  ports: 'bad-ports',
  icmpType: 'bad-icmptype',
  expire: 'bad-expire',
  comment: 'bad-comment',
  private: 'bad-private',
  portsWithoutProto: 'ports-without-proto',
  icmpTypeWithoutIcmp: 'icmptype-without-icmp',
  dnsWithIcmp: 'dns-with-icmp',
  dnsPort: 'dns-with-other-port',
  dnsIngress: 'dns-in-ingress',
  /** It has a meaning (MEANING.md "Forms to come"), which nothing enforces yet. */
  unsupported: 'unsupported',
} as const;
export type RuleFault = (typeof RuleFault)[keyof typeof RuleFault] | PrefixFault | NameFault;

/**
 * A line that is not a rule. `column` counts characters of the text from 1; `reason` says what is wrong and
 * what to do.
 */
export interface RuleLineFault {
  readonly kind: 'fault';
  readonly code: RuleFault;
  readonly column: number;
  readonly reason: string;
}

/** A rule that parsed, or why it did not. */
export type RuleResult = { readonly kind: 'rule'; readonly rule: Rule } | RuleLineFault;

/** The form of the value that names the remote side. */
type RemoteForm = 'v4' | 'v6' | 'host' | 'list';

const REMOTE_OPTIONS: Readonly<Record<Direction, ReadonlyMap<string, RemoteForm>>> = {
  egress: new Map<string, RemoteForm>([
    ['dst4', 'v4'],
    ['dst6', 'v6'],
    ['dsthost', 'host'],
    ['dstname', 'host'], // its name in Qubes R3
    ['dst', 'list'],
  ]),
  ingress: new Map<string, RemoteForm>([
    ['src4', 'v4'],
    ['src6', 'v6'],
    ['srchost', 'host'],
    ['src', 'list'],
  ]),
};
const ANY: Remote = { kind: 'any' };
const COMMENT_OPTION = 'comment=';
const SPACE = 0x20;
const COLON = 0x3a;
const EQUALS = 0x3d;
/** dom0's own set (class Comment of qubes/firewall.py), so that every export goes back. */
const COMMENT_FOREIGN = /[^A-Za-z0-9:;,./\-_[\] ]/;

/** A rule while its line is parsed: the options so far, and the index of each; -1 if absent. */
interface Draft {
  readonly text: string;
  readonly direction: Direction;
  readonly now: number;
  action: Action | undefined;
  remote: Remote;
  remoteAt: number;
  proto: Proto | undefined;
  dnsAt: number;
  ports: PortRange | undefined;
  portsAt: number;
  icmpType: number | undefined;
  icmpTypeAt: number;
  expire: number | undefined;
  isPrivate: boolean;
  privateAt: number;
  comment: string | undefined;
}

/**
 * Parses one rule line, without its line end. Options stand in any order, one or more spaces apart;
 * `comment=` is last and takes the rest. `now` is in seconds since 1970 and is what `expire=+SECONDS` counts
 * from. A rule that has expired is a valid rule.
 */
export function parseRule(text: string, direction: Direction, now: number): RuleResult {
  if (text.length > RULE_LINE_MAX_CHARS) {
    const reason = `the line has ${text.length} characters; write at most ${RULE_LINE_MAX_CHARS}`;
    return faultAt(RULE_LINE_MAX_CHARS, RuleFault.tooLong, reason);
  }
  const draft = newDraft(text, direction, now);
  let end = text.length;
  while (end > 0 && text.charCodeAt(end - 1) === SPACE) end--;
  if (end === 0) {
    return faultAt(
      0,
      RuleFault.empty,
      'the line is empty: a rule needs at least action=accept or action=drop',
    );
  }
  for (let at = 0; at < end; ) {
    if (text.charCodeAt(at) === SPACE) {
      at++;
      continue;
    }
    const next = text.startsWith(COMMENT_OPTION, at) ? end : tokenEnd(text, at, end);
    const fault = takeToken(draft, at, next);
    if (fault !== undefined) return tabFault(text, at, next) ?? fault;
    at = next;
  }
  return finish(draft);
}

function newDraft(text: string, direction: Direction, now: number): Draft {
  return {
    text,
    direction,
    now,
    action: undefined,
    remote: ANY,
    remoteAt: -1,
    proto: undefined,
    dnsAt: -1,
    ports: undefined,
    portsAt: -1,
    icmpType: undefined,
    icmpTypeAt: -1,
    expire: undefined,
    isPrivate: false,
    privateAt: -1,
    comment: undefined,
  };
}

function tokenEnd(text: string, at: number, end: number): number {
  let next = at;
  while (next < end && text.charCodeAt(next) !== SPACE) next++;
  return next;
}

/** Takes the token `[start, end)` into the draft. Returns the fault, or undefined when it fits. */
function takeToken(draft: Draft, start: number, end: number): RuleLineFault | undefined {
  const text = draft.text;
  let equals = start;
  while (equals < end && text.charCodeAt(equals) !== EQUALS) equals++;
  const key = text.slice(start, equals);
  if (equals === end) return takeBareWord(draft, key, start);
  const valueAt = equals + 1;
  const form = REMOTE_OPTIONS[draft.direction].get(key);
  if (form !== undefined) return takeRemote(draft, key, form, start, valueAt, end);
  const value = text.slice(valueAt, end);
  switch (key) {
    case 'action':
      return takeAction(draft, value, start, valueAt);
    case 'proto':
      return takeProto(draft, value, start, valueAt);
    case 'specialtarget':
      return takeSpecialTarget(draft, value, start, valueAt);
    case 'dstports':
      return takePorts(draft, value, start, valueAt);
    case 'icmptype':
      return takeIcmpType(draft, value, start, valueAt);
    case 'expire':
      return takeExpire(draft, value, start, valueAt);
    case 'private':
      return takePrivate(draft, value, start, valueAt);
    case 'comment':
      return takeComment(draft, value, valueAt);
    default:
      return unknownOption(draft, key, start);
  }
}

function takeBareWord(draft: Draft, word: string, at: number): RuleLineFault | undefined {
  if (word === 'accept' || word === 'drop') return takeAction(draft, word, at, at);
  const reason = `${quoted(word)} is no option: write KEY=VALUE, or accept or drop alone`;
  return faultAt(at, RuleFault.unknown, reason);
}

function takeAction(draft: Draft, value: string, at: number, valueAt: number): RuleLineFault | undefined {
  if (draft.action !== undefined) return duplicate('action', at);
  if (value !== 'accept' && value !== 'drop') {
    const reason = `${quoted(value)} is no action: write action=accept or action=drop`;
    return faultAt(valueAt, RuleFault.action, reason);
  }
  draft.action = value;
  return undefined;
}

function takeProto(draft: Draft, value: string, at: number, valueAt: number): RuleLineFault | undefined {
  if (draft.proto !== undefined) return duplicate('proto', at);
  if (value !== 'tcp' && value !== 'udp' && value !== 'icmp') {
    const reason = `${quoted(value)} is no protocol: write tcp, udp or icmp, in lower case`;
    return faultAt(valueAt, RuleFault.proto, reason);
  }
  draft.proto = value;
  return undefined;
}

function takeSpecialTarget(
  draft: Draft,
  value: string,
  at: number,
  valueAt: number,
): RuleLineFault | undefined {
  if (draft.dnsAt >= 0) return duplicate('specialtarget', at);
  if (value !== 'dns') {
    const reason = `${quoted(value)} is no special target: the only one is specialtarget=dns`;
    return faultAt(valueAt, RuleFault.specialTarget, reason);
  }
  draft.dnsAt = at;
  return undefined;
}

function takePorts(draft: Draft, value: string, at: number, valueAt: number): RuleLineFault | undefined {
  if (draft.portsAt >= 0) return duplicate('dstports', at);
  const dash = value.indexOf('-');
  const first = parseDecimal(dash < 0 ? value : value.slice(0, dash), PORT_MAX);
  const last = dash < 0 ? first : parseDecimal(value.slice(dash + 1), PORT_MAX);
  if (first < 0 || last < 0) {
    const reason = `${quoted(value)} is neither a port nor a range: write N or N-M of 0..65535, plain decimal; a rule per range`;
    return faultAt(valueAt, RuleFault.ports, reason);
  }
  if (first > last) {
    const reason = `the range ${value} runs backwards: write dstports=${last}-${first}`;
    return faultAt(valueAt, RuleFault.ports, reason);
  }
  draft.ports = { first, last };
  draft.portsAt = at;
  return undefined;
}

function takeIcmpType(draft: Draft, value: string, at: number, valueAt: number): RuleLineFault | undefined {
  if (draft.icmpTypeAt >= 0) return duplicate('icmptype', at);
  const type = parseDecimal(value, ICMP_TYPE_MAX);
  if (type < 0) {
    const reason = `${quoted(value)} is no ICMP type: write a number of 0..255, plain decimal`;
    return faultAt(valueAt, RuleFault.icmpType, reason);
  }
  draft.icmpType = type;
  draft.icmpTypeAt = at;
  return undefined;
}

function takeExpire(draft: Draft, value: string, at: number, valueAt: number): RuleLineFault | undefined {
  if (draft.expire !== undefined) return duplicate('expire', at);
  const relative = value.startsWith('+');
  const seconds = parseDecimal(relative ? value.slice(1) : value, EXPIRE_MAX);
  const expire = relative && seconds >= 0 ? Math.floor(draft.now) + seconds : seconds;
  if (expire < 0 || expire > EXPIRE_MAX) {
    const reason = `${quoted(value)} is no time: write seconds since 1970 up to ${EXPIRE_MAX}, or +SECONDS from now`;
    return faultAt(valueAt, RuleFault.expire, reason);
  }
  draft.expire = expire;
  return undefined;
}

/** Parses whether a name may resolve to private addresses. */
function takePrivate(draft: Draft, value: string, at: number, valueAt: number): RuleLineFault | undefined {
  if (draft.privateAt >= 0) return duplicate('private', at);
  if (value !== 'true' && value !== 'false') {
    const reason = `${quoted(value)} is nothing for private=: write private=true, or leave it out`;
    return faultAt(valueAt, RuleFault.private, reason);
  }
  draft.isPrivate = value === 'true';
  draft.privateAt = at;
  return undefined;
}

/** The rest of the line; spaces around it belong to the line. An empty comment is none, as in dom0. */
function takeComment(draft: Draft, value: string, valueAt: number): RuleLineFault | undefined {
  const foreign = value.search(COMMENT_FOREIGN);
  if (foreign >= 0) {
    const character = String.fromCodePoint(value.codePointAt(foreign) ?? 0);
    const hint = character === '=' ? ' (it takes the rest of the line, so options stand before it)' : '';
    const reason = `a comment cannot hold ${quoted(character)}${hint}: use ASCII letters, digits, spaces and : ; , . / - _ [ ]`;
    return faultAt(valueAt + foreign, RuleFault.comment, reason);
  }
  const comment = value.trim();
  if (comment.length > COMMENT_MAX_CHARS) {
    const reason = `the comment has ${comment.length} characters; write at most ${COMMENT_MAX_CHARS}`;
    return faultAt(valueAt + COMMENT_MAX_CHARS, RuleFault.comment, reason);
  }
  if (comment !== '') draft.comment = comment;
  return undefined;
}

function unknownOption(draft: Draft, key: string, at: number): RuleLineFault {
  const other = draft.direction === 'egress' ? 'ingress' : 'egress';
  if (REMOTE_OPTIONS[other].has(key)) {
    const stem = REMOTE_STEM[draft.direction];
    const reason = `${key}= belongs to ${other} rules: an ${draft.direction} rule names the other side with ${stem}4=, ${stem}6=, ${stem}host= or ${stem}=@LIST`;
    return faultAt(at, RuleFault.otherDirection, reason);
  }
  const remotes = [...REMOTE_OPTIONS[draft.direction].keys()].filter((name) => name !== 'dstname').join(', ');
  const reason = `${quoted(key)} is no option: remove it; options are action, ${remotes}, proto, specialtarget, dstports, icmptype, expire, private, comment`;
  return faultAt(at, RuleFault.unknown, reason);
}

function takeRemote(
  draft: Draft,
  key: string,
  form: RemoteForm,
  at: number,
  valueAt: number,
  end: number,
): RuleLineFault | undefined {
  if (draft.remoteAt >= 0) return secondRemote(draft, key, at);
  draft.remoteAt = at;
  if (form === 'list') return takeList(draft, key, valueAt, end);
  if (form === 'host' && !looksLikeAddress(draft.text, valueAt, end)) return takeName(draft, valueAt, end);
  return takePrefix(draft, key, form, valueAt, end);
}

function secondRemote(draft: Draft, key: string, at: number): RuleLineFault {
  const before = draft.text.slice(draft.remoteAt, draft.text.indexOf('=', draft.remoteAt));
  if (before === key) return duplicate(key, at);
  const reason = `${key}= after ${before}=: a rule names one remote side; write two rules`;
  return faultAt(at, RuleFault.secondRemote, reason);
}

function takeList(draft: Draft, key: string, valueAt: number, end: number): RuleLineFault | undefined {
  const value = draft.text.slice(valueAt, end);
  const list = value.slice(1);
  if (value === `@${RESOLVED_LIST}` && draft.direction === 'ingress') {
    const reason = '@resolved names where traffic goes, so it belongs to egress rules: name a list';
    return faultAt(valueAt, RuleFault.list, reason);
  }
  if (value.startsWith('@') && isPartName(list)) {
    draft.remote = { kind: 'list', list };
    return undefined;
  }
  if (value.startsWith('@')) {
    const reason = `${quoted(list)} cannot name a list: write 1 to 63 of A-Z a-z 0-9 . _ -, the first a letter or digit`;
    return faultAt(valueAt + 1, RuleFault.list, reason);
  }
  const suffix = !looksLikeAddress(value, 0, value.length) ? 'host' : value.includes(':') ? '6' : '4';
  const reason = `${key}= takes a list, as in ${key}=@NAME: for ${quoted(value)} write ${key}${suffix}=`;
  return faultAt(valueAt, RuleFault.list, reason);
}

/** Whether a value of `dsthost=` looks like an address: dom0 accepts both there. */
function looksLikeAddress(text: string, start: number, end: number): boolean {
  const value = text.slice(start, end);
  return (
    value.includes('/') || /^[0-9]+(\.[0-9]+){3}$/.test(value) || /^[0-9a-f:.]*:[0-9a-f:.]*$/i.test(value)
  );
}

function takeName(draft: Draft, valueAt: number, end: number): RuleLineFault | undefined {
  const value = draft.text.slice(valueAt, end);
  const result = parseHostName(value);
  if (result.kind === 'name') {
    draft.remote = { kind: 'name', name: result.name };
    return undefined;
  }
  if (isWildcard(value)) {
    const reason = `${quoted(value)} is a wildcard, which is not supported yet: write the names that are meant, one rule each, or a list`;
    return faultAt(valueAt, RuleFault.unsupported, reason);
  }
  return faultAt(valueAt, result.fault, nameReason(value, result.fault));
}

function nameReason(value: string, fault: NameFault): string {
  switch (fault) {
    case NameFault.empty:
      return 'the host name is empty: write a name, or leave the option out to match every address';
    case NameFault.ascii: {
      const ascii = parseHostName(domainToASCII(value));
      const advice = ascii.kind === 'name' ? `write its A-label, ${ascii.name}` : 'write its A-label';
      return `${quoted(value)} is not ASCII: ${advice}`;
    }
    case NameFault.numeric:
      return `${quoted(value)} ends in a number, so resolvers would guess an address: write four decimal octets, or a name`;
    case NameFault.long:
      return `the host name has ${value.length} characters; DNS allows 253`;
    case NameFault.label: {
      if (value.startsWith('*')) {
        return `${quoted(value)} is a wildcard, and DNS lists no names: write those that are meant, one rule each, or a list`;
      }
      const advice = value.includes(':') ? '; a port is written dstports=' : '';
      return `${quoted(value)} is no host name: labels are 1 to 63 of a-z 0-9 - _, with no dash at either end${advice}`;
    }
  }
}

/** Longest text of an address with a prefix length: 45 of a mapped IPv6 address in full, and `/128`. */
const PREFIX_TEXT_MAX_CHARS = 49;
// The parser is synchronous, so that one set of scratch memory serves all calls.
const prefixBytes = new Uint8Array(PREFIX_TEXT_MAX_CHARS);
const prefixScratch = newPrefixScratch();

function takePrefix(
  draft: Draft,
  key: string,
  form: RemoteForm,
  valueAt: number,
  end: number,
): RuleLineFault | undefined {
  const count = end - valueAt;
  let colons = false;
  let fault: PrefixFault | undefined = PrefixFault.address;
  if (count <= PREFIX_TEXT_MAX_CHARS) {
    for (let i = 0; i < count; i++) {
      const code = draft.text.charCodeAt(valueAt + i);
      if (code === COLON) colons = true;
      prefixBytes[i] = code < 0x80 ? code : 0; // a byte that no address holds
    }
    fault = parsePrefixBytes(prefixBytes, 0, count, prefixScratch);
  }
  if (fault !== undefined) {
    return faultAt(valueAt, fault, prefixReason(draft.text.slice(valueAt, end), form, fault));
  }
  if ((form === 'v4' && colons) || (form === 'v6' && !colons)) {
    const stem = REMOTE_STEM[draft.direction];
    const reason = `${key}= takes IPv${form === 'v4' ? 4 : 6}: write ${stem}${colons ? 6 : 4}= for this address`;
    return faultAt(valueAt, RuleFault.family, reason);
  }
  const { family, words, length } = prefixScratch;
  draft.remote = { kind: 'prefix', prefix: prefixOf(family, words, length) };
  return undefined;
}

function prefixReason(value: string, form: RemoteForm, fault: PrefixFault): string {
  switch (fault) {
    case PrefixFault.address: {
      const wanted = form === 'v6' ? 'IPv6' : form === 'v4' ? 'IPv4' : 'IPv4 or IPv6';
      const advice =
        form === 'v6'
          ? 'write it as 2001:db8::1, without brackets or zone'
          : 'write four decimal octets without leading zeros';
      return `${quoted(value)} is no ${wanted} address: ${advice}`;
    }
    case PrefixFault.length:
      return `the prefix length of ${quoted(value)} is wrong: write /0 to /${value.includes(':') ? 128 : 32}, as a number of bits`;
    case PrefixFault.mapped:
      return `${quoted(value)} holds IPv4-mapped addresses and others: write an IPv4 prefix, or one of /96 to /128`;
  }
}

/** The checks that need the whole line, and then the rule. */
function finish(draft: Draft): RuleResult {
  const { action, proto, icmpType, expire, comment, remote } = draft;
  if (action === undefined) {
    return faultAt(
      0,
      RuleFault.noAction,
      'the rule does not say what to do: write action=accept or action=drop',
    );
  }
  const fault =
    draft.portsAt >= 0 || draft.icmpTypeAt >= 0 || draft.dnsAt >= 0 ? combinationFault(draft) : undefined;
  if (fault !== undefined) return fault;
  if (draft.privateAt >= 0 && remote.kind !== 'name') {
    const stem = REMOTE_STEM[draft.direction];
    const reason = `private= is about the name of ${stem}host=: leave it out, or of a list say private: true where it is defined`;
    return faultAt(draft.privateAt, RuleFault.private, reason);
  }
  const dns = draft.dnsAt >= 0;
  // specialtarget=dns says port 53 itself; dom0 keeps the option only beside a protocol, so that the export
  // must not print it.
  const ports = dns && proto === undefined ? undefined : draft.ports;
  const isPrivate = draft.isPrivate && ({ isPrivate: true } as const);
  const rule = { action, proto, dns, ports, icmpType, expire, comment, ...isPrivate, remote };
  return { kind: 'rule', rule };
}

function combinationFault(draft: Draft): RuleLineFault | undefined {
  const { proto, ports, portsAt, icmpTypeAt, dnsAt } = draft;
  if (icmpTypeAt >= 0 && proto !== 'icmp') {
    return faultAt(icmpTypeAt, RuleFault.icmpTypeWithoutIcmp, 'icmptype= needs proto=icmp: add it');
  }
  if (dnsAt >= 0 && proto === 'icmp') {
    const reason =
      'specialtarget=dns is tcp or udp to port 53 and can never match proto=icmp: remove one of them';
    return faultAt(dnsAt, RuleFault.dnsWithIcmp, reason);
  }
  if (dnsAt >= 0 && draft.direction === 'ingress') {
    const reason =
      'specialtarget=dns names where traffic goes, so it belongs to egress rules: use src4=, src6= or src=@LIST';
    return faultAt(dnsAt, RuleFault.dnsIngress, reason);
  }
  if (ports === undefined) return undefined;
  if (dnsAt >= 0 && (ports.first !== DNS_PORT || ports.last !== DNS_PORT)) {
    const reason =
      'specialtarget=dns is port 53 only: remove dstports=, or name the servers with dst4= or dst=@LIST';
    return faultAt(portsAt, RuleFault.dnsPort, reason);
  }
  if (dnsAt < 0 && proto !== 'tcp' && proto !== 'udp') {
    return faultAt(
      portsAt,
      RuleFault.portsWithoutProto,
      'dstports= needs proto=tcp or proto=udp: add one, or write two rules',
    );
  }
  return undefined;
}

/** Plain decimal without sign or leading zero, 0..max; -1 for any other text. */
function parseDecimal(text: string, max: number): number {
  if (!/^(?:0|[1-9][0-9]{0,14})$/.test(text)) return -1;
  const value = Number(text);
  return value <= max ? value : -1;
}

/** Reports a tab, which explains every other fault of its token. */
function tabFault(text: string, start: number, end: number): RuleLineFault | undefined {
  const tab = text.indexOf('\t', start);
  if (tab < 0 || tab >= end) return undefined;
  return faultAt(tab, RuleFault.tab, 'there is a tab: put spaces between options');
}

function duplicate(key: string, at: number): RuleLineFault {
  return faultAt(at, RuleFault.duplicate, `${key}= is given twice: remove one`);
}

/** A fault at an index of the text, counted from 0. */
function faultAt(index: number, code: RuleFault, reason: string): RuleLineFault {
  return { kind: 'fault', code, column: index + 1, reason };
}

const QUOTED_MAX_CHARS = 60;

/** Text of the line for a message: short, and with nothing that a terminal would act upon. */
function quoted(text: string): string {
  const shown = text.length > QUOTED_MAX_CHARS ? `${text.slice(0, QUOTED_MAX_CHARS)}…` : text;
  return `"${shown.replace(/[\p{C}\p{Z}]/gu, (character) => (character === ' ' ? ' ' : `\\u{${character.codePointAt(0)?.toString(16)}}`))}"`;
}
