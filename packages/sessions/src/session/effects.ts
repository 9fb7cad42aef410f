/** Executes the machine's effects: on the connection, at the publisher, and for waiting callers. */

import type { PacedLog } from '@rulecast/program';
import { type Connection, ErrorCode, ProtocolError, type Signed } from '@rulecast/protocol';
import type { Refusal } from '../admission/refusal.ts';
import type { SessionHost } from '../host.ts';
import type { Askers } from './askers.ts';
import type { SubscriberNotes } from './notes.ts';
import type { Effect, EffectOf, Event, State } from './state.ts';
import { sendTransfer } from './stream.ts';

/** The parts of a session. */
export interface Parts {
  readonly connection: Connection;
  readonly publisher: SessionHost;
  /** For lines that this peer causes. */
  readonly logger: PacedLog;
  readonly notes: SubscriberNotes;
  readonly askers: Askers;
  readonly state: () => State;
  /** Feeds the results of effects back into the machine. */
  readonly feed: (event: Event) => void;
  /** Decides about the name in HELLO; undefined: it is this session's. */
  readonly admit: (name: string) => Promise<Refusal | undefined>;
}

export function perform(effect: Effect, parts: Parts): void {
  const { connection, logger, notes, askers } = parts;
  switch (effect.kind) {
    case 'send':
      return void connection.send(effect.message).catch(() => undefined); // the receiver notices
    case 'query':
      return query(effect, parts);
    case 'transfer':
      return void transfer(effect, parts);
    case 'bye':
      return connection.bye(effect.code, effect.text, effect.retryAfterMs);
    case 'close':
      return connection.close();
    case 'claim':
      return void claim(effect, parts);
    case 'prove':
      return void prove(effect, parts);
    case 'attest':
      return void attest(effect, parts);
    case 'answered':
    case 'unanswered':
      return askers.settle(effect);
    case 'alive':
      return askers.tell(effect.isAlive);
    case 'log':
      return logger[effect.level](effect.fields, effect.text);
    default:
      return notes.take(effect);
  }
}

function query({ ticket, transaction, about }: EffectOf<'query'>, { connection, askers }: Parts): void {
  connection
    .send({ kind: 'query', ...about }, transaction)
    .catch((error: unknown) => askers.fail(ticket, error));
}

async function claim({ name }: EffectOf<'claim'>, { logger, admit, feed }: Parts): Promise<void> {
  try {
    feed({ kind: 'claimed', refusal: await admit(name) });
  } catch (error) {
    logger.error({ err: error, subscriber: name }, 'a name cannot be claimed');
    feed({ kind: 'stopped', refusal: { code: ErrorCode.internal, text: 'the publisher failed' } });
  }
}

async function prove(
  { release, name, proof }: EffectOf<'prove'>,
  { publisher, logger, feed }: Parts,
): Promise<void> {
  try {
    await publisher.proved(release, name, proof);
  } catch (error) {
    logger.error({ err: error, subscriber: name }, 'what was proved cannot be noted');
  }
  feed({ kind: 'proved', release }); // the proof is valid even if storing it failed
}

async function attest({ nonce, release, name }: EffectOf<'attest'>, parts: Parts): Promise<void> {
  const { publisher, logger, feed } = parts;
  let signed: Signed | 'prove' | undefined;
  try {
    signed = await publisher.attest(nonce, release, name);
  } catch (error) {
    logger.error({ err: error, subscriber: name }, 'what is newest cannot be signed');
  }
  feed({ kind: 'attested', nonce, signed });
}

async function transfer(effect: EffectOf<'transfer'>, parts: Parts): Promise<void> {
  const { connection, publisher, logger, state, feed } = parts;
  const { transfer, name } = effect;
  const isStopped = (): boolean => {
    const now = state();
    return now.kind !== 'sending' || now.transfer !== transfer;
  };
  try {
    await sendTransfer(connection, publisher.transfers, effect, {
      stopped: isStopped,
      paced: () => publisher.pace.step(),
      begun: (isChain) => feed({ kind: 'transferBegun', transfer, isChain }),
      sent: () => feed({ kind: 'transferSent', transfer }),
    });
  } catch (error) {
    if (error instanceof ProtocolError && error.code === ErrorCode.disconnected) return; // the receiver notices
    logger.error({ err: error, subscriber: name }, 'a transfer failed');
    feed({ kind: 'transferFailed', transfer });
  }
}
