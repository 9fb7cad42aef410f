/**
 * Names: DNS host names in normal form (lower-case ASCII labels, no trailing dot), and the names that people give
 * to lists and policies.
 */

/** Longest host name in normal form, in octets (RFC 1035 §2.3.4: 255 on the wire, 253 as text). */
export const HOST_NAME_MAX_BYTES = 253;
/** Longest label (RFC 1035 §2.3.4). */
const LABEL_MAX_BYTES = 63;
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

const LABEL = /^[a-z0-9_](?:[a-z0-9_-]*[a-z0-9_])?$/;
const PART_NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$/;

/**
 * Normal form of a host name: lower case, without the trailing dot. Labels hold letters, digits, `-` (not at an
 * end) and `_` (service names are resolved too). A last label of digits only is no name: `1.2.3` would be guessed
 * to be an address by some resolvers (RFC 1123 §2.1). Names beyond ASCII are refused: write the A-label.
 */
export function parseHostName(text: string): NameResult {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: the whole ASCII range is what is meant
  if (/[^\x00-\x7f]/.test(text)) return { kind: 'fault', fault: NameFault.ascii };
  const name = (text.endsWith('.') ? text.slice(0, -1) : text).toLowerCase();
  if (name === '') return { kind: 'fault', fault: NameFault.empty };
  if (name.length > HOST_NAME_MAX_BYTES) return { kind: 'fault', fault: NameFault.long };
  const labels = name.split('.');
  for (const label of labels) {
    if (label.length > LABEL_MAX_BYTES || !LABEL.test(label))
      return { kind: 'fault', fault: NameFault.label };
  }
  if (/^[0-9]+$/.test(labels.at(-1) ?? '')) return { kind: 'fault', fault: NameFault.numeric };
  return { kind: 'name', name };
}

/** Whether a text can name a list or a policy: 1 to 63 of `A-Z a-z 0-9 . _ -`, the first a letter or digit. */
export function isPartName(text: string): boolean {
  return PART_NAME.test(text);
}
