/** The members taken out of an archive: which are wanted, and how large they may be, counted as they come. */

import { UnpackError, UnpackErrorCode } from './error.ts';
import { wantedBy } from './glob.ts';
import { UNPACK_LIMITS } from './limits.ts';

/** A file out of an archive, in memory. */
export interface Member {
  /** With slashes between its directories; never leads out of the archive. */
  readonly name: string;
  /** The archive that it was in, if it was in one. */
  readonly archive?: string;
  /** The receiver owns the bytes. */
  readonly bytes: Uint8Array;
}

export interface HarvestLimits {
  /**
   * Globs of names; with `!` before it, of names that are not wanted. Without a slash they are about the last
   * part. Default: all.
   */
  readonly members?: readonly string[];
  /** Called for each file that is not wanted. */
  readonly onUnwanted?: (name: string) => void;
  /** The limit for all wanted members, including repeated names, as each was work. */
  readonly maxBytes: number;
  /** The limit for wanted members. */
  readonly maxMembers: number;
}

/** Receives one member. */
export interface Taker {
  /** Throws UnpackError `too-large`. */
  add(piece: Uint8Array): void;
  /** The member is whole. */
  done(): void;
}

/** Names that a message shows of members that could be wanted. */
const NAMES_SHOWN = 5;

export class Harvest {
  readonly #limits: HarvestLimits;
  readonly #isWanted: (name: string) => boolean;
  /** By name: of two members with one name the last is meant, as tar has it. */
  readonly #kept = new Map<string, Uint8Array>();
  #takenBytes = 0;
  #entryCount = 0;
  readonly #others: string[] = [];

  constructor(limits: HarvestLimits) {
    this.#limits = limits;
    this.#isWanted = wantedBy(limits.members);
  }

  /**
   * A receiver for the file of that name, if it is wanted. Throws UnpackError `unsafe-path` or
   * `too-many-members`.
   */
  want(rawName: string): Taker | undefined {
    const name = this.#count(rawName);
    if (!this.#isWanted(name)) {
      if (this.#others.length < NAMES_SHOWN) this.#others.push(name);
      this.#limits.onUnwanted?.(name);
      return undefined;
    }
    const { maxBytes, maxMembers } = this.#limits;
    if (this.#kept.size >= maxMembers && !this.#kept.has(name)) {
      const message = `more than ${maxMembers} files of the archive are wanted: name those that you mean with members:`;
      throw new UnpackError(UnpackErrorCode.tooManyMembers, message);
    }
    const pieces: Uint8Array[] = [];
    this.#kept.delete(name);
    return {
      add: (piece) => {
        this.#takenBytes += piece.length;
        if (this.#takenBytes > maxBytes) throw tooLarge(maxBytes);
        pieces.push(piece);
      },
      done: () => {
        this.#kept.set(name, Buffer.concat(pieces));
      },
    };
  }

  /**
   * An entry without bytes: a directory, a link, a device. Throws UnpackError `unsafe-path` or
   * `too-many-members`.
   */
  passBy(rawName: string): undefined {
    this.#count(rawName);
    return undefined;
  }

  /** The members taken, in the order of the archive. Throws UnpackError `no-member`. */
  members(): readonly Member[] {
    if (this.#kept.size > 0) return [...this.#kept].map(([name, bytes]) => ({ name, bytes }));
    const message =
      this.#others.length === 0
        ? 'the archive holds no files'
        : `no file of the archive is wanted; it holds ${this.#others.join(', ')}${this.#entryCount > NAMES_SHOWN ? ', …' : ''}: name those that you mean with members:`;
    throw new UnpackError(UnpackErrorCode.noMember, message);
  }

  #count(rawName: string): string {
    if (++this.#entryCount > UNPACK_LIMITS.entries) {
      const message = `the archive has more than ${UNPACK_LIMITS.entries} entries`;
      throw new UnpackError(UnpackErrorCode.tooManyMembers, message);
    }
    return safeName(rawName);
  }
}

export function tooLarge(maxBytes: number): UnpackError {
  return new UnpackError(UnpackErrorCode.tooLarge, `more than ${maxBytes} bytes come out of the archive`);
}

/**
 * No file is written under that name; still, an archive with a file `../x` is not to be trusted with the
 * rest.
 */
function safeName(rawName: string): string {
  const name = rawName.replace(/^(\.\/)+/, '');
  const parts = name.split('/');
  const isUnsafe =
    name.startsWith('/') || /^[a-z]:[/\\]/i.test(name) || parts.includes('..') || name.includes('\0');
  if (isUnsafe || name.length > UNPACK_LIMITS.nameChars) {
    const shown = JSON.stringify(rawName.slice(0, 100));
    throw new UnpackError(UnpackErrorCode.unsafePath, `the archive has a member with a bad name, ${shown}`);
  }
  return name;
}
