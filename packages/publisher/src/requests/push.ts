/** PUSH: receives the files, releases them, and answers with rejects or the outcome. CONTROL.md "PUSH". */

import { createHash } from 'node:crypto';
import { isListFormatName, listUse, type PushedFile, type PushInput } from '@rulecast/formats';
import { boundText, ErrorCode, type MessageOf, ProtocolError } from '@rulecast/protocol';
import type { ControlExchange } from '../control/exchange.ts';
import type { ControlParts } from '../control/parts.ts';
import type { Reservation } from '../control/push-memory.ts';
import { answerWithRelease, tellingStages, tellVersionMoved } from '../control/release-report.ts';
import { permitsOf } from '../guards/permits.ts';
import { GuardError, type ReleaseDraft } from '../release/commit.ts';
import type { PushOutcome } from '../release/outcome.ts';
import { filtered, isOf } from '../release/part-filter.ts';
import type { Publisher } from '../release/publisher.ts';
import type { PushOptions } from '../release/request.ts';
import { tellComparison } from './diff.ts';

type Push = MessageOf<'push'>;
type Refused = Extract<PushOutcome, { kind: 'rejects' | 'version-moved' }>;

/** Answers a PUSH. Throws errors that the caller answers with FAIL. */
export async function answerPush(push: Push, exchange: ControlExchange, parts: ControlParts): Promise<void> {
  const { publisher, pushMemory, caller } = parts;
  const { by, role } = caller;
  if (push.replaceAll && push.action !== 'replace') {
    throw new ProtocolError(ErrorCode.badInput, `replaceAll goes with replace, not with ${push.action}`);
  }
  const { format } = push;
  if (format !== undefined && !isListFormatName(format)) {
    throw new ProtocolError(ErrorCode.badInput, `this publisher knows no format ${format}`);
  }
  const reservation = pushMemory.reserve();
  const { action, list, policy, resolve, replaceAll, ifVersion, dryRun, asNewEpoch, require, message } = push;
  const ifPresent = push.ifPresent === true;
  const subdomains = push.subdomains === true;
  const allowPublicSuffixes = push.allowPublicSuffixes === true;
  try {
    const files = await receiveFiles(push.files, exchange, reservation);
    const names = { resolve, subdomains, allowPublicSuffixes };
    const input: PushInput = { action, list, policy, format, replaceAll, files, ...names };
    const permits = permitsOf('push', push);
    const options = { by, role, message, ifPresent, ifVersion, dryRun, asNewEpoch, permits, require };
    const make = (onStage: PushOptions['onStage']): Promise<PushOutcome> =>
      publisher
        .push(input, { ...options, onStage })
        .catch((error: unknown) => {
          throw error instanceof GuardError ? placed(error, files) : error;
        })
        .finally(reservation.leave);
    const tellOther = (outcome: Refused) => tellRefused(outcome, ifVersion, exchange);
    if (push.compare === undefined) return await answerWithRelease(push, exchange, parts, make, tellOther);
    const outcome = await tellingStages(exchange, publisher.clock, make);
    if (!('draft' in outcome)) return await tellOther(outcome);
    await tellCompared(outcome.draft, push.compare, publisher, exchange);
  } finally {
    reservation.leave();
  }
}

/** Sends the changes a push would make, line by line, whatever guards say. Throws as answerDiff does. */
async function tellCompared(
  { ruleSet, changes }: ReleaseDraft,
  { from, stats, ...only }: NonNullable<Push['compare']>,
  publisher: Publisher,
  exchange: ControlExchange,
): Promise<void> {
  const ofHead = changes.filter((change) => isOf(change, only));
  const { lists, policies } = filtered(ruleSet, only);
  const isKnown = ofHead.length + lists.size + policies.size > 0;
  const comparison =
    from === undefined ? { changes: ofHead, isKnown } : await publisher.history.changes(from, ruleSet, only);
  const lacking = 'neither what is released nor what these files make of it has a';
  await tellComparison(comparison, { ...only, stats }, lacking, publisher, exchange);
}

/** With the place of a rule that uses a list which is not there. */
function placed(error: GuardError, files: readonly PushedFile[]): GuardError {
  const { missingList, message, part } = error;
  if (missingList === undefined) return error;
  return new GuardError({ part, reason: message, missingList }, listUse(files, missingList));
}

async function receiveFiles(
  count: number,
  exchange: ControlExchange,
  reservation: Reservation,
): Promise<readonly PushedFile[]> {
  const files: PushedFile[] = [];
  for (let i = 0; i < count; i++) {
    const { name, role, bytes } = await exchange.expect('file');
    reservation.take(bytes);
    files.push({ name, role, bytes: await receiveBytes(name, bytes, exchange) });
  }
  return files;
}

async function receiveBytes(name: string, count: number, exchange: ControlExchange): Promise<Uint8Array> {
  const bytes = new Uint8Array(count);
  const digest = createHash('sha256');
  for (let at = 0; at < count; ) {
    const chunk = (await exchange.expect('chunk')).bytes;
    if (at + chunk.length > count)
      throw new ProtocolError(ErrorCode.badTransfer, `${name} is longer than announced`);
    bytes.set(chunk, at);
    digest.update(chunk);
    at += chunk.length;
  }
  const { sha256 } = await exchange.expect('end');
  if (sha256 === undefined || !digest.digest().equals(sha256))
    throw new ProtocolError(ErrorCode.badTransfer, `${name} arrived damaged`);
  return bytes;
}

async function tellRefused(
  outcome: Refused,
  ifVersion: number | undefined,
  exchange: ControlExchange,
): Promise<void> {
  if (outcome.kind === 'version-moved') return tellVersionMoved(outcome, ifVersion, exchange);
  for (const reject of outcome.rejects) {
    await exchange.record({ record: 'reject', ...reject, reason: boundText(reject.reason) });
  }
  const [first] = outcome.rejects;
  const lines =
    outcome.rejectCount === 1 ? 'one line is refused' : `${outcome.rejectCount} lines are refused`;
  await exchange.fail({
    code: ErrorCode.badInput,
    text: `${lines}: nothing was released`,
    file: first?.file,
    line: first?.line,
    column: first?.column,
  });
}
