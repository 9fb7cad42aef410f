/**
 * Questions before a release: a dry run first shows the changes. The answer comes from the process's
 * terminal, as standard input may be the pushed file; without a terminal, and without --yes, it is no.
 */

import { type ControlRecord, type ControlRecordOf, ErrorCode } from '@rulecast/protocol';
import type { Ending } from '../control/client.ts';
import { renderChanges } from '../render/changes.ts';
import { CliError, ExitCode } from '../terminal/exit.ts';
import type { Terminal } from '../terminal/terminal.ts';
import type { Report } from './report.ts';

/** The result of a dry run. */
export interface Rehearsal {
  /** The version it is based on. */
  readonly headVersion: number;
  /** It would make a release, perhaps without changes. */
  readonly isNew: boolean;
  readonly changes: readonly ControlRecordOf<'change'>[];
}

/** Looks at what a request would do. Throws CliError where it would do nothing but fail. */
export async function rehearse(
  ask: (onRecord: (record: ControlRecord) => void) => Promise<Ending>,
  report: Report,
): Promise<Rehearsal> {
  const changes: ControlRecordOf<'change'>[] = [];
  let release: ControlRecordOf<'release'> | undefined;
  const ending = await ask((record) => {
    if (record.record === 'reject' || record.record === 'refusal') report.record(record);
    if (record.record === 'change') changes.push(record);
    if (record.record === 'release') release = record;
    if (record.record === 'warning' && record.code === ErrorCode.publisherBehind) report.record(record);
  });
  if (ending.kind === 'fail') report.end(ending);
  if (release !== undefined) return { headVersion: release.version, isNew: release.changed, changes };
  const text = 'the publisher did not say what the head is';
  throw new CliError(ExitCode.unreachable, 'no-release-record', text);
}

/** Shows changes, and asks. Throws CliError `declined` if the answer is no. */
export async function confirmed(
  question: string,
  changes: readonly ControlRecordOf<'change'>[],
  terminal: Terminal,
): Promise<void> {
  if (!terminal.isJson && changes.length > 0) terminal.out.line(renderChanges(changes, terminal.colors));
  switch (await terminal.confirm(question)) {
    case 'yes':
      return;
    case 'no':
      throw declined('nothing was released: you said no');
    case 'nobody':
      throw declined(
        'nothing was released, and nobody can be asked here: look with --dry-run, then add --yes',
      );
  }
}

function declined(text: string): CliError {
  return new CliError(ExitCode.refused, 'declined', text);
}
