/** The configuration file of the daemon: read, checked, or refused with what is wrong. */

import { readFile } from 'node:fs/promises';
import { type DocumentReject, type PublisherConfig, parseConfig } from '@rulecast/formats';

export interface ConfigRefused {
  readonly kind: 'refused';
  /** The first of them. */
  readonly rejects: readonly DocumentReject[];
  readonly rejectCount: number;
}

/** Reads a configuration file. A file that cannot be read is one fault of it. */
export async function readConfigFile(
  file: string,
): Promise<{ readonly kind: 'config'; readonly config: PublisherConfig } | ConfigRefused> {
  let bytes: Uint8Array;
  try {
    bytes = await readFile(file);
  } catch (error) {
    const reason = `it cannot be read: ${error instanceof Error ? error.message : String(error)}`;
    const reject = { file, line: 1, column: 1, code: 'unreadable-file', reason };
    return { kind: 'refused', rejects: [reject], rejectCount: 1 };
  }
  const { config, rejects, rejectCount } = parseConfig(file, bytes);
  if (config !== undefined) return { kind: 'config', config };
  return { kind: 'refused', rejects, rejectCount };
}
