/**
 * Paths of RFC 9535, which users write for JSON of their own. The library is loaded only if a list has one.
 */

import { exec, type JsonValue } from 'jsonpath-rfc9535';
import parse from 'jsonpath-rfc9535/parser';
import type { JsonQuery } from '../collect/options.ts';

/** The finder of a path; undefined if the text is not a path. */
export function jsonQueryOf(path: string): JsonQuery | undefined {
  try {
    parse(path);
  } catch {
    return undefined;
  }
  return (json, visit) => exec(json as JsonValue, path, (_, way) => visit(way)); // the output of JSON.parse
}
