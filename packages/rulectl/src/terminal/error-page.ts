/** The page of an error code: `../../errors.json` says what each means, why it comes, and what to do. */

import errors from '../../errors.json' with { type: 'json' };

interface ErrorEntry {
  readonly means: string;
  /** Without these, what the group says. */
  readonly cause?: string;
  readonly cure?: string;
}

export interface ErrorGroup {
  readonly title: string;
  readonly cause: string;
  readonly cure: string;
  readonly codes: Readonly<Record<string, ErrorEntry>>;
}

export const ERROR_GROUPS: readonly ErrorGroup[] = errors.groups as unknown as readonly ErrorGroup[];

/** Undefined for a word that is no code. */
export function errorPage(code: string): string | undefined {
  for (const { codes, cause, cure } of ERROR_GROUPS) {
    const entry = Object.hasOwn(codes, code) ? codes[code] : undefined;
    if (entry === undefined) continue;
    return `${code}: ${entry.means}\n\nWhy:  ${entry.cause ?? cause}\nCure: ${entry.cure ?? cure}`;
  }
  return undefined;
}
