/**
 * ADOPT: a publisher that lost its store takes the newest release back from a subscriber. Whose it is is
 * decided here; what it is worth, by what was signed. PROTOCOL.md "ADOPT".
 */

import {
  boundText,
  compareRelease,
  ErrorCode,
  FORK_HASH_CHARS,
  hexOf,
  type MessageOf,
  ProtocolError,
} from '@rulecast/protocol';
import type { ControlExchange } from '../control/exchange.ts';
import type { ControlParts } from '../control/parts.ts';
import { tellRelease } from '../control/release-report.ts';
import { type Adoptable, checkAdoptable } from '../release/adopted.ts';
import type { Publisher } from '../release/publisher.ts';
import type { HeldRelease } from '../subscribers/entry.ts';

/** A subscriber tries again every 15 s at least. */
const RETURN_MS = 16_000;
/** So often is looked who is back. */
const LOOK_MS = 500;

/** Who is told. */
type Exchange = Pick<ControlExchange, 'record' | 'done'>;

interface Holder {
  readonly name: string;
  readonly held: HeldRelease;
}

/** Answers an ADOPT. Throws what is to be told by FAIL. */
export async function answerAdopt(
  { subscriber, dryRun }: MessageOf<'adopt'>,
  exchange: Exchange,
  { publisher, adoption, caller: { by } }: Pick<ControlParts, 'publisher' | 'adoption' | 'caller'>,
): Promise<void> {
  publisher.checkAdopts();
  await adoption.alone(async () => {
    await untilBack(publisher, subscriber, exchange);
    const from = subscriber === undefined ? newestOf(publisher) : [subscriber];
    for (const { name, held } of publisher.subscribers.holding()) {
      if (from.includes(name)) continue;
      const reason = boundText(`it has ${shown(held)}, and is not asked`);
      await exchange.record({ record: 'warning', code: 'not-asked', part: `subscriber ${name}`, reason });
    }
    const taken = await takenFrom(from, exchange, { publisher, adoption });
    const outcome = await publisher.adopt(taken.adoptable, { by, subscriber: taken.name, dryRun });
    await tellRelease(outcome, exchange);
    await exchange.done(outcome.kind, doneText(publisher, taken, dryRun));
  });
}

/** After a start those who were connected before are on their way, and one of them may have the newest. */
async function untilBack(
  publisher: Publisher,
  name: string | undefined,
  exchange: Pick<Exchange, 'record'>,
): Promise<void> {
  const { clock, subscribers } = publisher;
  const due = name === undefined ? [...subscribers.expected()] : [name];
  const isBack = (): boolean => {
    const connected = new Set(subscribers.connected());
    return due.length > 0 && due.every((one) => connected.has(one));
  };
  while (publisher.uptimeMs < RETURN_MS && !isBack()) {
    const done = Math.floor(publisher.uptimeMs);
    await exchange.record({ record: 'progress', stage: 'waiting', done, total: RETURN_MS });
    await new Promise<void>((resolve) => clock.after(LOOK_MS, resolve));
  }
}

/** Of several that have the same release the first that gives it. */
async function takenFrom(
  names: readonly string[],
  exchange: Pick<Exchange, 'record'>,
  { publisher, adoption }: Pick<ControlParts, 'publisher' | 'adoption'>,
): Promise<{ readonly name: string; readonly adoptable: Adoptable }> {
  let last: unknown;
  for (const [i, name] of names.entries()) {
    try {
      const adoptable = await adoption.take({
        subscriber: name,
        check: (signed) => checkAdoptable(publisher.identity, signed),
        onProgress: (done, total) => exchange.record({ record: 'progress', stage: 'receiving', done, total }),
      });
      return { name, adoptable };
    } catch (error) {
      last = error;
      if (!(error instanceof ProtocolError) || i + 1 === names.length) throw error;
      const { code, message } = error;
      const reason = boundText(`${message}; the next one that has it is asked`);
      await exchange.record({ record: 'warning', code, part: `subscriber ${name}`, reason });
    }
  }
  throw last;
}

/**
 * Those connected that have the newest release which is known of. Throws ProtocolError where there is none,
 * or it is not clear: then somebody has to say whose it shall be.
 */
function newestOf({ subscribers, behind }: Publisher): readonly string[] {
  const holders = subscribers.holding();
  const [first] = [...holders].sort((a, b) => compareRelease(b.held, a.held));
  if (first === undefined) {
    const text = 'no subscriber is connected that has a release: start one, or look at rulectl status';
    throw new ProtocolError(ErrorCode.noSuchSubscriber, text);
  }
  const newest = holders.filter(({ held }) => compareRelease(held, first.held) === 0);
  const hashes = new Set(newest.map(({ held }) => hexOf(held.hash)));
  if (hashes.size > 1) {
    const each = newest.map((holder) => `${holder.name} ${shown(holder.held)}`).join(', ');
    const text = `subscribers have different releases of one number (${each}): name the one with --from, then go on in a new epoch`;
    throw new ProtocolError(ErrorCode.forked, boundText(text));
  }
  if (behind !== undefined && compareRelease(behind, first.held) > 0) {
    const text = `${behind.epoch}/${behind.version} was proved, and whoever has it is not connected: start that one, or take ${first.held.epoch}/${first.held.version} with --from ${first.name} and go on in a new epoch`;
    throw new ProtocolError(ErrorCode.publisherBehind, boundText(text));
  }
  return newest.map(({ name }) => name);
}

function shown({ epoch, version, hash }: Holder['held']): string {
  return `${epoch}/${version} (${hexOf(hash).slice(0, FORK_HASH_CHARS)})`;
}

function doneText(
  { behind }: Publisher,
  { name, adoptable }: { readonly name: string; readonly adoptable: Adoptable },
  dryRun: boolean,
): string {
  const { epoch, version } = adoptable.manifest;
  if (dryRun) return `nothing was taken: this was a dry run; ${name} gives release ${epoch}/${version}`;
  const told = `took release ${epoch}/${version} back from ${name}`;
  return behind === undefined
    ? told
    : `${told}; ${behind.epoch}/${behind.version} was released as well: go on with rulectl rollback --as-new-epoch ${version}, or push --as-new-epoch`;
}
