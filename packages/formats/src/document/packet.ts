/**
 * Packets as people write them: one JSON object a line for test files, or `SRC > DST proto/port` on a command
 * line. Strict, with the column of each fault: a guessed packet would prove nothing.
 */

import {
  type Address,
  closest,
  type Direction,
  IpProtocol,
  isPartName,
  type Packet,
  parseAddress,
} from '@rulecast/rules';
import { quote } from '../text/bytes.ts';

/** The expected verdict in a test file. */
export type ExpectedAction = 'accept' | 'drop' | 'none';

/** A packet that parsed, or why it did not. */
export type PacketResult =
  | { readonly kind: 'packet'; readonly packet: Packet; readonly expect: ExpectedAction | undefined }
  | PacketFaultResult;

export interface PacketFaultResult {
  readonly kind: 'fault';
  readonly code: PacketFault;
  /** From 1, in UTF-16 code units of the text. */
  readonly column: number;
  readonly reason: string;
}

export const PacketFault = {
  json: 'bad-json',
  unknown: 'unknown-key',
  duplicate: 'duplicate-key',
  missing: 'missing-key',
  direction: 'bad-direction',
  address: 'bad-address',
  mixed: 'mixed-families',
  proto: 'bad-proto',
  port: 'bad-port',
  icmpType: 'bad-icmptype',
  expect: 'bad-expect',
  portWithoutProto: 'port-without-proto',
  icmpTypeWithoutIcmp: 'icmptype-without-icmp',
  text: 'bad-packet',
} as const;
export type PacketFault = (typeof PacketFault)[keyof typeof PacketFault];

/** For the help text of commands that take a packet. */
export const PACKET_TEXT_HELP = `PACKET is [SRC >] DST [PROTO[/PORT]]: "10.137.0.5 > 192.0.2.7 tcp/443", "192.0.2.7 udp/53",
"10.137.0.5 > 2001:db8::1 icmp/128". SRC is an address, or the policy that judges it, of which one is taken.
PROTO is tcp, udp, icmp, icmpv6, gre, sctp, esp, ah or a number; PORT is the destination port, or the type for
icmp and icmpv6. Without PROTO the packet is tcp to port 443; with PROTO and without PORT it is a packet whose
port cannot be read, such as one with a cut header.`;

/** The port of an address alone: people who ask whether an address is blocked mean such a connection. */
const BARE_ADDRESS_PORT = 443;

/** IP protocol numbers by name (IANA). */
const PROTO_NUMBERS: ReadonlyMap<string, number> = new Map([
  ['icmp', IpProtocol.icmp],
  ['tcp', IpProtocol.tcp],
  ['udp', IpProtocol.udp],
  ['gre', 47],
  ['esp', 50],
  ['ah', 51],
  ['icmpv6', IpProtocol.icmp6],
  ['sctp', 132],
]);
const SCTP = 132;

const KEYS = ['direction', 'src', 'dst', 'proto', 'dport', 'icmptype', 'expect'] as const;
type Key = (typeof KEYS)[number];

interface Field {
  readonly keyColumn: number;
  readonly column: number;
  /** Strings as they are; numbers as text and number; undefined: neither. */
  readonly value: string | number | undefined;
}

type Fields = ReadonlyMap<Key, Field>;

/**
 * Parses one line of a packet file: `{"dst": "192.0.2.7", "proto": "tcp", "dport": 443, "expect": "drop"}`.
 */
export function parsePacketLine(text: string): PacketResult {
  const fields = readFields(text);
  return 'kind' in fields ? fields : packetOf(fields, text);
}

/** One token of flat JSON, with the blanks before it. */
const TOKEN =
  /[ \t\r]*(?:([{}:,])|("(?:[^"\\\p{Cc}]|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*")|(-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?)(?![\w.])|(true|false|null)\b)/uy;

interface Token {
  readonly column: number;
  readonly end: number;
  readonly text: string;
  readonly kind: 'mark' | 'string' | 'number' | 'word';
}

function readFields(text: string): Fields | PacketFaultResult {
  const fields = new Map<Key, Field>();
  let at = 0;
  const next = (): Token | undefined => {
    const token = tokenAt(text, at);
    if (token !== undefined) at = token.end;
    return token;
  };
  const broken = (wanted: string, token: Token | undefined): PacketFaultResult => {
    const column = token?.column ?? at + (/^[ \t\r]*/.exec(text.slice(at))?.[0].length ?? 0) + 1;
    return fault(PacketFault.json, column, `expected ${wanted}: write one flat JSON object a line`);
  };
  const opening = next();
  if (opening?.text !== '{') return broken('{', opening);
  let token = next();
  if (token?.text !== '}') {
    for (;;) {
      if (token?.kind !== 'string') return broken('a key in double quotes', token);
      const key = stringOf(token);
      const known = KEYS.find((name) => name === key);
      if (known === undefined) return unknownKey(key, token.column);
      if (fields.has(known))
        return fault(PacketFault.duplicate, token.column, `${quote(key)} is given twice: remove one`);
      const colon = next();
      if (colon?.text !== ':') return broken(':', colon);
      const value = next();
      if (value === undefined || value.kind === 'mark') return broken('a string or a number', value);
      fields.set(known, { keyColumn: token.column, column: value.column, value: tokenValue(value) });
      const mark = next();
      if (mark?.text === '}') break;
      if (mark?.text !== ',') return broken(', or }', mark);
      token = next();
    }
  }
  return /^[ \t\r\n]*$/.test(text.slice(at)) ? fields : broken('the end of the line', next());
}

function tokenAt(text: string, at: number): Token | undefined {
  TOKEN.lastIndex = at;
  const match = TOKEN.exec(text);
  if (match === null) return undefined;
  const [whole, mark, string, number, word] = match;
  const token = mark ?? string ?? number ?? word ?? '';
  const kind =
    mark !== undefined ? 'mark' : string !== undefined ? 'string' : number !== undefined ? 'number' : 'word';
  const end = at + whole.length;
  return { column: end - token.length + 1, end, text: token, kind };
}

/** The value of a string token, whose grammar TOKEN has checked. */
function stringOf(token: Token): string {
  return String(JSON.parse(token.text));
}

function tokenValue(token: Token): string | number | undefined {
  if (token.kind === 'string') return stringOf(token);
  return token.kind === 'number' ? Number(token.text) : undefined;
}

function unknownKey(key: string, column: number): PacketFaultResult {
  const near = closest(key, KEYS);
  const advice = near === undefined ? `keys are ${KEYS.join(', ')}` : `did you mean ${quote(near)}?`;
  return fault(PacketFault.unknown, column, `${quote(key)} is no key of a packet: ${advice}`);
}

function packetOf(fields: Fields, text: string): PacketResult {
  const missing = (key: Key): PacketFaultResult =>
    fault(PacketFault.missing, text.trimEnd().length, `${quote(key)} is missing: every packet has it`);
  const direction = choice(fields.get('direction'), ['egress', 'ingress', 'both'], PacketFault.direction);
  if (isFault(direction)) return direction;
  const expect = choice(fields.get('expect'), ['accept', 'drop', 'none'], PacketFault.expect);
  if (isFault(expect)) return expect;
  const dstField = fields.get('dst');
  if (dstField === undefined) return missing('dst');
  const dst = addressOf(dstField);
  if ('kind' in dst) return dst;
  const srcField = fields.get('src');
  const src = srcField === undefined ? undefined : addressOf(srcField);
  if (src !== undefined && 'kind' in src) return src;
  const protoField = fields.get('proto');
  if (protoField === undefined) return missing('proto');
  const proto = protoOf(protoField, dst);
  if (isFault(proto)) return proto;
  const port = numberOf(fields.get('dport'), 65_535, PacketFault.port, 'a port is a number of 0..65535');
  if (isFault(port)) return port;
  const icmpType = numberOf(
    fields.get('icmptype'),
    255,
    PacketFault.icmpType,
    'an ICMP type is a number of 0..255',
  );
  if (isFault(icmpType)) return icmpType;
  const packet: Packet = { direction: direction ?? 'egress', src, dst, proto, port, icmpType };
  const column = (key: Key): number => fields.get(key)?.keyColumn ?? 1;
  return combinationFault(packet, column) ?? { kind: 'packet', packet, expect };
}

/** The checks that need the whole packet. */
function combinationFault(packet: Packet, column: (key: Key) => number): PacketFaultResult | undefined {
  const { src, dst, proto, port, icmpType } = packet;
  if (src !== undefined && src.family !== dst.family) {
    const reason = 'one address is IPv4, the other IPv6: no packet has both';
    return fault(PacketFault.mixed, column('src'), reason);
  }
  if (port !== undefined && proto !== IpProtocol.tcp && proto !== IpProtocol.udp && proto !== SCTP) {
    const reason = 'only tcp, udp and sctp have ports: remove the port or name one of them';
    return fault(PacketFault.portWithoutProto, column('dport'), reason);
  }
  if (icmpType !== undefined && proto !== IpProtocol.icmp && proto !== IpProtocol.icmp6) {
    const reason = 'only icmp and icmpv6 have a type: remove it or name one of them';
    return fault(PacketFault.icmpTypeWithoutIcmp, column('icmptype'), reason);
  }
  return undefined;
}

function addressOf(field: Field): Address | PacketFaultResult {
  const address = typeof field.value === 'string' ? parseAddress(field.value) : undefined;
  if (address !== undefined) return address;
  const shown = field.value === undefined ? 'this' : quote(String(field.value));
  const reason = `${shown} is no address: write one IPv4 or IPv6 address, without prefix length, port or zone`;
  return fault(PacketFault.address, field.column, reason);
}

/** The protocol number; `icmp` to an IPv6 address is ICMPv6, as in rules. */
function protoOf(field: Field, dst: Address): number | PacketFaultResult {
  const { value } = field;
  if (value === 'icmp' && dst.family === 6) return IpProtocol.icmp6;
  if (value === 'icmpv6' && dst.family === 4) {
    const reason = 'icmpv6 goes to IPv6 addresses only: write icmp, or 58 if the packet is really that odd';
    return fault(PacketFault.proto, field.column, reason);
  }
  const number = typeof value === 'string' ? (PROTO_NUMBERS.get(value) ?? decimalOf(value)) : value;
  if (number !== undefined && Number.isInteger(number) && number >= 0 && number <= 255) return number;
  const shown = value === undefined ? 'this' : quote(String(value));
  const reason = `${shown} is no protocol: write ${[...PROTO_NUMBERS.keys()].join(', ')} or a number of 0..255`;
  return fault(PacketFault.proto, field.column, reason);
}

function decimalOf(text: string): number | undefined {
  return /^(?:0|[1-9]\d{0,4})$/.test(text) ? Number(text) : undefined;
}

function numberOf(
  field: Field | undefined,
  max: number,
  code: PacketFault,
  reason: string,
): number | undefined | PacketFaultResult {
  if (field === undefined) return undefined;
  const { value } = field;
  if (typeof value === 'number' && Number.isInteger(value) && value >= 0 && value <= max) return value;
  return fault(code, field.column, reason);
}

function choice<T extends string>(
  field: Field | undefined,
  choices: readonly T[],
  code: PacketFault,
): T | undefined | PacketFaultResult {
  if (field === undefined) return undefined;
  const chosen = choices.find((one) => one === field.value);
  return chosen ?? fault(code, field.column, `write ${choices.map(quote).join(', ')}`);
}

function isFault(value: unknown): value is PacketFaultResult {
  return typeof value === 'object' && value !== null && 'kind' in value && value.kind === 'fault';
}

function fault(code: PacketFault, column: number, reason: string): PacketFaultResult {
  return { kind: 'fault', code, column, reason };
}

const PACKET_TEXT = /^(\s*)(?:([^\s>]+)(\s*>\s*))?([^\s>]+)(?:(\s+)([^\s/]+)(?:\/([^\s/]*))?)?\s*$/;

/** Parses the command-line form; see PACKET_TEXT_HELP. */
export function parsePacketText(text: string, direction: Direction | 'both' = 'egress'): PacketResult {
  const match = PACKET_TEXT.exec(text);
  if (match === null)
    return fault(PacketFault.text, 1, `${quote(text)} is no packet: write [SRC >] DST [PROTO[/PORT]]`);
  const [, indent = '', srcText, arrow = '', dstText = '', gap = '', protoText, detailText] = match;
  const srcColumn = indent.length + 1;
  const dstColumn = srcColumn + (srcText?.length ?? 0) + arrow.length;
  const protoColumn = dstColumn + dstText.length + gap.length;
  const fieldAt = (column: number, value: string): Field => ({ keyColumn: column, column, value });
  const dst = addressOf(fieldAt(dstColumn, dstText));
  if ('kind' in dst) return dst;
  const src = srcText === undefined ? undefined : addressOf(fieldAt(srcColumn, srcText));
  if (src !== undefined && 'kind' in src) return src;
  const detailColumn = protoColumn + (protoText?.length ?? 0) + 1;
  const columns = (key: Key): number => (key === 'src' ? srcColumn : detailColumn);
  if (protoText === undefined) {
    const packet: Packet = {
      direction,
      src,
      dst,
      proto: IpProtocol.tcp,
      port: BARE_ADDRESS_PORT,
      icmpType: undefined,
    };
    return combinationFault(packet, columns) ?? { kind: 'packet', packet, expect: undefined };
  }
  const proto = protoOf(fieldAt(protoColumn, protoText), dst);
  if (isFault(proto)) return proto;
  const isIcmp = proto === IpProtocol.icmp || proto === IpProtocol.icmp6;
  const detail = detailOf(detailText, detailColumn, isIcmp);
  if (isFault(detail)) return detail;
  const [port, icmpType] = isIcmp ? [undefined, detail] : [detail, undefined];
  const packet: Packet = { direction, src, dst, proto, port, icmpType };
  return combinationFault(packet, columns) ?? { kind: 'packet', packet, expect: undefined };
}

/** Text in the form of an IPv4 address, valid or not: it is no policy's name. */
const DIGITS = /^[\d.]+$/;

/** Like `parsePacketText`, but SRC may be the policy that judges it: then the packet has no source. */
export function parseAskedPacket(
  text: string,
  direction: Direction | 'both' = 'egress',
):
  | PacketFaultResult
  | { readonly kind: 'packet'; readonly packet: Packet; readonly policy: string | undefined } {
  const [before = '', src = ''] = /^\s*([^\s>]+)\s*>/.exec(text) ?? [];
  const policy = !DIGITS.test(src) && isPartName(src) ? src : undefined;
  const plain = policy === undefined ? text : ' '.repeat(before.length) + text.slice(before.length);
  const result = parsePacketText(plain, direction);
  return result.kind === 'fault' ? result : { kind: 'packet', packet: result.packet, policy };
}

/** The part after the slash: a port or an ICMP type. */
function detailOf(
  text: string | undefined,
  column: number,
  isIcmp: boolean,
): number | undefined | PacketFaultResult {
  if (text === undefined) return undefined;
  const field: Field = { keyColumn: column, column, value: decimalOf(text) };
  return isIcmp
    ? numberOf(field, 255, PacketFault.icmpType, 'after icmp/ stands a type: a number of 0..255')
    : numberOf(field, 65_535, PacketFault.port, 'after the slash stands a port: a number of 0..65535');
}
