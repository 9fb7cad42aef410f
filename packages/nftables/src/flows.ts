/**
 * Flows that exist already: read from the connection table, and deleted there. Rules judge only packets of the original
 * direction; replies follow their flow, so a flow that a release forbids has to go from the table with it.
 *
 * Which side of a flow is a downstream qube is told by the routes: addresses that are reached through an interface of the
 * downstream link group.
 */

import { CommandError, runCommand } from './command.ts';
import { ERROR_TEXT_MAX_BYTES, FLOW_MARK_UNIT, FLOWS_MAX, NO_FLOW_MARK } from './limits.ts';
import type { Flow, FlowMatch } from './message.ts';

/** Where the programs are. */
export interface FlowPrograms {
  readonly conntrack: string;
  readonly ip: string;
}

const ICMP = 1;
const ICMP6 = 58;
const TCP = 6;
const UDP = 17;

/** All flows from or to downstream qubes, and the marks that any flow has. Rejects with CommandError. */
export async function readFlows(
  programs: FlowPrograms,
  downstreamGroup: number,
): Promise<{ readonly flows: readonly Flow[]; readonly marks: readonly number[] }> {
  const flows: Flow[] = [];
  const marks = new Set<number>();
  for (const family of [4, 6] as const) {
    const output = await run(programs.conntrack, ['-L', '-f', family === 4 ? 'ipv4' : 'ipv6']);
    if (output.length === 0) continue;
    const routes = await readRoutes(programs.ip, family, downstreamGroup);
    for (const line of output.toString('latin1').split('\n')) {
      marks.add(markOf(line));
      const flow = parseFlow(line, routes);
      if (flow !== undefined && (flow.fromQube || flow.toQube) && flows.length < FLOWS_MAX) flows.push(flow);
    }
  }
  return { flows, marks: [...marks].filter((mark) => mark !== NO_FLOW_MARK) };
}

/** Our part of the connection mark of a line. */
export function markOf(line: string): number {
  return Math.floor(Number(/ mark=(\d+)/.exec(line)?.[1] ?? 0) / FLOW_MARK_UNIT);
}

/** Deletes flows. Where there is none any more, that is no error. Rejects with CommandError. */
export async function cutFlows(programs: FlowPrograms, matches: readonly FlowMatch[]): Promise<void> {
  for (const match of matches)
    await run(programs.conntrack, ['-D', ...matchArguments(match)], 'have been deleted');
}

/** What `conntrack -D` finds exactly these flows by. */
export function matchArguments({ src, dst, exact }: FlowMatch): readonly string[] {
  const args = ['-f', src.length === 32 ? 'ipv6' : 'ipv4'];
  if (exact !== undefined) args.push('-p', String(exact.protocol));
  args.push('--orig-src', addressText(src));
  if (dst !== undefined) args.push('--orig-dst', addressText(dst));
  if (exact === undefined) return args;
  const { protocol, srcPort, dstPort } = exact;
  if (protocol === TCP || protocol === UDP) args.push('--sport', String(srcPort), '--dport', String(dstPort));
  else if (protocol === ICMP || protocol === ICMP6) {
    args.push('--icmp-type', String(dstPort >> 8), '--icmp-code', String(dstPort & 255));
    args.push('--icmp-id', String(srcPort));
  }
  return args;
}

/** Runs a program; where it says that there is nothing of the kind, its answer is empty. */
async function run(program: string, args: readonly string[], done?: string): Promise<Buffer> {
  try {
    return (await runCommand(program, args, { errorBytesMax: ERROR_TEXT_MAX_BYTES })).stdout;
  } catch (error) {
    // conntrack exits with 1 where it deleted nothing.
    if (done !== undefined && error instanceof CommandError && error.message.includes(done)) {
      return Buffer.alloc(0);
    }
    throw error;
  }
}

// ── The connection table ─────────────────────────────────────────────────────────────────────────────────────────────

/**
 * Reads one line of `conntrack -L`: name and number of the protocol, timeout, perhaps a state, then the original direction
 * and the reply, each `src= dst=` and what the protocol has. Undefined for anything else.
 */
export function parseFlow(line: string, routes: Routes): Flow | undefined {
  const protocol = Number(/^\S+\s+(\d+)\s/.exec(line)?.[1] ?? Number.NaN);
  const [original, reply] = [
    ...line.matchAll(/\bsrc=(\S+) dst=(\S+)((?: (?:sport|dport|type|code|id)=\d+)*)/g),
  ];
  if (!Number.isInteger(protocol) || original === undefined || reply === undefined) return undefined;
  const src = addressHex(original[1] ?? '');
  const dst = addressHex(original[2] ?? '');
  const seenDst = addressHex(reply[1] ?? '');
  if (src === undefined || dst === undefined || seenDst === undefined) return undefined;
  const there = numbersOf(original[3] ?? '');
  const back = numbersOf(reply[3] ?? '');
  const isIcmp = protocol === ICMP || protocol === ICMP6;
  return {
    protocol,
    src,
    dst,
    srcPort: isIcmp ? (there['id'] ?? 0) : (there['sport'] ?? 0),
    dstPort: isIcmp ? (there['type'] ?? 0) * 256 + (there['code'] ?? 0) : (there['dport'] ?? 0),
    seenDst,
    seenPort: isIcmp ? 0 : (back['sport'] ?? 0),
    fromQube: routes.isDownstream(src),
    toQube: routes.isDownstream(seenDst),
  };
}

function numbersOf(text: string): Readonly<Record<string, number>> {
  return Object.fromEntries([...text.matchAll(/(\w+)=(\d+)/g)].map(([, key, value]) => [key, Number(value)]));
}

// ── Routes ───────────────────────────────────────────────────────────────────────────────────────────────────────────

/** Longest match over the routes of one family. */
export class Routes {
  private readonly byLength = new Map<number, Map<string, boolean>>(); // bits of the prefix -> downstream?
  private lengths: readonly number[] = [];

  add(address: string, length: number, downstream: boolean): void {
    let routes = this.byLength.get(length);
    if (routes === undefined) {
      routes = new Map();
      this.byLength.set(length, routes);
      this.lengths = [...this.byLength.keys()].sort((a, b) => b - a);
    }
    const key = bitsOfHex(address).slice(0, length);
    routes.set(key, downstream || routes.get(key) === true);
  }

  /** Whether an address, in hex, is reached through a downstream interface. */
  isDownstream(address: string): boolean {
    const bits = bitsOfHex(address);
    for (const length of this.lengths) {
      const downstream = this.byLength.get(length)?.get(bits.slice(0, length));
      if (downstream !== undefined) return downstream;
    }
    return false;
  }
}

async function readRoutes(ip: string, family: 4 | 6, downstreamGroup: number): Promise<Routes> {
  const links = JSON.parse(
    (await run(ip, ['-j', 'link', 'show', 'group', String(downstreamGroup)])).toString() || '[]',
  ) as readonly { readonly ifname?: string }[];
  const downstream = new Set(links.map((link) => link.ifname));
  const routes = new Routes();
  const listed = JSON.parse(
    (await run(ip, ['-j', `-${family}`, 'route', 'show', 'table', 'all'])).toString() || '[]',
  ) as readonly { readonly dst?: string; readonly dev?: string; readonly type?: string }[];
  for (const { dst = '', dev, type } of listed) {
    const [address = '', length] = (dst === 'default' ? (family === 4 ? '0.0.0.0/0' : '::/0') : dst).split(
      '/',
    );
    const hex = addressHex(address);
    if (hex === undefined || type === 'multicast' || type === 'broadcast') continue;
    const isLocal = type === 'local' || type === 'anycast'; // an address of the firewall itself
    routes.add(hex, length === undefined ? hex.length * 4 : Number(length), !isLocal && downstream.has(dev));
  }
  return routes;
}

// ── Addresses ────────────────────────────────────────────────────────────────────────────────────────────────────────

function bitsOfHex(hex: string): string {
  let bits = '';
  for (const digit of hex) bits += Number.parseInt(digit, 16).toString(2).padStart(4, '0');
  return bits;
}

/** 8 or 32 hex digits of an address as the kernel's tools print it. */
function addressHex(text: string): string | undefined {
  if (/^\d+\.\d+\.\d+\.\d+$/.test(text)) {
    return text
      .split('.')
      .map((octet) => Number(octet).toString(16).padStart(2, '0'))
      .join('');
  }
  if (!/^[0-9a-f:]*:[0-9a-f:.]*$/.test(text)) return undefined;
  const [head = '', tail] = text.replace(/(\d+)\.(\d+)\.(\d+)\.(\d+)$/, dottedTail).split('::');
  const groups = (part: string): string[] => (part === '' ? [] : part.split(':'));
  const before = groups(head);
  const after = tail === undefined ? [] : groups(tail);
  if (before.length + after.length > 8) return undefined;
  const zeros = new Array<string>(8 - before.length - after.length).fill('0');
  return [...before, ...zeros, ...after].map((group) => group.padStart(4, '0')).join('');
}

function dottedTail(_: string, ...octets: readonly string[]): string {
  const [a = 0, b = 0, c = 0, d = 0] = octets.slice(0, 4).map(Number);
  return `${(a * 256 + b).toString(16)}:${(c * 256 + d).toString(16)}`;
}

function addressText(hex: string): string {
  if (hex.length === 8) return (hex.match(/../g) ?? []).map((pair) => Number.parseInt(pair, 16)).join('.');
  return (hex.match(/..../g) ?? []).join(':');
}
