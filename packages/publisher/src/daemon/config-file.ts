/** The configuration file of the daemon: read, and checked, or refused with its faults. */

import { type DocumentReject, FORMAT_LIMITS, type PublisherConfig, parseConfig } from '@rulecast/formats';
import { readSmallFile } from '@rulecast/program';

export interface ConfigRefused {
  readonly kind: 'refused';
  /** The first rejects. */
  readonly rejects: readonly DocumentReject[];
  readonly rejectCount: number;
}

/** Reads a configuration file. A file that cannot be read is one fault of it. */
export function readConfigFile(
  file: string,
): { readonly kind: 'config'; readonly config: PublisherConfig } | ConfigRefused {
  let bytes: Uint8Array;
  try {
    bytes = readSmallFile(file, FORMAT_LIMITS.documentBytes);
  } catch (error) {
    const reason = `it cannot be read: ${error instanceof Error ? error.message : String(error)}`;
    const reject = { file, line: 1, column: 1, code: 'unreadable-file', reason };
    return { kind: 'refused', rejects: [reject], rejectCount: 1 };
  }
  const { config, rejects, rejectCount } = parseConfig(file, bytes);
  if (config !== undefined) return { kind: 'config', config };
  return { kind: 'refused', rejects, rejectCount };
}

/** The first fault, with its place, which names its file unless that is `file`. */
export function firstFault({ rejects, rejectCount }: Omit<ConfigRefused, 'kind'>, file: string): string {
  const [first] = rejects;
  if (first === undefined) return 'it cannot be read';
  const more = rejectCount > 1 ? ` (and ${rejectCount - 1} more)` : '';
  const of = first.file === file ? '' : `${first.file}, `;
  return `${of}line ${first.line}, column ${first.column}: ${first.reason}${more}`;
}
