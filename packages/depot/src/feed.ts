/**
 * The newest release of a depot. Each mirror is asked by itself, so that one that hangs holds up no other; a
 * head counts once it is verified, and only above the last. DEPOT.md "Head".
 *
 *   head ─▶ its roots, if they are later ─▶ signature ─▶ above the last? ─▶ page ─▶ release ─▶ stream
 */

import { EventEmitter } from 'node:events';
import {
  compareHead,
  DEPOT_PAGE_MAX_BYTES,
  type DepotHead,
  type DepotPage,
  decodeDepotPage,
  decodeManifest,
  deltaFrom,
  isObject,
  isSignedBy,
  manifestHash,
  type ObjectReference,
  ProtocolError,
  parseRoots,
  type Roots,
  readDepotHead,
  readRoot,
  referenceOf,
  rootsFrom,
  STREAM_ID_BYTES,
  type SteadyClock,
  TRANSFER_MAX_BYTES,
  type Trust,
  withRoot,
} from '@rulecast/protocol';
import type { SessionRelease } from '@rulecast/sessions';
import { type DepotSource, SourceError } from './source.ts';

/** Our choice: half of it are all roots that a lineage may have, with all keys and signatures. */
const ROOTS_MAX_BYTES = 2 ** 20;
/**
 * The longest wait for a mirror, in polls: after failures, so that after an outage not all clients come at
 * once; and while a nearer mirror works, which then serves nearly all requests of a site.
 */
const POLLS_MAX = 4;
/** How long a stream is kept for the next request. */
const KEPT_MS = 60_000;

export interface FeedOptions {
  /** One or more, the nearest first; the feed closes them. */
  readonly sources: readonly DepotSource[];
  readonly trust: Trust;
  readonly clock: SteadyClock;
  /** In [0, 1): spreads polls. */
  readonly random: () => number;
  readonly logger: Readonly<Record<'info' | 'warn', (fields: object, text: string) => void>>;
  readonly pollMs: number;
}

export interface DepotStream {
  /** The release that it starts from; undefined: it is a snapshot. */
  readonly base: Uint8Array | undefined;
  readonly stream: Uint8Array;
  /** Id of a snapshot's stream. */
  readonly id: Uint8Array | undefined;
}

/** The page and the objects by which a release is read. */
interface Way {
  page: DepotPage;
  /** Streams being read, by their first object. */
  readonly streams: Map<ObjectReference, Promise<Uint8Array>>;
}

/** `asked`: a mirror has answered or failed. */
export class DepotFeed extends EventEmitter<{ release: []; roots: []; asked: [] }> {
  readonly #options: FeedOptions;
  #roots: Roots = [];
  #head: DepotHead | undefined;
  #headAtMs = 0;
  #isStill = false;
  #release: SessionRelease | undefined;
  readonly #ways = new WeakMap<SessionRelease, Way>();
  /** The fault of each mirror that cannot be read. */
  readonly #faults = new Map<DepotSource, string>();
  readonly #wakes = new Map<DepotSource, () => void>();
  /** Timers that end cached streams. */
  readonly #timers = new Set<() => void>();
  #following: Promise<unknown> = Promise.resolve();
  #isClosed = false;

  constructor(options: FeedOptions) {
    super();
    this.#options = options;
  }

  /** The same object as long as it is the same release, however often its page changes. */
  get release(): SessionRelease | undefined {
    return this.#release;
  }

  /** From the root that the trust line names to the one in force; none before the first head. */
  get roots(): Roots {
    return this.#roots;
  }

  /** A sentence, while no mirror shows a head of these minutes. */
  get trouble(): string | undefined {
    const still = this.#isStill ? ['no mirror has a newer head'] : [];
    const isWell = this.#head !== undefined && !this.#isStill;
    return isWell ? undefined : [...still, ...this.#faults.values()].join('; ');
  }

  start(): void {
    this.#following = Promise.all(this.#options.sources.map((source) => this.#follow(source)));
  }

  /** Resolves when there is a release. Rejects with SourceError if every mirror has failed. */
  async ready(): Promise<void> {
    while (this.#release === undefined) {
      if (this.#isClosed || this.#faults.size === this.#options.sources.length)
        throw new SourceError(this.trouble || 'the depot is not read any more');
      await new Promise<void>((resolve) => this.once('asked', resolve));
    }
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    for (const source of this.#options.sources) source.close();
    for (const end of [...this.#wakes.values(), ...this.#timers]) end();
    this.emit('asked'); // for callers of `ready`
    await this.#following;
  }

  // ── Heads ────────────────────────────────────────────────────────────────────────────────────────────────

  async #follow(source: DepotSource): Promise<void> {
    const { pollMs, random, logger, sources } = this.#options;
    const nearer = sources.slice(0, sources.indexOf(source));
    let bytes: Uint8Array | undefined;
    let isDue = false;
    source.onHead?.(() => {
      isDue = true;
      this.#wakes.get(source)?.();
    });
    for (let polls = 1; !this.#isClosed; ) {
      isDue = false;
      const before = this.#faults.get(source);
      try {
        // A spoiled head may have the ETag of the good one: nginx makes it of the second and the length.
        bytes = (await source.head(before !== undefined)) ?? bytes;
        if (bytes !== undefined) await this.#look(bytes, source);
        this.#faults.delete(source);
        if (before !== undefined) logger.info({ mirror: source.name }, 'the mirror is well again');
        polls = 1;
      } catch (error) {
        if (this.#isClosed) return;
        this.#faults.set(source, faultOf(error, source));
        polls = Math.min(polls * 2, POLLS_MAX);
        if (before === undefined) {
          logger.warn({ mirror: source.name }, faultOf(error, source));
          for (const wake of this.#wakes.values()) wake(); // another mirror may work
        }
      }
      this.#lookForMotion();
      this.emit('asked');
      const isSpare = nearer.some((other) => !this.#faults.has(other));
      const waitMs = pollMs * (isSpare ? POLLS_MAX : polls) * (0.9 + 0.2 * random());
      if (!isDue) await this.#pause(source, waitMs);
    }
  }

  #pause(source: DepotSource, ms: number): Promise<void> {
    return new Promise((resolve) => {
      const cancel = this.#options.clock.after(ms, resolve);
      this.#wakes.set(source, () => {
        cancel();
        resolve();
      });
      if (this.#isClosed) this.#wakes.get(source)?.();
    });
  }

  /** By the monotonic clock: heads that stand still are noticed even if the wall clock is wrong. */
  #lookForMotion(): void {
    if (this.#head === undefined) return;
    const { issued, expires } = this.#head;
    const { clock, logger } = this.#options;
    const isStill = clock.monotonicMs() - this.#headAtMs >= (expires - issued) * 1000;
    if (isStill === this.#isStill) return;
    this.#isStill = isStill;
    const fields = { issued: new Date(issued * 1000).toISOString() };
    if (!isStill) return logger.info(fields, 'there are newer heads again');
    const text =
      'no mirror has a newer head: the publisher is away, or somebody on the way holds newer ones back';
    logger.warn(fields, text);
  }

  /** Follows a mirror's head if it is newer. Throws SourceError and ProtocolError. */
  async #look(bytes: Uint8Array, source: DepotSource): Promise<void> {
    const { head, ...signed } = readDepotHead(bytes);
    if (Buffer.compare(head.lineage, this.#options.trust.lineage) !== 0)
      throw new SourceError(`${source.name}: its head is of another lineage`);
    if (head.rootNumber > (this.#roots.at(-1)?.root.number ?? 0)) await this.#followRoots(head.roots, source);
    const last = this.#roots.at(-1);
    if (last === undefined || Buffer.compare(last.hash, head.rootHash) !== 0)
      throw new SourceError(`${source.name}: its head is of another root than the one in force`);
    if (!isSignedBy(last.root, 'freshness', signed))
      throw new SourceError(`${source.name}: its head is not signed by keys of freshness`);
    await this.#take(head, source);
  }

  /** Appends later roots to the known ones. */
  async #followRoots(reference: ObjectReference, source: DepotSource): Promise<void> {
    const { rootHash, lineage } = this.#options.trust;
    if (reference.length > ROOTS_MAX_BYTES) throw new SourceError(`${source.name}: its roots are too long`);
    const text = Buffer.from(await this.#object(reference)).toString('latin1');
    const roots = (parseRoots(text) ?? []).map(readRoot);
    const at = roots.findIndex(({ hash }) => Buffer.compare(hash, rootHash) === 0);
    const [first, ...next] = roots.slice(at < 0 ? roots.length : at);
    if (first === undefined) throw new SourceError(`${source.name}: its roots lack the trusted one`);
    const chain = next.reduce(withRoot, rootsFrom(rootHash, lineage, first));
    const known = this.#roots;
    if (known.some(({ hash }, i) => chain[i] === undefined || Buffer.compare(hash, chain[i].hash) !== 0))
      throw new SourceError(`${source.name}: its roots differ from those that were accepted before`);
    this.#roots = chain;
    if (known.length > 0 && chain.length > known.length) this.emit('roots');
  }

  async #take(head: DepotHead, source: DepotSource): Promise<void> {
    const isNewer = (): boolean => this.#head === undefined || compareHead(head, this.#head) > 0;
    if (!isNewer()) return;
    const isKnown = Buffer.compare(this.#head?.page.sha256 ?? head.hash, head.page.sha256) === 0;
    const page = isKnown ? undefined : await this.#pageOf(head, source);
    if (!isNewer()) return; // another mirror was faster
    const isNews = page !== undefined && this.#turnTo(head, page);
    this.#head = head;
    this.#headAtMs = this.#options.clock.monotonicMs();
    if (isNews) this.emit('release');
  }

  async #pageOf(head: DepotHead, source: DepotSource): Promise<DepotPage> {
    if (head.page.length > DEPOT_PAGE_MAX_BYTES)
      throw new SourceError(`${source.name}: its page exceeds ${DEPOT_PAGE_MAX_BYTES} bytes`);
    const page = decodeDepotPage(await this.#object(head.page));
    if (Buffer.compare(manifestHash(page.signed.content), head.hash) !== 0)
      throw new SourceError(`${source.name}: its page is of another release than its head`);
    const lengths = [
      page.snapshot.reduce((sum, { length }) => sum + length, 0),
      ...page.deltas.map(({ length }) => length),
    ];
    if (Math.max(...lengths) > TRANSFER_MAX_BYTES)
      throw new SourceError(`${source.name}: its page has a stream that exceeds ${TRANSFER_MAX_BYTES} bytes`);
    return page;
  }

  /** Whether the head names another release. */
  #turnTo({ hash }: DepotHead, page: DepotPage): boolean {
    const before = this.#release;
    const way = before && this.#ways.get(before);
    if (way !== undefined && Buffer.compare(before?.hash ?? hash, hash) === 0) {
      way.page = page;
      return false;
    }
    way?.streams.clear(); // of a release that nobody is offered any more
    const { signatures, content } = page.signed;
    const { capabilities } = page;
    this.#release = {
      manifest: decodeManifest(content),
      manifestBytes: content,
      signatures,
      hash,
      capabilities,
    };
    this.#ways.set(this.#release, { page, streams: new Map() });
    return true;
  }

  // ── Objects ──────────────────────────────────────────────────────────────────────────────────────────────

  /**
   * The stream of a release for a subscriber that holds `base`: a delta, or the snapshot if there is none, or
   * it cannot be read. One copy serves all. Rejects with SourceError.
   */
  async stream(release: SessionRelease, base: Uint8Array | undefined): Promise<DepotStream> {
    const way = this.#ways.get(release);
    if (way === undefined) throw new TypeError('a release of another feed');
    const { page } = way;
    const delta = base && deltaFrom(page, base);
    if (delta !== undefined) {
      try {
        return { base, stream: await this.#kept([delta], way), id: undefined };
      } catch (error) {
        if (!(error instanceof SourceError)) throw error;
        this.#options.logger.warn({}, `a snapshot is read in place of a delta: ${error.message}`);
      }
    }
    const names = Buffer.concat(page.snapshot.map(({ sha256 }) => sha256));
    const id = referenceOf(names).sha256.slice(0, STREAM_ID_BYTES);
    return { base: undefined, stream: await this.#kept(page.snapshot, way), id };
  }

  #kept(pieces: readonly ObjectReference[], { streams }: Way): Promise<Uint8Array> {
    const [first] = pieces as readonly [ObjectReference];
    const known = streams.get(first);
    if (known !== undefined) return known;
    const made = Promise.all(pieces.map((piece) => this.#object(piece))).then(joined);
    const forget = (): void => void streams.delete(first);
    streams.set(first, made);
    made.then(() => {
      if (this.#isClosed) return;
      const cancel = this.#options.clock.after(KEPT_MS, () => {
        this.#timers.delete(cancel);
        forget();
      });
      this.#timers.add(cancel);
    }, forget);
    return made;
  }

  /**
   * An object from the nearest working mirror that has it; from each also past its caches. Throws
   * SourceError.
   */
  async #object(reference: ObjectReference): Promise<Uint8Array> {
    const isFaulty = (source: DepotSource): number => Number(this.#faults.has(source));
    const faults: string[] = [];
    for (const source of [...this.#options.sources].sort((a, b) => isFaulty(a) - isFaulty(b)))
      for (const isAgain of [false, true]) {
        try {
          const bytes = await source.object(reference, isAgain);
          if (isObject(bytes, reference)) return bytes;
          faults.push(`${source.name}: an object does not match its hash`);
        } catch (error) {
          faults.push(faultOf(error, source));
        }
      }
    throw new SourceError([...new Set(faults)].join('; '));
  }
}

function joined(pieces: readonly Uint8Array[]): Uint8Array {
  const [first] = pieces;
  return pieces.length === 1 && first !== undefined ? first : Buffer.concat(pieces);
}

/** The text of a mirror's fault. Throws any other error. */
function faultOf(error: unknown, source: DepotSource): string {
  if (error instanceof SourceError) return error.message;
  if (error instanceof ProtocolError) return `${source.name}: ${error.message}`;
  throw error;
}
