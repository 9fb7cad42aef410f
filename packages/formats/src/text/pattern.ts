/**
 * Patterns that people write for files of their own: RE2's syntax, matched in a time that grows with the text
 * alone, whatever a feed sends.
 */

import { RE2JS, RE2JSException } from 're2js';
import type { Finder } from './within.ts';

/** Our choice: longer ones are programs. */
const PATTERN_MAX_CHARS = 1000;

/**
 * What finds a pattern, its first group that took part or all of it; or why there is none. Who starts
 * without patterns does not load the library.
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
