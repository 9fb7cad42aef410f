/**
 * Reports of names that fetch releases. Each is checked by its code, counted, stored, and answered with the
 * newest release. DEPOT.md "Reports".
 *
 *   report ─code─▶ members ─claim─▶ attest ─▶ answer           wrong code, or another lineage: no bytes
 *                    └─ written with others, 200 ms later      strange claim: to be proved first
 */

import type { PacedLog } from '@rulecast/program';
import {
  ByteReader,
  ByteWriter,
  ErrorCode,
  encodeReportAnswer,
  ProtocolError,
  type Report,
  readKeptReport,
  readReport,
  type Signed,
  type TokenFor,
  tokenOf,
} from '@rulecast/protocol';
import { isStrange, type PublisherView, provenRelease } from '@rulecast/sessions';
import type { Publisher } from '../release/publisher.ts';
import type { Store } from '../store/store.ts';
import { Members, type MembersOptions } from './members.ts';
import type { FleetRow, FleetView } from './view.ts';

/** Reports gather for so long before a write: firewalls repeat what a crash loses. */
const WRITE_AFTER_MS = 200;
/** Rows read in a turn. */
const ROWS_A_TURN = 500;
const NOTHING: Uint8Array = new Uint8Array();

export interface FleetOptions extends Omit<MembersOptions, 'headHash'> {
  readonly secret: Uint8Array;
  readonly store: Pick<Store, 'storedReports' | 'storeReports'>;
  /** The publisher, to read from and to call. */
  readonly view: PublisherView;
  readonly publisher: Pick<Publisher, 'head' | 'attest' | 'proved'>;
  readonly logger: PacedLog;
}

export class Fleet implements FleetView {
  readonly #options: FleetOptions;
  readonly #members: Members;
  readonly #listeners = new Set<() => void>();
  /** Rows to write, by name; undefined: to delete. */
  #changed = new Map<string, Uint8Array | undefined>();
  #cancel: (() => void) | undefined;
  #writing: Promise<void> = Promise.resolve();
  #isClosed = false;
  #writeTrouble: string | undefined;
  #token = { name: '', isRelay: false, bytes: NOTHING };

  private constructor(options: FleetOptions) {
    this.#options = options;
    this.#members = new Members({ ...options, headHash: () => options.view.head?.hash });
  }

  /** Opens the fleet with its stored reports. */
  static async open(options: FleetOptions): Promise<Fleet> {
    const fleet = new Fleet(options);
    let damagedCount = 0;
    for (let after = ''; ; await options.turn()) {
      const rows = options.store.storedReports(after, ROWS_A_TURN);
      for (const [name, row] of rows) {
        if (fleet.#resume(name, row)) continue;
        fleet.#changed.set(name, undefined);
        damagedCount++;
      }
      const last = rows.at(-1)?.[0];
      if (last === undefined) break;
      after = last;
    }
    if (damagedCount > 0) options.logger.warn({ damagedCount }, 'kept reports are damaged: forgotten');
    return fleet;
  }

  /** Restores a stored row; false if it cannot be read. */
  #resume(name: string, row: Uint8Array): boolean {
    try {
      const reader = new ByteReader(row, ErrorCode.badReport);
      const [heardAtMs, ownSequence] = [reader.u64(), reader.u64()];
      const report = readKeptReport(reader.bytes(reader.remaining));
      if (report.name === name) this.#members.resume(report, ownSequence, heardAtMs);
      return report.name === name;
    } catch (error) {
      if (error instanceof ProtocolError) return false;
      throw error;
    }
  }

  get everyMs(): number {
    return this.#options.everyMs;
  }

  get trouble(): string | undefined {
    const full = 'too many names report: those beyond a million are not counted (rulectl forget NAME)';
    return this.#writeTrouble ?? (this.#members.isFull ? full : undefined);
  }

  /** An answer to each report, in their order; no bytes for one with a wrong code. Never rejects. */
  async takeReports(reports: readonly Uint8Array[]): Promise<readonly Uint8Array[]> {
    const answers: Uint8Array[] = [];
    for (const bytes of reports) answers.push(await this.#answer(bytes)); // a statement a turn
    return answers;
  }

  async #answer(bytes: Uint8Array): Promise<Uint8Array> {
    const { view, publisher, logger } = this.#options;
    try {
      const report = readReport(bytes, this.#tokenFor);
      if (Buffer.compare(report.lineage, view.lineage) !== 0) return NOTHING;
      const token = this.#tokenFor(report.via ?? report.name, report.via !== undefined);
      const { sequence, nonce } = report;
      const taken = this.#members.take(report);
      if (taken.kind === 'replayed') {
        const answer = { prove: false, isReplayed: true, sequence: taken.last, statement: undefined };
        return encodeReportAnswer(answer, token);
      }
      if (taken.kind === 'taken')
        this.#keep(report.name, rowOf(bytes, taken.ownSequence, this.#options.nowMs()));
      const prove = !(await this.#isProved(report));
      let statement: Signed | undefined;
      if (!prove && !view.isBehind) statement = await publisher.attest(nonce, publisher.head);
      return encodeReportAnswer({ prove, isReplayed: false, sequence, statement }, token);
    } catch (error) {
      if (error instanceof ProtocolError) logger.warn({ err: error }, 'a report was refused');
      else logger.error({ err: error }, 'a report could not be answered');
      return NOTHING;
    }
  }

  /** The last one is asked for again for the answer, and by a relay for each report. */
  readonly #tokenFor: TokenFor = (name, isRelay) => {
    const { secret, view } = this.#options;
    if (name !== this.#token.name || isRelay !== this.#token.isRelay)
      this.#token = { name, isRelay, bytes: tokenOf(secret, view.lineage, name, isRelay) };
    return this.#token.bytes;
  };

  /**
   * Whether the release in force there is known here, or is proved by the report, and recorded, now. WIRE.md
   * "Epochs".
   */
  async #isProved({ name, held, proof }: Report): Promise<boolean> {
    const { view, publisher } = this.#options;
    if (held === undefined || !isStrange(held, view)) return true;
    const proven = proof && provenRelease(held, proof, view);
    if (proof === undefined || proven === undefined) return false;
    await publisher.proved(proven, name, proof);
    return true;
  }

  #keep(name: string, row: Uint8Array | undefined): void {
    this.#changed.set(name, row);
    if (!this.#isClosed) this.#cancel ??= this.#options.clock.after(WRITE_AFTER_MS, () => void this.#write());
  }

  /** One write at a time; later changes wait for the next. */
  async #write(): Promise<void> {
    for (const listener of this.#listeners) listener();
    const changed = this.#changed;
    this.#changed = new Map();
    this.#writing = this.#options.store.storeReports(changed).then(
      () => {
        this.#writeTrouble = undefined;
      },
      (error: unknown) => {
        for (const [name, row] of changed) if (!this.#changed.has(name)) this.#changed.set(name, row);
        if (this.#writeTrouble === undefined)
          this.#options.logger.error({ err: error }, 'reports cannot be kept');
        this.#writeTrouble = 'reports cannot be kept: a restart would forget them; is the disk full?';
      },
    );
    await this.#writing;
    this.#cancel = undefined;
    const [first] = this.#changed;
    if (first !== undefined) this.#keep(...first);
  }

  counts(sinceMs?: number): ReturnType<FleetView['counts']> {
    return this.#members.counts(sinceMs);
  }

  odd(most: number): readonly FleetRow[] {
    return this.#members.odd(most);
  }

  inState(state: FleetRow['state']): AsyncIterable<FleetRow> {
    return this.#members.inState(state);
  }

  find(name: string): FleetRow | undefined {
    return this.#members.find(name);
  }

  /** Whether a name reports, and is not silent. */
  hears(name: string): boolean {
    const state = this.find(name)?.state;
    return state !== undefined && state !== 'silent';
  }

  forget(name: string): boolean {
    const wasThere = this.#members.forget(name);
    if (wasThere) this.#keep(name, undefined);
    return wasThere;
  }

  onChange(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Writes the pending rows. */
  async close(): Promise<void> {
    this.#isClosed = true;
    this.#cancel?.();
    await this.#writing;
    if (this.#changed.size > 0) await this.#write();
  }
}

/** The stored form of a report: its time, the highest sequence of the name itself, and the report. */
function rowOf(report: Uint8Array, ownSequence: number, heardAtMs: number): Uint8Array {
  const writer = new ByteWriter(16 + report.length);
  writer.u64(Math.max(0, Math.floor(heardAtMs)));
  writer.u64(ownSequence);
  writer.bytes(report);
  return writer.take();
}
