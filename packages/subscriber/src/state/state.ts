/**
 * A subscriber's state on disk, so that a restart enforces the same release as before.
 *
 *   active                one small text file: the signed manifest in force, and so the floor; replaced by rename
 *   <hash>.release        one file a release, written before the release is in force
 *   *.part                both of them, written and flushed while it is verified that they may have their names
 *   clock                 one small text file: what clock.ts keeps of this boot
 *   roots                 a text file: whom it believes, a root a line, from that of the trust line on
 *   copy/                 all of this once more, written right after it
 *
 * A release file holds the signed manifest and the stream it came in: a snapshot, or the deltas from another
 * release whose file is kept too. So a delta costs its own bytes on disk, twice. When the deltas of a chain
 * weigh twice the snapshot at its foot, the file of the release in force is replaced by a snapshot.
 * Everything read back is verified like something received.
 *
 * In a directory of protocol 1, the mark still is the floor, and roots and clock are used; its releases stay
 * until the first of protocol 2 is in force.
 *
 * Each file is read from where it is intact (shelf.ts), and a damaged or missing copy is written again. If
 * both copies are damaged, the newest release whose chain is whole is in force, and the floor stays.
 */

import { join } from 'node:path';
import { DirectoryError } from '@rulecast/program/directory';
import {
  compareRelease,
  decodeManifest,
  formatRoots,
  hexOf,
  joinSigned,
  manifestHash,
  parseRoots,
  type Signed,
} from '@rulecast/protocol';
import type { StoredClock } from '../clock/clock.ts';
import { type Disk, NODE_DISK } from './disk.ts';
import { encodeRelease, fileName, type StoredRelease, signedIn } from './release-file.ts';
import { noteChunks, Shelf, StateError } from './shelf.ts';

export type { StoredRelease } from './release-file.ts';
export { StateError } from './shelf.ts';

/**
 * The release in force, and the newest one that ever was: nothing older is taken again, even if its file is
 * lost.
 */
export interface ActiveMark extends SignedManifest {
  readonly lineage: Uint8Array;
  readonly hash: Uint8Array;
  readonly epoch: number;
  readonly version: number;
}

/** By which a release is proved, also where it is lost itself. */
type SignedManifest = Pick<StoredRelease, 'manifestBytes' | 'signatures'>;

/** The content of the directory at a start. */
export interface FoundState {
  /** The newest first; undefined hashes are of releases that are not there. */
  readonly marks: readonly ActiveMark[];
  /** Whether the newest mark is known to be that: its own file is intact. */
  readonly isMarked: boolean;
  /** Every release of which a file is intact, in no order, in force or not. */
  readonly releases: readonly StoredRelease[];
}

/** Most files of one chain: a start replays no more deltas. */
const CHAIN_MAX_FILES = 256;
/**
 * The deltas of a chain may weigh so many times the snapshot at its foot: encoding another takes longer than
 * a write.
 */
const CHAIN_MAX_WEIGHT = 2;
/**
 * Deltas of so little weight are left alone, however small the snapshot: files take whole blocks of a disk.
 */
const CHAIN_LIGHT_BYTES = 64 * 1024;
/** The least size of a snapshot by entry, except for lists of neighbours: 0.8 to 1.7 bytes were measured. */
const SNAPSHOT_ENTRY_BYTES = 1;
const MARK = 'active';
/** 4: of protocol 1. */
const MARK_NOTE = /^rulecast-active [45]\n([0-9a-f]{2,65536})\n$/;
/** Marks that can be read, and those of protocol 1. */
const READ_MARK_NOTE = /^rulecast-active 5\n/;
const OLD_MARK_NOTE = /^rulecast-active [1234]\n/;
const CLOCK_NOTE = /^rulecast-clock 1\n(\S{1,64}) (\d{1,16}) (\d{1,16}) (\d{1,16})\n$/;

export interface StateEvents {
  /** A sentence about a file that is damaged. */
  readonly onDamage: (text: string) => void;
  /** The second copy could not be written, or what is of no use not removed; all that matters is on disk. */
  readonly onUntidy: (error: unknown) => void;
}

export class StateDirectory {
  readonly #directory: string;
  readonly #main: Shelf;
  readonly #copy: Shelf;
  readonly #events: StateEvents;
  #mark: SignedManifest | undefined; // the mark for both copies
  #drafted: StoredRelease | undefined; // it and its mark are flushed, and have no names yet
  #copied: ReadonlySet<string> = new Set(); // files that the copy has
  #copying: Promise<void> = Promise.resolve();
  #roots: readonly Signed[] = []; // the roots for both copies
  /** A file of the chain is intact in neither copy. Only a new snapshot, from memory, repairs that. */
  #isTorn = false;
  /** The weight on disk of the active release's chain, to tell when a snapshot is due. */
  #chain: {
    readonly snapshotBytes: number;
    readonly deltaBytes: number;
    readonly files: readonly string[];
  } = { snapshotBytes: 0, deltaBytes: 0, files: [] };

  /** Makes the directory (mode 0700) if missing. Throws StateError. */
  constructor(directory: string, events: StateEvents, disk: Disk = NODE_DISK) {
    this.#directory = directory;
    this.#events = events;
    this.#main = new Shelf(directory, events.onDamage, disk);
    this.#copy = new Shelf(join(directory, 'copy'), events.onDamage, disk);
    try {
      disk.makeDirectory(directory);
    } catch (cause) {
      if (!(cause instanceof DirectoryError)) throw cause;
      throw new StateError(`the state directory ${cause.message}`, { cause });
    }
  }

  // ── Reading ──────────────────────────────────────────────────────────────────────────────────────────────

  /** Reads every file; damaged ones are reported and renamed. Throws StateError if files may not be read. */
  find(): FoundState {
    const marked = readMark(this.#main);
    const marks = [marked, readMark(this.#copy)].flatMap((mark) => mark ?? []);
    marks.sort((a, b) => compareRelease(b, a));
    const releases = new Map<string, StoredRelease>();
    const copied = new Set<string>();
    for (const shelf of [this.#main, this.#copy]) {
      for (const file of shelf.releaseFiles()) {
        const release = shelf.readRelease(file);
        if (release === undefined) continue;
        const own = releases.get(file) ?? release;
        releases.set(file, own);
        if (shelf === this.#copy && isSameForm(own, release)) copied.add(file);
      }
    }
    this.#copied = copied;
    this.#mark = marks[0];
    return { marks, isMarked: marked !== undefined, releases: [...releases.values()] };
  }

  /**
   * Why nothing that it marks can be in force: it is of a version whose releases this one cannot read.
   * Undefined where it is not, or may not be read, which is told of when the release is looked for.
   */
  get outdated(): string | undefined {
    const notes = [this.#main, this.#copy].map((shelf) => noteOf(shelf, MARK) ?? '');
    const isOld = notes.some((note) => OLD_MARK_NOTE.test(note));
    if (!isOld || notes.some((note) => READ_MARK_NOTE.test(note))) return undefined;
    return `the state directory ${this.#directory} is of Rulecast 0.2 or before, whose releases this version cannot read: they are set aside, and roots, floor and clock stay; upgrade the publisher, and push again`;
  }

  /**
   * The files that make the release with that hash, snapshot first. Throws StateError where one is nowhere
   * intact.
   */
  readChain(hash: Uint8Array): readonly StoredRelease[] {
    const chain: StoredRelease[] = [];
    let next: Uint8Array | undefined = hash;
    while (next !== undefined) {
      if (chain.length === CHAIN_MAX_FILES) throw new StateError('the chain of release files has no end');
      const file: string = fileName(next);
      const release: StoredRelease | undefined = this.#main.readRelease(file) ?? this.#copy.readRelease(file);
      if (release === undefined) throw new StateError(`${file} is missing or damaged in ${this.#directory}`);
      chain.push(release);
      next = release.base;
    }
    this.#noteChain(chain);
    return chain.reverse();
  }

  #noteChain(newestFirst: readonly StoredRelease[]): void {
    const snapshotBytes = newestFirst.at(-1)?.stream.length ?? 0;
    let deltaBytes = -snapshotBytes;
    for (const release of newestFirst) deltaBytes += release.stream.length;
    this.#chain = { snapshotBytes, deltaBytes, files: newestFirst.map((release) => fileName(release.hash)) };
  }

  /**
   * The stored clock; undefined if there is none, or it is damaged or unreadable, which is reported with the
   * release. Then this boot counts as new.
   */
  readClock(): StoredClock | undefined {
    const match = CLOCK_NOTE.exec(noteOf(this.#main, 'clock') ?? noteOf(this.#copy, 'clock') ?? '');
    if (match === null) return undefined;
    const [wallMs = 0, bootMs = 0, ended = 0] = match.slice(2).map(Number);
    return { bootId: match[1] ?? '', wallMs, bootMs, ended };
  }

  /**
   * The roots that were kept, of whichever place has more; nothing where they are damaged in both, or not to
   * be read: the publisher sends them again.
   */
  readRoots(): readonly Signed[] {
    const [main, copy] = [this.#main, this.#copy].map(
      (shelf) => parseRoots(noteOf(shelf, 'roots') ?? '') ?? [],
    );
    this.#roots = (main?.length ?? 0) >= (copy?.length ?? 0) ? (main ?? []) : (copy ?? []);
    return this.#roots;
  }

  /** Whether no further delta may be put on the chain of the active release: it is long, or not whole. */
  get isChainFull(): boolean {
    return this.#isTorn || this.#chain.files.length >= CHAIN_MAX_FILES - 1;
  }

  /**
   * Whether the chain of the active release, which has so many entries and rules, had better be one snapshot:
   * it takes three times the room of one, or a start would have to read half of the most files. A list that
   * came whole upon a small snapshot is no reason: another would weigh as much.
   */
  isChainHeavy(entries: number): boolean {
    const { deltaBytes, snapshotBytes, files } = this.#chain;
    const wholeBytes = Math.max(snapshotBytes, entries * SNAPSHOT_ENTRY_BYTES);
    const lightBytes = Math.max(CHAIN_LIGHT_BYTES, CHAIN_MAX_WEIGHT * wholeBytes);
    return this.#isTorn || deltaBytes > lightBytes || files.length > CHAIN_MAX_FILES / 2;
  }

  // ── Writing ──────────────────────────────────────────────────────────────────────────────────────────────

  /**
   * Drafts a release and its mark: writes both beside their final places, so that only a rename is left if it
   * comes into force. On disk when it resolves. Throws StateError.
   */
  async draft(release: StoredRelease): Promise<void> {
    await this.#copying; // of the one before: at most one release waits for its copy
    this.#drafted = undefined;
    await this.#written(() =>
      this.#main.draft([
        [fileName(release.hash), encodeRelease(release)],
        [MARK, noteChunks(markBody(release))],
      ]),
    );
    this.#drafted = release;
  }

  /**
   * Gives the file of a release that may come into force next its name, after drafting it if it was not; on
   * disk when it resolves. Throws StateError.
   */
  async writeCandidate(release: StoredRelease): Promise<void> {
    if (this.#drafted !== release) await this.draft(release);
    await this.#written(() => this.#main.place(fileName(release.hash)));
  }

  async #written(write: () => Promise<void>): Promise<void> {
    try {
      await write();
    } catch (cause) {
      throw new StateError(`cannot write to the state directory ${this.#directory}; is the disk full?`, {
        cause,
      });
    }
  }

  /** Marks a written candidate as the release in force; then removes unneeded files. Throws StateError. */
  async markActive(release: StoredRelease): Promise<void> {
    const isDrafted = this.#drafted === release;
    this.#drafted = undefined;
    try {
      await (isDrafted ? this.#main.place(MARK) : writeMark(this.#main, release));
    } catch (cause) {
      throw new StateError(`cannot mark the release active in ${this.#directory}; is the disk full?`, {
        cause,
      });
    }
    const { hash, manifestBytes, signatures } = release;
    this.#mark = { manifestBytes, signatures }; // without its stream, which may be large
    const file = fileName(hash);
    const bytes = release.stream.length;
    if (release.base === undefined) this.#startChain(file, bytes);
    else {
      const { snapshotBytes, deltaBytes, files } = this.#chain;
      this.#chain = { snapshotBytes, deltaBytes: deltaBytes + bytes, files: [file, ...files] };
    }
    this.#tidy();
    this.#copyLater(release);
  }

  /**
   * Replaces the file of the active release by one that starts from nothing, then drops the others. Throws
   * StateError.
   */
  async compact(release: StoredRelease): Promise<void> {
    await this.#copying;
    const file = fileName(release.hash);
    await this.#written(() => this.#main.writeRelease(file, encodeRelease(release)));
    this.#startChain(file, release.stream.length);
    this.#tidy();
    this.#copyLater(release);
  }

  /** Removes unneeded files if it can; the next release removes the rest. */
  #tidy(): void {
    try {
      this.#main.keepOnly(this.#chain.files);
    } catch (error) {
      this.#events.onUntidy(error);
    }
  }

  #startChain(file: string, snapshotBytes: number): void {
    this.#chain = { snapshotBytes, deltaBytes: 0, files: [file] };
    this.#isTorn = false;
  }

  /**
   * Removes a candidate that did not come into force, drafted or written, if it can; a later release removes
   * the rest. Does not throw.
   */
  dropCandidate(hash: Uint8Array): void {
    const file = fileName(hash);
    this.#drafted = undefined;
    try {
      for (const draft of [MARK, file]) this.#main.removeDraft(draft);
      if (!this.#chain.files.includes(file)) this.#main.remove(file);
    } catch {
      // The directory itself is in trouble, which the failed write has told already.
    }
  }

  /** Stores the trusted roots; on disk when it resolves. Throws StateError. */
  async writeRoots(roots: readonly Signed[]): Promise<void> {
    const body = formatRoots(roots);
    await this.#writeNote('roots', body, 'a root');
    this.#roots = roots;
  }

  /** Stores the clock's state for a restart. Throws StateError. */
  async writeClock({ bootId, wallMs, bootMs, ended }: StoredClock): Promise<void> {
    const numbers = [wallMs, bootMs, ended].map((number) => Math.max(0, Math.floor(number)));
    const body = `rulecast-clock 1\n${bootId} ${numbers.join(' ')}\n`;
    await this.#writeNote('clock', body, 'the clock');
  }

  /**
   * On disk when it resolves; a copy that cannot be written is told, as that of a release. Throws StateError.
   */
  async #writeNote(name: 'clock' | 'roots', body: string, what: string): Promise<void> {
    try {
      await this.#main.writeNote(name, body);
    } catch (cause) {
      throw new StateError(`cannot keep ${what} in ${this.#directory}; is the disk full?`, { cause });
    }
    await this.#copy.writeNote(name, body).catch(this.#events.onUntidy);
  }

  /**
   * After a start and once the chain is read: writes files that one of the copies lacks; `mark` is the floor.
   * A failure is reported.
   */
  heal(mark: SignedManifest): void {
    this.#mark = mark;
    const { files } = this.#chain;
    this.#copying = this.#copying
      .then(async () => {
        for (const file of files) {
          if (this.#main.readRelease(file) !== undefined) continue;
          const release = this.#copy.readRelease(file);
          if (release !== undefined) await this.#main.writeRelease(file, encodeRelease(release));
        }
        await this.#healRoots(this.#main);
        if (!isMark(readMark(this.#main), mark)) await writeMark(this.#main, mark);
      })
      .catch(this.#events.onUntidy);
    void this.mend();
  }

  /**
   * Brings the copy up to the directory's state; resolves to whether that is done. A failure is reported. The
   * directory itself is not touched: a release may be coming into force.
   */
  mend(): Promise<boolean> {
    const mended = this.#copying
      .then(async () => {
        if (this.#chain.files.length === 0) return true; // nothing is in force
        await this.#healRoots(this.#copy);
        await this.#copyNow(undefined);
        return true;
      })
      .catch((error: unknown) => {
        this.#events.onUntidy(error);
        return false;
      });
    this.#copying = mended.then(() => undefined);
    return mended;
  }

  async #healRoots(shelf: Shelf): Promise<void> {
    const body = formatRoots(this.#roots);
    if (noteOf(shelf, 'roots') !== body) await shelf.writeNote('roots', body);
  }

  /** Resolves when nothing is being written any more. */
  async settled(): Promise<void> {
    await this.#copying;
  }

  #copyLater(release: StoredRelease): void {
    this.#copying = this.#copying.then(() => this.#copyNow(release)).catch(this.#events.onUntidy);
  }

  /**
   * Brings the copy up to the directory's state: releases first, then the mark, so that it is whole at every
   * moment.
   */
  async #copyNow(release: StoredRelease | undefined): Promise<void> {
    const mark = this.#mark;
    const { files } = this.#chain;
    const latest = release === undefined ? undefined : fileName(release.hash);
    // Until it is written, the copy may have the same release upon a base that the chain has no more.
    this.#copied = new Set([...this.#copied].filter((file) => file !== latest));
    for (const file of files) {
      if (this.#copied.has(file)) continue;
      const stored = file === latest ? release : this.#main.readRelease(file);
      if (stored !== undefined) await this.#copy.writeRelease(file, encodeRelease(stored));
      else this.#isTorn ||= this.#chain.files.includes(file); // not of a chain that has gone meanwhile
    }
    if (mark !== undefined && !isMark(readMark(this.#copy), mark)) await writeMark(this.#copy, mark);
    this.#copied = new Set(files);
    this.#copy.keepOnly(files);
  }
}

/** Undefined also if it may not be read, which is reported with the release. */
function noteOf(shelf: Shelf, name: typeof MARK | 'clock' | 'roots'): string | undefined {
  try {
    return shelf.readNote(name);
  } catch (error) {
    if (error instanceof StateError) return undefined;
    throw error;
  }
}

function readMark(shelf: Shelf): ActiveMark | undefined {
  const match = MARK_NOTE.exec(shelf.readNote(MARK) ?? '');
  if (match === null) return undefined;
  const signed = signedIn(Buffer.from(match[1] ?? '', 'hex'));
  if (signed === undefined) return undefined;
  const { signatures, content: manifestBytes } = signed;
  const { lineage, epoch, version } = decodeManifest(manifestBytes);
  return { lineage, hash: manifestHash(manifestBytes), epoch, version, manifestBytes, signatures };
}

function writeMark(shelf: Shelf, marked: SignedManifest): Promise<void> {
  return shelf.writeNote(MARK, markBody(marked));
}

function markBody({ signatures, manifestBytes }: SignedManifest): string {
  const signed = hexOf(joinSigned({ signatures, content: manifestBytes }));
  return `rulecast-active 5\n${signed}\n`;
}

/** Whether two files of one release start from the same one. */
function isSameForm({ base }: StoredRelease, other: StoredRelease): boolean {
  return Buffer.from(base ?? []).equals(other.base ?? new Uint8Array());
}

function isMark(found: ActiveMark | undefined, { manifestBytes }: SignedManifest): boolean {
  return found !== undefined && Buffer.from(found.manifestBytes).equals(manifestBytes);
}
