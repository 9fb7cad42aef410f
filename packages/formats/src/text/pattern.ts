/**
 * Patterns that users write for files of their own: RE2's syntax, whose matching time is linear in the text,
 * whatever a feed sends.
 */

import { RE2JS, RE2JSException } from 're2js';
import type { Finder } from './within.ts';

/** Our choice: longer ones are programs. */
const PATTERN_MAX_CHARS = 1000;

/**
 * The finder of a pattern: its first matching group, or the whole match; or why there is none. The library is
 * loaded only if a list has a pattern.
 */
export function finderOf(pattern: string): Finder | string {
  if (pattern.length > PATTERN_MAX_CHARS) return `a pattern has at most ${PATTERN_MAX_CHARS} characters`;
  try {
    const compiled = RE2JS.compile(pattern);
    const matcher = compiled.matcher('');
    const groups = Array.from({ length: compiled.groupCount() }, (_, i) => i + 1);
    return (text) => {
      const found: [number, number][] = [];
      matcher.resetMatcherInput(text);
      while (matcher.find()) {
        const group = groups.find((one) => matcher.start(one) >= 0) ?? 0;
        if (matcher.start(group) < matcher.end(group)) found.push([matcher.start(group), matcher.end(group)]);
      }
      return found;
    };
  } catch (error) {
    if (error instanceof RE2JSException) return error.message;
    throw error;
  }
}
