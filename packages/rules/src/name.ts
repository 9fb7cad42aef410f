/**
 * Names: DNS host names in normal form (lower-case ASCII labels, no trailing dot), and the names that people
 * give to lists and policies.
 */

/** Longest host name in normal form, in octets (RFC 1035 §2.3.4: 255 on the wire, 253 as text). */
export const HOST_NAME_MAX_BYTES = 253;
/** Longest label (RFC 1035 §2.3.4). */
export const LABEL_MAX_BYTES = 63;
/** Longest name of a list or policy, in bytes; a Qubes VM name has at most 31. */
export const PART_NAME_MAX_BYTES = 63;

/** Why a text is no host name. */
export const NameFault = {
  empty: 'empty-name',
  ascii: 'name-not-ascii',
  numeric: 'name-is-numeric',
  long: 'name-too-long',
  label: 'bad-label',
} as const;
export type NameFault = (typeof NameFault)[keyof typeof NameFault];

/** A host name that parsed, or why it did not. */
export type NameResult =
  | { readonly kind: 'name'; readonly name: string }
  | { readonly kind: 'fault'; readonly fault: NameFault };

const DOT = 0x2e;
const DASH = 0x2d;
const UNDERSCORE = 0x5f;
/** The name that rules use for all addresses that the firewall's own DNS gave a qube; no list may take it. */
export const RESOLVED_LIST = 'resolved';
const NUMBER = /^(?:[0-9]+|0x[0-9a-f]*)$/;
const PART_NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$/;

/**
 * Normal form of a host name: lower case, without the trailing dot. Labels hold letters, digits, `-` (not at
 * an end) and `_` (service names are resolved too). A last label that is a number, decimal or 0x, is no name:
 * some resolvers guess an address from it (RFC 1123 §2.1). Names beyond ASCII are refused: write the A-label.
 */
export function parseHostName(text: string): NameResult {
  const end = text.endsWith('.') ? text.length - 1 : text.length;
  let upper = false;
  let labelStart = 0;
  let fault: NameFault | undefined;
  for (let i = 0; i <= end; i++) {
    const code = i < end ? text.charCodeAt(i) : DOT;
    if (code > 0x7f) return { kind: 'fault', fault: NameFault.ascii };
    if (code === DOT) {
      if (!isLabel(text, labelStart, i)) fault = NameFault.label;
      labelStart = i + 1;
    } else if (code >= 0x41 && code <= 0x5a) upper = true;
    else if (!isLabelByte(code)) fault = NameFault.label;
  }
  if (end === 0) return { kind: 'fault', fault: NameFault.empty };
  if (end > HOST_NAME_MAX_BYTES) return { kind: 'fault', fault: NameFault.long };
  if (fault !== undefined) return { kind: 'fault', fault };
  const plain = end < text.length ? text.slice(0, end) : text;
  const name = upper ? plain.toLowerCase() : plain;
  if (endsInNumber(name)) return { kind: 'fault', fault: NameFault.numeric };
  return { kind: 'name', name };
}

/**
 * Whether `text[start, end)`, whose characters are those of labels, has the length of a label and no dash at
 * an end.
 */
function isLabel(text: string, start: number, end: number): boolean {
  const count = end - start;
  return (
    count >= 1 &&
    count <= LABEL_MAX_BYTES &&
    text.charCodeAt(start) !== DASH &&
    text.charCodeAt(end - 1) !== DASH
  );
}

/** Lower-case letters, digits, `-` and `_`. */
export function isLabelByte(code: number): boolean {
  return (
    (code >= 0x61 && code <= 0x7a) || (code >= 0x30 && code <= 0x39) || code === DASH || code === UNDERSCORE
  );
}

/**
 * Whether the last label of a name in normal form is a number, as in the URL standard's "ends in a number".
 */
function endsInNumber(name: string): boolean {
  const start = name.lastIndexOf('.') + 1;
  const first = name.charCodeAt(start);
  if (first < 0x30 || first > 0x39) return false;
  return NUMBER.test(name.slice(start));
}

/**
 * The canonical order of DNS (RFC 4034 §6.1) of two names in normal form: label by label from the last, and a
 * name before those below it.
 */
export function compareHostNames(a: string, b: string): number {
  let endA = a.length;
  let endB = b.length;
  for (;;) {
    const startA = a.lastIndexOf('.', endA - 1) + 1;
    const startB = b.lastIndexOf('.', endB - 1) + 1;
    const labelA = a.slice(startA, endA);
    const labelB = b.slice(startB, endB);
    if (labelA !== labelB) return labelA < labelB ? -1 : 1;
    if (startA === 0 || startB === 0) return startA - startB;
    endA = startA - 1;
    endB = startB - 1;
  }
}

/**
 * Whether a text is an entry for names below another: `*.NAME`, or `.NAME` with NAME itself. MEANING.md
 * "Forms to come".
 */
export function isWildcard(text: string): boolean {
  const below = text.startsWith('*.') ? 2 : text.startsWith('.') ? 1 : 0;
  return below > 0 && parseHostName(text.slice(below)).kind === 'name';
}

/**
 * Whether a text can name a list or a policy: 1 to 63 of `A-Z a-z 0-9 . _ -`, the first a letter or digit.
 */
export function isPartName(text: string): boolean {
  return PART_NAME.test(text);
}
