/**
 * Paths of RFC 9535 that people write for JSON of their own. Who starts without them does not load the
 * library.
 */

import { exec, type JsonValue } from 'jsonpath-rfc9535';
import parse from 'jsonpath-rfc9535/parser';
import type { JsonQuery } from '../collect/options.ts';

/** What a path finds; undefined if a text is none. */
export function jsonQueryOf(path: string): JsonQuery | undefined {
  try {
    parse(path);
  } catch {
    return undefined;
  }
  return (json, visit) => exec(json as JsonValue, path, (_, way) => visit(way)); // what JSON.parse gave
}
