/** What `--json` prints: a record a line, each with a `kind`. docs/reference/json.md has them all. */

import { Output } from '@rulecast/program';
import type { ControlRecord } from '@rulecast/protocol';

export interface JsonRecord {
  readonly kind: string;
  readonly [field: string]: unknown;
}

/** Standard output of `--json`: text for people, or for other programs, is in records, too. */
export class RecordOutput extends Output {
  /** A piece of text. */
  override write(text: string): void {
    this.record({ kind: 'text', text });
  }

  /** Throws like `write`. */
  record(record: JsonRecord): void {
    super.write(`${JSON.stringify(record)}\n`);
  }
}

/** A record of the publisher, as programs get it: its `record` is `kind`, and its own `kind` is `type`. */
export function recordOf(record: ControlRecord): JsonRecord {
  if (record.record === 'end') return { kind: 'end-of-snapshot' };
  if ('kind' in record) {
    const { record: kind, kind: type, ...fields } = record;
    return Object.assign({ kind }, { type, ...fields });
  }
  const { record: kind, ...fields } = record;
  return { kind, ...fields };
}
