/**
 * The process that has the keys which sign releases, and nothing else: it uses no network, no archive and no
 * list. The publisher starts it, or a service manager does for each connection of the publisher's. It answers
 * the requests on standard input, and ends with that.
 *
 *     signer-main IDENTITY        the identity file, which is made when the publisher asks for it
 */

import { setTimeout as sleep } from 'node:timers/promises';
import { EXIT_FAILED, EXIT_USAGE, ProgramError, runProgram } from '@rulecast/program';
import {
  type Identity,
  IdentityError,
  openIdentity,
  readIdentity,
  sharedText,
} from '@rulecast/program/identity';
import { LockedError, lockDirectory } from '@rulecast/program/lock';
import { SignerDesk, UnsignableError } from './signer/desk.ts';
import { errorLine, lineOf, REQUEST_MAX_BYTES, requestIn, signLine } from './signer/line.ts';
import { readRecord, recordDirectory, writeRecord } from './signer/record.ts';

const NAME = 'rulecast-signer';
const USAGE = `${NAME} IDENTITY

Signs what the publisher asks for on standard input, with the keys of an identity file. The publisher starts it.`;
/** A hung signer is ended within that time, and this one takes over its lock. */
const LOCK_WAIT_MS = 12_000;
const LOCK_LOOK_MS = 50;

await runProgram(NAME, async (out) => {
  const [file, ...others] = process.argv.slice(2);
  if (file === '--help') return out.line(USAGE);
  if (file === undefined || others.length > 0)
    throw new ProgramError(EXIT_USAGE, 'it takes the identity file');
  // Signals are for the publisher, which may await an answer; this process ends with its input.
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => undefined);
  const directory = recordDirectory(file);
  const answerTo = answering(file, directory);
  await locked(directory);
  let said = '';
  for await (const chunk of process.stdin) {
    said += String(chunk);
    for (let end = said.indexOf('\n'); end >= 0; end = said.indexOf('\n')) {
      process.stdout.write(answerTo(said.slice(0, end)));
      said = said.slice(end + 1);
    }
    if (said.length > REQUEST_MAX_BYTES) throw new ProgramError(EXIT_FAILED, 'a request is too long');
  }
});

/** Answers a line. A refusal is an answer too; only our own bugs throw. */
function answering(file: string, directory: string): (line: string) => string {
  let desk: SignerDesk | undefined;
  const shared = (identity: Identity | undefined): string =>
    lineOf(identity === undefined ? {} : { identity: sharedText(identity), hasRootKey: identity.hasRootKey });
  return (line) => {
    const request = requestIn(line);
    if (request === undefined) return errorLine('what was asked is no request');
    try {
      if (request.ask !== 'sign')
        return shared(request.ask === 'make' ? openIdentity(file) : readIdentity(file));
      desk ??= deskOf(file, directory);
      return signLine(desk.sign(request.manifest));
    } catch (error) {
      if (error instanceof IdentityError || error instanceof UnsignableError) return errorLine(error.message);
      throw error;
    }
  };
}

function deskOf(file: string, directory: string): SignerDesk {
  const identity = openIdentity(file);
  return new SignerDesk(identity, readRecord(directory, identity), (record) =>
    writeRecord(directory, identity.lineage, record),
  );
}

/** One process signs with a key. */
async function locked(directory: string): Promise<void> {
  for (let waitedMs = 0; ; waitedMs += LOCK_LOOK_MS) {
    try {
      await lockDirectory(directory);
      return;
    } catch (error) {
      if (!(error instanceof LockedError) || waitedMs >= LOCK_WAIT_MS) throw error;
      await sleep(LOCK_LOOK_MS);
    }
  }
}
