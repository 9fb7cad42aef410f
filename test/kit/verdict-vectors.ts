/**
 * The vectors of MEANING.md "Meaning" as values: written by hand, or by an evaluator that was written from
 * the document, never by ours.
 */

import { readFileSync } from 'node:fs';
import { parseDocument } from '@rulecast/formats';
import {
  type Address,
  type Environment,
  formatPrefix,
  IpProtocol,
  type Packet,
  parseAddress,
  type RuleSet,
  type Verdict,
} from '@rulecast/rules';
import { prefixSetFrom } from './rules.ts';

export interface VerdictCase {
  readonly title: string;
  readonly ruleSet: RuleSet;
  readonly environment: Environment;
  /** Whether the verdicts are of a firewall that follows flows. */
  readonly isOfFlows: boolean;
  readonly packets: readonly { readonly text: string; readonly packet: Packet; readonly verdict: string }[];
}

interface WrittenCase {
  readonly title: string;
  readonly document: Readonly<Record<string, unknown>> & {
    readonly resolutions?: Readonly<Record<string, readonly string[]>>;
  };
  readonly environment?: {
    readonly earlier?: number;
    readonly later?: number;
    readonly dns?: readonly string[];
  };
  readonly flow?: boolean;
  readonly verdicts: Readonly<Record<string, string>>;
}

export const VERDICT_FILES = ['verdicts.json', 'verdicts-random.json'] as const;

/** Where a file of vectors is. */
function vectorUrl(file: (typeof VERDICT_FILES)[number]): URL {
  return new URL(`../../protocol/vectors/${file}`, import.meta.url);
}

/** The cases of a file of vectors. Throws TypeError for one that cannot be read. */
export function verdictCases(file: (typeof VERDICT_FILES)[number]): readonly VerdictCase[] {
  const { cases }: { readonly cases: readonly WrittenCase[] } = JSON.parse(
    readFileSync(vectorUrl(file), 'utf8'),
  );
  return cases.map(({ title, document, environment = {}, flow = false, verdicts }) => {
    const { earlier = 0, later = earlier, dns = [] } = environment;
    return {
      title,
      ruleSet: ruleSetOf(title, document),
      environment: { now: later, earliest: earlier, dns: dns.map(addressOf) },
      isOfFlows: flow,
      packets: Object.entries(verdicts).map(([text, verdict]) => ({
        text,
        packet: packetOf(text),
        verdict,
      })),
    };
  });
}

function ruleSetOf(title: string, { resolutions = {}, ...said }: WrittenCase['document']): RuleSet {
  const bytes = new TextEncoder().encode(JSON.stringify(said));
  const { lists, policies, unmatched, rejects } = parseDocument(title, bytes, 0, () => undefined);
  const [reject] = rejects;
  if (reject !== undefined) throw new TypeError(`${title}: ${reject.reason}`);
  const resolved = Object.entries(resolutions).map(([name, texts]) => [name, prefixSetFrom(texts)] as const);
  return { lists, policies, unmatched, resolutions: new Map(resolved) };
}

function addressOf(text: string): Address {
  const address = parseAddress(text);
  if (address === undefined) throw new TypeError(`no address: ${text}`);
  return address;
}

/** `DIRECTION SOURCE DESTINATION PROTOCOL DETAIL`. */
function packetOf(text: string): Packet {
  const [direction, src = '', dst = '', number = '', detail = ''] = text.split(' ');
  if (direction !== 'egress' && direction !== 'ingress' && direction !== 'both')
    throw new TypeError(`no packet: ${text}`);
  const proto = Number(number);
  const known = detail === '-' ? undefined : Number(detail);
  const hasPort = proto === IpProtocol.tcp || proto === IpProtocol.udp;
  const hasType = proto === IpProtocol.icmp || proto === IpProtocol.icmp6;
  return {
    direction,
    src: src === '-' ? undefined : addressOf(src),
    dst: addressOf(dst),
    proto,
    port: hasPort ? known : undefined,
    icmpType: hasType ? known : undefined,
  };
}

/** A verdict as the vectors say it. */
export function verdictText({ action, by }: Verdict): string {
  if (by === undefined) return action;
  const { direction, policy = '-', rule } = by;
  const judged = `${action} ${direction} ${policy}`;
  if (rule === undefined) return judged;
  const { block, index, run, list, prefix } = rule;
  const listed = list === undefined ? '' : ` list ${list}`;
  const held = prefix === undefined ? '' : ` in ${formatPrefix(prefix)}`;
  return `${judged} ${block} ${index} run ${run}${listed}${held}`;
}
