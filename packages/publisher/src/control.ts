/**
 * The control endpoint: one request of `rulectl` a connection, answered with records and ended with DONE or FAIL.
 * PROTOCOL.md "Control".
 */

import { createHash } from 'node:crypto';
import {
  boundText,
  type Connection,
  type ControlRecord,
  type ControlRecordOf,
  ErrorCode,
  HANDSHAKE_TIMEOUT_MS,
  HASH_BYTES,
  hexOf,
  type Message,
  type MessageOf,
  type PartChange,
  ProtocolError,
  PUSH_MAX_BYTES,
  partWord,
  type Received,
  STALL_TIMEOUT_MS,
  type WirePacket,
} from '@rulecast/protocol';
import { EMPTY_RULE_SET, entryCount, type RuleSet, ruleCount } from '@rulecast/rules';
import { GuardError } from './commit.ts';
import type { Publisher, PushOutcome } from './publisher.ts';
import type { PushedFile, PushInput } from './pushed.ts';
import type { AskTable } from './serve.ts';
import { type Release, StoreError } from './store.ts';
import type { Outcome } from './subscribers.ts';

type Push = MessageOf<'push'>;
type ReleasedPush = Extract<PushOutcome, { head: Release | undefined }>;

/** Least time between two batches of a watched status: a burst of pushes is one redraw. */
const WATCH_MIN_MS = 100;
/** Where nothing was ever released. */
const NO_HASH = new Uint8Array(HASH_BYTES);

export class ControlSession {
  private readonly connection: Connection;
  private readonly publisher: Publisher;
  private readonly ask: AskTable;

  constructor(connection: Connection, publisher: Publisher, ask: AskTable) {
    this.connection = connection;
    this.publisher = publisher;
    this.ask = ask;
  }

  /** Answers the one request, then closes. A peer that goes away or breaks the protocol ends it; nothing is thrown. */
  async run(): Promise<void> {
    try {
      const received = await this.receiveWithin(HANDSHAKE_TIMEOUT_MS);
      if (received !== undefined) await this.answer(received.message);
    } catch (error) {
      await this.fail(error);
    } finally {
      this.connection.close();
    }
  }

  /** The next message. Whoever says nothing for so long is told and sent away: there are few connections for all. */
  private async receiveWithin(timeoutMs: number): Promise<Received | undefined> {
    const timer = setTimeout(() => {
      this.connection.bye(ErrorCode.timeout, `nothing came for ${timeoutMs / 1000} s`);
    }, timeoutMs);
    try {
      return await this.connection.receive();
    } finally {
      clearTimeout(timer);
    }
  }

  private async answer(message: Message): Promise<void> {
    switch (message.kind) {
      case 'push':
        return this.push(message);
      case 'status':
        return this.status(message.watch);
      case 'test':
        return this.test(message);
      default:
        throw new ProtocolError(ErrorCode.unexpectedMessage, `${message.kind} is no request`);
    }
  }

  private async fail(error: unknown): Promise<void> {
    const code =
      error instanceof ProtocolError || error instanceof GuardError
        ? error.code
        : error instanceof StoreError
          ? ErrorCode.storageFailed
          : ErrorCode.internal;
    if (code === ErrorCode.disconnected) return;
    if (code === ErrorCode.internal) this.publisher.logger.error({ err: error }, 'a control request failed');
    const part = error instanceof ProtocolError || error instanceof GuardError ? error.part : undefined;
    const text = boundText(error instanceof Error ? error.message : String(error));
    await this.connection.send({ kind: 'fail', code, text, part }).catch(() => undefined); // it may be gone
  }

  /** Resolves when `rulectl` is gone, for then nobody waits for the answer; it may say no more after its request. */
  private async untilGone(): Promise<void> {
    await this.connection.receive().catch(() => undefined); // the connection has told the peer, and closed
    this.connection.bye(ErrorCode.unexpectedMessage, 'a connection carries one request');
  }

  private async record(record: ControlRecord): Promise<void> {
    await this.connection.send({ kind: 'record', record });
  }

  // ── PUSH ──────────────────────────────────────────────────────────────────────────────────────────────────────────

  private async push(push: Push): Promise<void> {
    if (push.replaceAll && push.action !== 'replace') {
      throw new ProtocolError(ErrorCode.badInput, `replaceAll goes with replace, not with ${push.action}`);
    }
    const input: PushInput = {
      action: push.action,
      list: push.list,
      policy: push.policy,
      replaceAll: push.replaceAll,
      files: await this.receiveFiles(push.files),
    };
    const startMs = this.publisher.nowMs();
    const connected = new Set(this.publisher.subscribers.connected());
    const outcomes = new OutcomeLog(this.publisher);
    try {
      const outcome = await this.publisher.push(input, { ifVersion: push.ifVersion, dryRun: push.dryRun });
      switch (outcome.kind) {
        case 'rejects':
          return await this.refused(outcome);
        case 'version-moved': {
          const text = `the head is version ${outcome.version}, not ${push.ifVersion}: look at it, then push again`;
          await this.connection.send({
            kind: 'fail',
            code: ErrorCode.versionMoved,
            text,
            version: outcome.version,
          });
          return;
        }
        default:
          await this.tellRelease(outcome);
          if (outcome.kind === 'released' && push.wait === 'applied' && outcome.head !== undefined) {
            await this.tellOutcomes(outcome.head, connected, outcomes, startMs + push.timeoutMs);
          }
          await this.connection.send({ kind: 'done', code: outcome.kind, text: doneText(outcome) });
      }
    } finally {
      outcomes.close();
    }
  }

  private async receiveFiles(count: number): Promise<readonly PushedFile[]> {
    const files: PushedFile[] = [];
    let totalBytes = 0;
    for (let i = 0; i < count; i++) {
      const { name, role, bytes } = await this.expect('file');
      totalBytes += bytes;
      if (totalBytes > PUSH_MAX_BYTES) {
        throw new ProtocolError(ErrorCode.overLimit, `a push holds at most ${PUSH_MAX_BYTES} bytes of files`);
      }
      files.push({ name, role, bytes: await this.receiveBytes(name, bytes) });
    }
    return files;
  }

  private async receiveBytes(name: string, count: number): Promise<Uint8Array> {
    const bytes = new Uint8Array(count);
    const digest = createHash('sha256');
    for (let at = 0; at < count; ) {
      const chunk = (await this.expect('chunk')).bytes;
      if (at + chunk.length > count)
        throw new ProtocolError(ErrorCode.badTransfer, `${name} is longer than announced`);
      bytes.set(chunk, at);
      digest.update(chunk);
      at += chunk.length;
    }
    const { sha256 } = await this.expect('end');
    if (!digest.digest().equals(sha256))
      throw new ProtocolError(ErrorCode.badTransfer, `${name} arrived damaged`);
    return bytes;
  }

  private async expect<K extends 'file' | 'chunk' | 'end'>(kind: K): Promise<MessageOf<K>> {
    const received = await this.receiveWithin(STALL_TIMEOUT_MS);
    if (received === undefined) throw new ProtocolError(ErrorCode.disconnected, 'the push was cut off');
    if (received.message.kind !== kind) {
      throw new ProtocolError(ErrorCode.unexpectedMessage, `${received.message.kind} where ${kind} was due`);
    }
    return received.message as MessageOf<K>; // its kind was compared
  }

  private async refused(outcome: Extract<PushOutcome, { kind: 'rejects' }>): Promise<void> {
    for (const reject of outcome.rejects) {
      await this.record({ record: 'reject', ...reject, reason: boundText(reject.reason) });
    }
    const [first] = outcome.rejects;
    const lines =
      outcome.rejectCount === 1 ? 'one line is refused' : `${outcome.rejectCount} lines are refused`;
    await this.connection.send({
      kind: 'fail',
      code: ErrorCode.badInput,
      text: `${lines}: nothing was released`,
      file: first?.file,
      line: first?.line,
      column: first?.column,
    });
  }

  private async tellRelease(outcome: ReleasedPush): Promise<void> {
    for (const { code, part, reason } of [...outcome.notes, ...outcome.plan.warnings]) {
      await this.record({ record: 'warning', code, part, reason: boundText(reason) });
    }
    for (const { name, reason } of outcome.failedNames) {
      const text = `${name} does not resolve: ${reason}; its rules keep the addresses they had`;
      await this.record({
        record: 'warning',
        code: 'name-not-resolved',
        part: name.slice(0, 63),
        reason: boundText(text),
      });
    }
    for (const change of outcome.plan.changes) await this.record(changeRecord(change));
    const head = outcome.head;
    const totals = totalsOf(outcome.plan.ruleSet);
    await this.record({
      record: 'release',
      epoch: head?.manifest.epoch ?? 0,
      version: head?.manifest.version ?? 0,
      previousVersion: head?.manifest.previousVersion ?? 0,
      hash: hexOf(head?.hash ?? NO_HASH),
      createdAtMs: head?.manifest.createdAtMs ?? 0,
      parts: head?.manifest.parts.length ?? 0,
      ...totals,
      deltaBytes: outcome.plan.deltaBytes.length,
      dryRun: outcome.kind === 'planned',
      changed: outcome.plan.changed,
    });
  }

  /** One record for each subscriber that was connected when the push came, as they answer or until `deadlineMs`. */
  private async tellOutcomes(
    head: Release,
    waiting: Set<string>,
    outcomes: OutcomeLog,
    deadlineMs: number,
  ): Promise<void> {
    const { version } = head.manifest;
    void this.untilGone().then(() => outcomes.end());
    while (waiting.size > 0) {
      const outcome = await outcomes.next(deadlineMs - this.publisher.nowMs());
      if (outcome === undefined) break;
      if (!waiting.has(outcome.subscriber)) continue;
      const earlier = outcome.epoch === head.manifest.epoch && outcome.version < version;
      if (earlier && outcome.state !== 'disconnected') continue;
      waiting.delete(outcome.subscriber);
      const superseded = outcome.state === 'applied' && outcome.version !== version;
      await this.record({
        record: 'applied',
        subscriber: outcome.subscriber,
        state: superseded ? 'superseded' : outcome.state,
        version: outcome.version,
        ms: Math.max(0, this.publisher.nowMs() - head.manifest.createdAtMs),
        bytes: outcome.bytes,
        code: outcome.code,
        text: outcome.text === undefined ? undefined : boundText(outcome.text),
        persisted: outcome.persisted,
      });
    }
    const ms = Math.max(0, this.publisher.nowMs() - head.manifest.createdAtMs);
    for (const subscriber of waiting) {
      await this.record({ record: 'applied', subscriber, state: 'timeout', version, ms, bytes: 0 });
    }
  }

  // ── STATUS ────────────────────────────────────────────────────────────────────────────────────────────────────────

  private async status(watch: boolean): Promise<void> {
    await this.statusBatch();
    if (!watch) {
      await this.connection.send({ kind: 'done', code: 'ok', text: '' });
      return;
    }
    const changes = new ChangeSignal(this.publisher);
    let gone = false;
    const end = this.untilGone().then(() => {
      gone = true;
      changes.close();
    });
    while (!gone) {
      await changes.next(WATCH_MIN_MS);
      if (!gone) await this.statusBatch();
    }
    await end;
  }

  private async statusBatch(): Promise<void> {
    const { publisher } = this;
    const { head } = publisher;
    const manifest = head?.manifest;
    await this.record({
      record: 'head',
      lineage: hexOf(publisher.identity.lineage),
      epoch: manifest?.epoch ?? 0,
      version: manifest?.version ?? 0,
      hash: hexOf(head?.hash ?? NO_HASH),
      createdAtMs: manifest?.createdAtMs ?? 0,
      parts: manifest?.parts.length ?? 0,
      ...totalsOf(head?.ruleSet ?? EMPTY_RULE_SET),
      startedAtMs: publisher.startedAtMs,
      degraded: [...publisher.degraded],
    });
    for (const part of manifest?.parts ?? []) {
      await this.record({
        record: 'part',
        kind: partWord(part.kind),
        name: part.name,
        count: part.count,
        digest: hexOf(part.digest),
        changedVersion: part.changedVersion,
      });
    }
    for (const record of publisher.subscribers.records(head, publisher.store, publisher.nowMs())) {
      await this.record(record);
    }
  }

  // ── TEST ──────────────────────────────────────────────────────────────────────────────────────────────────────────

  private async test(request: MessageOf<'test'>): Promise<void> {
    const names =
      request.subscriber === undefined ? this.publisher.subscribers.connected() : [request.subscriber];
    if (names.length === 0) {
      throw new ProtocolError(
        ErrorCode.noSuchSubscriber,
        'no subscriber is connected: nobody has a live table to ask',
      );
    }
    for (const subscriber of names) {
      try {
        await this.record(await this.askOne(subscriber, request.packet));
      } catch (error) {
        if (!(error instanceof ProtocolError) || request.subscriber !== undefined) throw error;
        const part = `subscriber ${subscriber}`;
        await this.record({ record: 'warning', code: error.code, part, reason: boundText(error.message) });
      }
    }
    await this.connection.send({ kind: 'done', code: 'ok', text: '' });
  }

  private async askOne(subscriber: string, packet: WirePacket): Promise<ControlRecordOf<'verdict'>> {
    const { verdict, version, hash, generation, code, text } = await this.ask(subscriber, packet);
    if (verdict === undefined) {
      throw new ProtocolError(
        code === ErrorCode.rateLimited ? code : ErrorCode.notReady,
        text ?? 'it has no answer',
      );
    }
    const hashText = hash === undefined ? undefined : hexOf(hash);
    return {
      record: 'verdict',
      subscriber,
      ...verdict,
      version,
      hash: hashText,
      generation: generation ?? 0,
    };
  }
}

/** Gathers outcomes from before the release on, so that none is missed between commit and waiting. */
class OutcomeLog {
  private readonly publisher: Publisher;
  private readonly queue: Outcome[] = [];
  private wake: (() => void) | undefined;
  private ended = false;
  private readonly listener = (outcome: Outcome): void => {
    this.queue.push(outcome);
    this.wake?.();
  };

  constructor(publisher: Publisher) {
    this.publisher = publisher;
    publisher.subscribers.on('outcome', this.listener);
  }

  /** The next outcome, or undefined after `timeoutMs` or once ended. */
  async next(timeoutMs: number): Promise<Outcome | undefined> {
    if (this.queue.length === 0 && timeoutMs > 0 && !this.ended) {
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, timeoutMs);
        this.wake = () => {
          clearTimeout(timer);
          resolve();
        };
      });
      this.wake = undefined;
    }
    return this.ended ? undefined : this.queue.shift();
  }

  /** Ends the waiting. */
  end(): void {
    this.ended = true;
    this.wake?.();
  }

  close(): void {
    this.publisher.subscribers.off('outcome', this.listener);
  }
}

/** Tells that something in the status changed, at most so often. */
class ChangeSignal {
  private readonly publisher: Publisher;
  private changed = false;
  private wake: (() => void) | undefined;
  private readonly listener = (): void => {
    this.changed = true;
    this.wake?.();
  };

  constructor(publisher: Publisher) {
    this.publisher = publisher;
    publisher.subscribers.on('change', this.listener);
  }

  /** Resolves after a change, and not before `quietMs` have passed. */
  async next(quietMs: number): Promise<void> {
    await new Promise<void>((resolve) => setTimeout(resolve, quietMs));
    if (!this.changed) {
      await new Promise<void>((resolve) => {
        this.wake = resolve;
      });
    }
    this.wake = undefined;
    this.changed = false;
  }

  close(): void {
    this.publisher.subscribers.off('change', this.listener);
    this.listener();
  }
}

/** Records call a put of a new part an addition, and a put or patch of an old one a change. */
function changeRecord(change: PartChange): ControlRecordOf<'change'> {
  const { kind, name, addedCount, removedCount, unchangedCount } = change;
  return {
    record: 'change',
    op: change.op === 'put' ? 'add' : change.op === 'patch' ? 'change' : 'remove',
    kind: partWord(kind),
    name,
    added: addedCount,
    removed: removedCount,
    unchanged: unchangedCount,
  };
}

function totalsOf(ruleSet: RuleSet): { readonly entries: number; readonly rules: number } {
  let entries = 0;
  for (const list of ruleSet.lists.values()) entries += entryCount(list);
  let rules = 0;
  for (const policy of ruleSet.policies.values())
    rules += ruleCount(policy.egress) + ruleCount(policy.ingress);
  return { entries, rules };
}

function doneText(outcome: ReleasedPush): string {
  switch (outcome.kind) {
    case 'planned':
      return 'nothing was released: this was a dry run';
    case 'unchanged':
      return 'nothing to release: the head has this content already';
    case 'released':
      return `released version ${outcome.head?.manifest.version ?? 0}`;
  }
}
