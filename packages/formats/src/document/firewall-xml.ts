/**
 * The rules of a qube as dom0 keeps them: `firewall.xml` in `/var/lib/qubes/appvms/QUBE`, of Qubes 4. One
 * program writes it, in one way, so any other form is refused.
 */

import { type Reject, TextFault } from '../text/reject.ts';

const HEAD = /(?:<\?xml [^<>?]*\?>)?\s*<firewall version="2">\s*/y;
const NO_RULES = /<rules\/>\s*/y;
const RULES = /<rules>\s*/y;
const RULE = /<rule>\s*<properties>\s*/y;
const PROPERTY = /<property name="([a-z0-9]+)">([^<>]*)<\/property>\s*/y;
const RULE_END = /<\/properties>\s*<\/rule>\s*/y;
const RULES_END = /<\/rules>\s*/y;
const END = /<\/firewall>\s*$/y;

const ENTITIES: Readonly<Record<string, string>> = { amp: '&', lt: '<', gt: '>', quot: '"', apos: "'" };
const MAX_BYTES = 16_777_216;

export type FirewallXml =
  | { readonly kind: 'lines'; readonly lines: readonly string[] }
  | { readonly kind: 'reject'; readonly reject: Reject };

/** Whether the bytes look like one. */
export function isFirewallXml(bytes: Uint8Array): boolean {
  return /^\s*(?:<\?xml [^<>?]*\?>)?\s*<firewall[ >]/.test(
    Buffer.from(bytes.subarray(0, 256)).toString('latin1'),
  );
}

/** Its rules as the lines that `qvm-firewall QUBE list --raw` prints, unchecked. */
export function readFirewallXml(bytes: Uint8Array): FirewallXml {
  if (bytes.length > MAX_BYTES)
    return refused('', 0, TextFault.tooLarge, `at most ${MAX_BYTES} bytes are read`);
  let text: string;
  try {
    text = new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch {
    return refused('', 0, TextFault.utf8, 'it is not UTF-8');
  }
  let at = 0;
  const take = (pattern: RegExp): RegExpExecArray | undefined => {
    pattern.lastIndex = at;
    const found = pattern.exec(text) ?? undefined;
    if (found !== undefined) at = pattern.lastIndex;
    return found;
  };
  const lines: string[] = [];
  const isWhole =
    take(HEAD) !== undefined &&
    (take(NO_RULES) !== undefined || (take(RULES) !== undefined && takeRules(take, lines))) &&
    take(END) !== undefined;
  if (isWhole) return { kind: 'lines', lines };
  return refused(
    text,
    at,
    'bad-firewall-xml',
    'this is not as Qubes 4 writes it: use qvm-firewall QUBE list --raw',
  );
}

function takeRules(take: (pattern: RegExp) => RegExpExecArray | undefined, lines: string[]): boolean {
  while (take(RULE) !== undefined) {
    const options: string[] = [];
    for (let found = take(PROPERTY); found !== undefined; found = take(PROPERTY)) {
      const [, name = '', value = ''] = found;
      options.push(`${name}=${unescaped(value)}`);
    }
    if (take(RULE_END) === undefined) return false;
    const isComment = (option: string): boolean => option.startsWith('comment=');
    // A comment may hold anything, so it comes last.
    lines.push([...options.filter((option) => !isComment(option)), ...options.filter(isComment)].join(' '));
  }
  return take(RULES_END) !== undefined;
}

/** An unknown entity stays as it is, for the rule parser to refuse. */
function unescaped(text: string): string {
  return text.replace(/&(?:#(\d{1,7})|([a-z]+));/g, (whole, code?: string, name?: string) => {
    if (code !== undefined) return Number(code) <= 0x10_ff_ff ? String.fromCodePoint(Number(code)) : whole;
    return ENTITIES[name ?? ''] ?? whole;
  });
}

function refused(text: string, at: number, code: string, reason: string): FirewallXml {
  const before = text.slice(0, at).split('\n');
  return {
    kind: 'reject',
    reject: { line: before.length, column: (before.at(-1) ?? '').length + 1, code, reason },
  };
}
