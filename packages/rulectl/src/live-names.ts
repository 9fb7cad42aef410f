/**
 * `rulectl __complete KIND LINE`: the names that a shell completes, one a line, from the publisher that the
 * command line is about. Quick and silent: if anything fails or takes too long, nothing is completed.
 */

import { defaultEndpoints, Output } from '@rulecast/program';
import type { ControlRecord } from '@rulecast/protocol';
import { isPartName } from '@rulecast/rules';
import { ask, type ControlArgs, controlOf } from './control/client.ts';

/** From the start of the process: a user feels a quarter of a second, and the shell needs a part of it. */
const DEADLINE_MS = 180;
/** What a publisher has at least, however long a busy machine took to start this process. */
const ANSWER_MS = 80;
/** The newest versions; rulectl history lists all. */
const VERSIONS_MAX = 20;

type Environment = Parameters<typeof defaultEndpoints>[0];

/** Prints the names, and resolves with the exit code: at the deadline at the latest. */
export async function complete(words: readonly string[], environment: Environment): Promise<0> {
  const late = new Promise<readonly string[]>((resolve) => {
    setTimeout(resolve, Math.max(ANSWER_MS, DEADLINE_MS - performance.now()), []);
  });
  const names = await Promise.race([namesFor(words, environment).catch(() => []), late]);
  const out = new Output(1);
  for (const name of names) out.line(name);
  out.flush();
  return 0;
}

async function namesFor(
  [kind = '', ...line]: readonly string[],
  environment: Environment,
): Promise<readonly string[]> {
  const names: string[] = [];
  const ending = await ask({
    ...controlOf(placeIn(line, environment)),
    timeoutMs: DEADLINE_MS,
    send: (connection) =>
      connection.send(
        kind === 'version' ? { kind: 'history', most: VERSIONS_MAX } : { kind: 'status', watch: false },
      ),
    onRecord: (record) => names.push(...namesOf(kind, record)),
  });
  return ending.kind === 'done' ? names : [];
}

/** Names and numbers alone: a shell puts them into a command line, and the publisher may be hostile. */
function namesOf(kind: string, record: ControlRecord): readonly string[] {
  if (record.record === 'history') return [`${record.version}`];
  if (record.record === 'subscriber') return kind === 'subscriber' ? [record.name] : [];
  if (record.record !== 'part' || record.kind !== kind.replace('@', '') || !isPartName(record.name))
    return [];
  return [kind.startsWith('@') ? `@${record.name}` : record.name];
}

/** The publisher that the options of a command line name. */
function placeIn(line: readonly string[], environment: Environment): ControlArgs {
  const given = (option: string): string | undefined => {
    const at = line.findIndex((word) => word === option || word.startsWith(`${option}=`));
    return at < 0 ? undefined : line[at] === option ? line[at + 1] : line[at]?.slice(option.length + 1);
  };
  return {
    control: given('--control') ?? defaultEndpoints(environment).control,
    'curve-key': given('--curve-key'),
    'curve-peer': given('--curve-peer'),
  };
}
