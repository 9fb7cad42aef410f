/**
 * Rules of Suricata and Snort that name groups of addresses, as Emerging Threats publishes them:
 *
 *     alert ip [192.0.2.0/24,198.51.100.7] any -> $HOME_NET any (msg:"…"; sid:1;)
 *
 * A rule is used if one of its sides is addresses, and it holds for all ports and whatever is sent. Those
 * about anything else are skipped, as are those that let pass, and groups of all but some addresses.
 */

import type { Collector } from '../collect/collector.ts';
import { HASH } from '../text/ascii.ts';
import { latin1, quote, quoteBytes } from '../text/bytes.ts';
import { eachLine } from '../text/lines.ts';
import { addressWithin } from '../text/within.ts';

const GROUP = String.raw`(!?\[[^\]]*\]|\S+)`;
/** Action, protocol, sender and port, recipient and port, options, each with its place. */
const RULE = new RegExp(
  String.raw`^(\w+)\s+([\w-]+)\s+${GROUP}\s+${GROUP}\s+(?:->|<>)\s+${GROUP}\s+${GROUP}\s*(\(.*\))$`,
  'd',
);
/** Not an address: any, or a variable. */
const NO_ADDRESS = /^(?:any|!?\$\w+)$/;
/** Protocols of packets, not of their content. */
const PROTOCOL = /^(?:ip|tcp|udp|pkthdr)$/;
/** Options that do not test a packet's content, only whether it begins a connection, and its direction. */
const OPTION =
  /^(?:(?:msg|reference|threshold|detection_filter|classtype|priority|sid|gid|rev|metadata|target|tag|flow|flags|noalert)\s*(?::|$)|(?:flow|x)bits\s*:\s*(?:set|unset|toggle)\b|$)/;

export function importSuricata(collector: Collector, start: number): void {
  const { bytes } = collector;
  eachLine(collector, start, (from, end) => {
    const rule = RULE.exec(latin1(bytes, from, end));
    if (bytes[from] === HASH) collector.skip('comment');
    else if (rule === null) {
      const reason = `${quoteBytes(bytes, from, end)} is no rule of Suricata: alert ip [192.0.2.0/24] any -> $HOME_NET any (…)`;
      collector.reject(from, 'bad-suricata-rule', reason);
    } else {
      importRule(collector, from, rule);
      const [options = end] = rule.indices?.[7] ?? [];
      if (addressWithin(bytes, from + options, end) !== undefined) collector.skip('other-column');
    }
  });
}

function importRule(collector: Collector, from: number, rule: RegExpExecArray): void {
  const [, action = '', protocol = '', sender = '', senderPort, recipient = '', recipientPort, options = ''] =
    rule;
  const sides = ([3, 5] as const).filter((side) => !NO_ADDRESS.test(rule[side] ?? ''));
  const [side] = sides;
  if (side === undefined) collector.skip('directive');
  else if (sides.length > 1)
    collector.reject(from, 'two-groups', `${quote(sender)} and ${quote(recipient)} both name addresses`);
  else if (action === 'pass' || rule[side]?.startsWith('!') === true) collector.skip('exception');
  else if (
    senderPort !== 'any' ||
    recipientPort !== 'any' ||
    !PROTOCOL.test(protocol) ||
    isOfContent(options)
  )
    collector.skip('partial');
  else importGroup(collector, from + (rule.indices?.[side]?.[0] ?? 0), rule[side] ?? '');
}

/** Whether a rule asks for more than addresses. */
function isOfContent(options: string): boolean {
  const asked = options
    .slice(1, -1)
    .replaceAll(/"(?:[^"\\]|\\.)*"?/g, '')
    .split(';');
  return !asked.every((each) => OPTION.test(each.trim()));
}

/** Uses the addresses of a group, or none of one that is more than addresses. */
function importGroup(collector: Collector, from: number, group: string): void {
  const other = /[!$[\]]/.exec(group.replace(/^\[(.*)\]$/, ' $1 '));
  if (other !== null) {
    const reason = 'a group with exceptions, variables or groups in it: a list holds addresses alone';
    collector.reject(from + other.index, 'bad-suricata-rule', reason);
    return;
  }
  for (const { 0: element, index } of group.matchAll(/[^[\], \t]+/g))
    collector.address(collector.bytes, from + index, from + index + element.length);
}
