/**
 * The writer of a depot: the objects that the head names, then the head, signed anew each minute.
 *
 *   release ─▶ snapshot, delta of the last step ─▶ page ─▶ head ─▶ deltas of older steps ─▶ page ─▶ head
 *                                                            └─ a newer release ends it here
 *
 * A head is in place after all that it names, so that a reader finds a whole release whenever the publisher
 * ends. DEPOT.md "Files".
 */

import type { Identity } from '@rulecast/program/identity';
import {
  DEPOT_BASE_BYTES,
  type DepotDelta,
  encodeDepotHead,
  encodeDepotPage,
  formatRoots,
  isSignedBy,
  joinSigned,
  type ObjectReference,
  objectPath,
  readDepotHead,
  referenceOf,
  type SteadyClock,
} from '@rulecast/protocol';
import type { Logger } from 'pino';
import { signedForFreshness } from '../release/attest.ts';
import type { Release } from '../store/store.ts';
import { DepotError, type DepotFiles } from './files.ts';
import { deltaStreams, type StreamMakers, snapshotPieces } from './streams.ts';

const HEAD_PATH = 'head';
/** The wait before a failed write is tried again. */
const RETRY_MS = 5_000;
/** How long a push waits for its release to be in the depot. */
const SHOWN_MAX_MS = 5_000;

export interface DepotOptions extends StreamMakers {
  readonly files: DepotFiles;
  readonly identity: Pick<Identity, 'lineage' | 'roots' | 'root' | 'rootHash' | 'freshnessKeys'>;
  /** The newest release; undefined if there is none, or if the publisher is behind and must not name one. */
  readonly newest: () => Release | undefined;
  readonly clock: SteadyClock;
  readonly nowMs: () => number;
  readonly logger: Logger;
  readonly signEveryMs: number;
  readonly expiresMs: number;
  /** How long objects stay after the last head that named them. */
  readonly keepMs: number;
  /** Once nothing is written any more. */
  readonly onClosed?: () => void;
}

/** The page of a release that lies in the depot. */
interface Written {
  readonly release: Release;
  readonly page: ObjectReference;
  readonly paths: ReadonlySet<string>;
  /** All deltas are in it. */
  readonly isWhole: boolean;
}

export class Depot {
  readonly #options: DepotOptions;
  /** When each object was last named by a head, by the steady clock. */
  readonly #namedAt = new Map<string, number>();
  #written: Written | undefined;
  /** The head in place, the release that it names, and the paths of the objects it needs. */
  #head:
    | { readonly bytes: Uint8Array; readonly release: Release; readonly paths: readonly string[] }
    | undefined;
  #sequence = 0;
  #trouble: string | undefined;
  #cancel: (() => void) | undefined;
  #running: Promise<void> = Promise.resolve();
  #isClosed = false;
  #isRunning = false;
  #isDue = false;
  readonly #listeners = new Set<() => void>();

  constructor(options: DepotOptions) {
    this.#options = options;
  }

  /** A sentence, while the depot lacks the release in force. */
  get trouble(): string | undefined {
    return this.#trouble;
  }

  /** The head as it lies there; undefined until the first of this process is written. */
  get head(): Uint8Array | undefined {
    return this.#head?.bytes;
  }

  /** An object that a head names; undefined if it is gone. Throws DepotError. */
  object(reference: ObjectReference): Promise<Uint8Array | undefined> {
    const path = objectPath(reference);
    return this.#namedAt.has(path) ? this.#options.files.read(path) : Promise.resolve(undefined);
  }

  /** Called after each head, and when nothing is written any more; returns what ends that. */
  onHead(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Why the head does not name a release; undefined once it names that one, or one that followed. */
  async troubleWith(release: Release): Promise<string | undefined> {
    const { newest, clock } = this.#options;
    const isAwaited = () => this.#head?.release !== release && newest() === release && !this.#isClosed;
    const untilMs = clock.monotonicMs() + SHOWN_MAX_MS;
    const isTrying = () => this.#isRunning || this.#trouble === undefined;
    while (isAwaited() && isTrying() && clock.monotonicMs() < untilMs)
      await new Promise<void>((resolve) => {
        const end = (): void => {
          cancel();
          stop();
          resolve();
        };
        const stop = this.onHead(end);
        const cancel = clock.after(untilMs - clock.monotonicMs(), end);
      });
    return isAwaited() ? (this.#trouble ?? 'the depot does not have it yet') : undefined;
  }

  /** Reads what a previous process left, then writes the newest release. */
  async start(): Promise<void> {
    const { files, clock } = this.#options;
    try {
      for (const path of await files.objects()) this.#namedAt.set(path, clock.monotonicMs());
      const head = await files.read(HEAD_PATH);
      if (head !== undefined) this.#sequence = sequenceOf(head, this.#options.identity);
    } catch (error) {
      this.#fail(error);
    }
    this.published();
    await this.#running;
  }

  /** Writes a new head, if there is one. */
  published(): void {
    this.#isDue = true;
    if (this.#isRunning || this.#isClosed) return;
    this.#isRunning = true;
    this.#cancel?.();
    this.#running = this.#run();
  }

  async #run(): Promise<void> {
    const { clock, signEveryMs } = this.#options;
    let waitMs = signEveryMs;
    while (this.#isDue && !this.#isClosed) {
      this.#isDue = false;
      try {
        await this.#bring();
        waitMs = signEveryMs;
      } catch (error) {
        this.#fail(error);
        await this.#prune().catch(() => undefined); // old objects may be what fills the disk
        waitMs = Math.min(RETRY_MS, signEveryMs);
      }
    }
    this.#isRunning = false;
    this.#tell();
    if (!this.#isClosed) this.#cancel = clock.after(waitMs, () => this.published());
  }

  /** Writes the newest release to the depot, or only a new head for it. Throws DepotError. */
  async #bring(): Promise<void> {
    const release = this.#options.newest();
    if (release === undefined) return;
    const written = this.#written;
    if (written?.release === release && written.isWhole && (await this.#isThere(written)))
      await this.#sign(written);
    else await this.#write(release);
    await this.#prune();
  }

  /** Whether all files are still there; missing ones are written again. */
  async #isThere({ paths }: Written): Promise<boolean> {
    const there = new Set(await this.#options.files.objects());
    for (const path of this.#namedAt.keys()) if (!there.has(path)) this.#namedAt.delete(path);
    return [...paths].every((path) => there.has(path));
  }

  /** Shows a release with the step from the one before; older steps follow, unless a newer release comes. */
  async #write(release: Release): Promise<void> {
    const snapshot: ObjectReference[] = [];
    for (const piece of await snapshotPieces(release, this.#options)) snapshot.push(await this.#put(piece));
    const deltas: DepotDelta[] = [];
    for await (const { base, stream } of deltaStreams(release, this.#options)) {
      if (this.#isClosed || this.#options.newest() !== release) return;
      deltas.push(deltaOf(base, await this.#put(stream)));
      if (deltas.length === 1) await this.#show(release, snapshot, deltas, false);
    }
    await this.#show(release, snapshot, deltas, true);
  }

  async #show(
    release: Release,
    snapshot: readonly ObjectReference[],
    deltas: readonly DepotDelta[],
    isWhole: boolean,
  ): Promise<void> {
    const { manifestBytes: content, signatures, capabilities } = release;
    const page = await this.#put(
      encodeDepotPage({ signed: { signatures, content }, capabilities, snapshot, deltas }),
    );
    const paths = new Set([page, ...snapshot, ...deltas].map(objectPath));
    this.#written = { release, page, paths, isWhole };
    await this.#sign(this.#written);
  }

  /** An object that is there already is not written again. */
  async #put(bytes: Uint8Array): Promise<ObjectReference> {
    const reference = referenceOf(bytes);
    const path = objectPath(reference);
    if (!this.#namedAt.has(path)) await this.#options.files.write(path, bytes);
    this.#namedAt.set(path, this.#options.clock.monotonicMs());
    return reference;
  }

  async #sign({ release, page, paths }: Written): Promise<void> {
    const { identity, nowMs, expiresMs, files, clock, logger } = this.#options;
    const roots = await this.#put(Buffer.from(formatRoots(identity.roots)));
    const issuedMs = nowMs();
    this.#sequence = Math.max(this.#sequence + 1, issuedMs); // above that of a depot that was lost
    const { epoch, version } = release.manifest;
    const content = encodeDepotHead({
      lineage: identity.lineage,
      rootNumber: identity.root.number,
      rootHash: identity.rootHash,
      roots,
      sequence: this.#sequence,
      issued: Math.floor(issuedMs / 1000),
      expires: Math.ceil((issuedMs + expiresMs) / 1000),
      epoch,
      version,
      hash: release.hash,
      page,
    });
    const signed = signedForFreshness(identity, content);
    if (signed === undefined)
      throw new DepotError('too few keys of the freshness role are here: no head can be signed');
    const bytes = joinSigned(signed);
    await files.write(HEAD_PATH, bytes);
    this.#head = { bytes, release, paths: [...paths, objectPath(roots)] };
    for (const path of this.#head.paths) this.#namedAt.set(path, clock.monotonicMs());
    if (this.#trouble !== undefined) logger.info({ version }, 'the depot has the newest release again');
    this.#trouble = undefined;
    this.#tell();
  }

  /**
   * Removes old objects; none until this process has written a head, as only then it knows what the head
   * needs.
   */
  async #prune(): Promise<void> {
    const { files, clock, keepMs } = this.#options;
    if (this.#head === undefined) return;
    const inPlace = new Set(this.#head.paths); // a head that cannot be replaced may be old
    const until = clock.monotonicMs() - keepMs;
    for (const [path, namedAt] of this.#namedAt) {
      if (namedAt > until || inPlace.has(path)) continue;
      await files.remove(path);
      this.#namedAt.delete(path);
    }
  }

  #fail(error: unknown): void {
    const text = `the depot is not written: ${error instanceof Error ? error.message : String(error)}`;
    if (this.#trouble !== text) this.#options.logger.error({ err: error }, text);
    this.#trouble = text;
  }

  #tell(): void {
    for (const listener of this.#listeners) listener();
  }

  /** Waits for the write under way. */
  async close(): Promise<void> {
    this.#isClosed = true;
    this.#cancel?.();
    await this.#running;
    this.#options.onClosed?.();
  }
}

function deltaOf(base: string, reference: ObjectReference): DepotDelta {
  return { base: Buffer.from(base, 'hex').subarray(0, DEPOT_BASE_BYTES), ...reference };
}

/**
 * The sequence of a head signed by this root, else 0: any other head is replaced by one with a higher number,
 * from the clock. Continuing a forged head at the largest sequence would leave no number for a later one.
 */
function sequenceOf(bytes: Uint8Array, { root }: DepotOptions['identity']): number {
  try {
    const { head, ...signed } = readDepotHead(bytes);
    return isSignedBy(root, 'freshness', signed) ? head.sequence : 0;
  } catch {
    return 0;
  }
}
