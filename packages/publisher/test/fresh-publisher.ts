/** Publishers and directories that last for one test, and pushes written as text. */

import { renameSync, utimesSync, writeFileSync } from 'node:fs';
import type { PushInput } from '@rulecast/formats';
import type { MessageOf } from '@rulecast/protocol';
import { EMPTY_PREFIX_SET, type PrefixSet } from '@rulecast/rules';
import { type Clock, SYSTEM_CLOCK } from '@rulecast/sources';
import { pino } from 'pino';
import { onTestFinished } from 'vitest';
import { temporaryDirectory } from '../../../test/kit/directory.ts';
import { ALL_PERMITS } from '../../../test/kit/permits.ts';
import { trusting } from '../../../test/kit/roots.mjs';
import { prefixSetFrom } from '../../../test/kit/rules.ts';
import type { SourceLists } from '../src/control/parts.ts';
import type { ResolveName } from '../src/names/resolve.ts';
import { Publisher, type PublisherOptions } from '../src/release/publisher.ts';
import type { PushOptions } from '../src/release/request.ts';
import { degradedOf } from '../src/requests/status.ts';
import type { Release } from '../src/store/store.ts';

export const SILENT = pino({ level: 'silent' });

/** Every name stands for nothing. */
export const RESOLVE_NOTHING: ResolveName = () => Promise.resolve(EMPTY_PREFIX_SET);

/**
 * Puts a whole file in place at once, as one that came from elsewhere: a list is read without waiting whether
 * more is written.
 */
export function place(path: string, text: string): void {
  writeFileSync(`${path}.new`, text);
  utimesSync(`${path}.new`, 1, 1);
  renameSync(`${path}.new`, path);
}

let latest: Publisher | undefined;

/** A publisher with a store of its own; closed after the test, unless the test has closed it. */
export function freshPublisher(options: Partial<PublisherOptions> = {}): Publisher {
  const publisher = new Publisher({
    stateDirectory: options.stateDirectory ?? temporaryDirectory(),
    name: 'mgmt',
    resolve: RESOLVE_NOTHING,
    logger: SILENT,
    ...options,
  });
  onTestFinished(() => publisher.close());
  latest = publisher;
  return publisher;
}

/** What HELLO says of whom it trusts: the publisher made last, and the newest of its roots. */
export function trusted(): Pick<MessageOf<'hello'>, 'lineage' | 'root'> {
  if (latest === undefined) throw new Error('there is no publisher to trust');
  return trusting(latest.identity);
}

/** What the status says does not work as it should. */
export function degraded(publisher: Publisher, sources?: SourceLists): readonly string[] {
  return degradedOf({ publisher, sources });
}

/**
 * The clock of a publisher that started a minute ago, which is what it first asks for: subscribers are not on
 * their way any more.
 */
export function startedLongAgo(): Clock {
  let asked = 0;
  return { ...SYSTEM_CLOCK, monotonicMs: () => performance.now() - (asked++ === 0 ? 60_000 : 0) };
}

/** A push of files given as name and text. */
export function pushOf(files: Readonly<Record<string, string>>, input: Partial<PushInput> = {}): PushInput {
  return {
    action: 'replace',
    list: undefined,
    policy: undefined,
    replaceAll: false,
    files: Object.entries(files).map(([name, text]) => ({ name, role: 'pushed', bytes: bytesOf(text) })),
    ...input,
  };
}

/** Pushes and expects a release, with every permit. */
export async function release(
  publisher: Publisher,
  files: Readonly<Record<string, string>>,
  input: Partial<PushInput> = {},
  options: PushOptions = {},
): Promise<Release> {
  const outcome = await publisher.push(pushOf(files, input), { permits: ALL_PERMITS, ...options });
  if (outcome.kind !== 'released' || outcome.head === undefined) {
    throw new Error(`a release was due: ${JSON.stringify(outcome).slice(0, 1000)}`);
  }
  return outcome.head;
}

export function bytesOf(text: string): Uint8Array {
  return new TextEncoder().encode(text);
}

export function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('hex');
}

/** A set of prefixes written as text. */
export function prefixes(...texts: readonly string[]): PrefixSet {
  return prefixSetFrom(texts);
}
