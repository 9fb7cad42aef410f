/**
 * A simulated signer: the real desk and its record, which is on the real disk, in a process that ends with
 * its publisher's. What it must never do, whatever is restored beside it, is looked for here.
 */

import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import {
  IdentityError,
  openIdentity,
  parseShared,
  readIdentity,
  sharedText,
} from '@rulecast/program/identity';
import { idOf } from '@rulecast/program/next-root';
import { decodeManifest, hexOf, manifestHash, publicBytes } from '@rulecast/protocol';
import { SignerDesk, UnsignableError } from '../../packages/publisher/src/signer/desk.ts';
import { readRecord, recordDirectory, writeRecord } from '../../packages/publisher/src/signer/record.ts';
import { type SignAnswer, type Signer, SignerError } from '../../packages/publisher/src/signer/signer.ts';
import type { IdentityKeeper } from '../../packages/publisher/src/store/state.ts';
import type { Random } from '../kit/random.mjs';
import { air } from './air.ts';
import { Violation } from './ledger.ts';

/** A request, and an answer, are so long on their way at most. */
const WAY_MS = 3;

/** What a record says; undefined where nothing was signed. */
export type SignerRecordText = string | undefined;

/** The place of one signer, for many processes of it, one after the other. */
export class SignerPlace {
  readonly #identityFile: string;
  readonly #random: Random;
  readonly #onUsed: () => void;
  /** What is written from now on is said to be on disk, and is not before something honest is. */
  isLying = false;
  /** What is on disk, where that is older than what is written. */
  #flushed: { readonly text: SignerRecordText } | undefined;
  /** What was signed since the record was lost, by key and number: the hash, hex. */
  #signed = new Map<string, string>();

  /** `onUsed` is called where it has signed another release above what it is to sign. */
  constructor(identityFile: string, random: Random, onUsed: () => void) {
    this.#onUsed = onUsed;
    this.#identityFile = identityFile;
    this.#random = random;
    mkdirSync(recordDirectory(identityFile), { mode: 0o700, recursive: true });
  }

  get record(): SignerRecordText {
    return existsSync(this.#file) ? readFileSync(this.#file, 'utf8') : undefined;
  }

  /** Puts another record in its place. What was signed after that, it does not know any more. */
  restore(text: SignerRecordText): void {
    this.#flushed = undefined;
    if (text === this.record) return;
    this.#signed = new Map();
    if (text === undefined) rmSync(this.#file, { force: true });
    else writeFileSync(this.#file, text, { mode: 0o600 });
  }

  /** The power goes, after the process. */
  cutPower(): void {
    if (this.#flushed !== undefined) this.restore(this.#flushed.text);
  }

  /** One process, for one of its publisher. */
  start(): Signer & IdentityKeeper {
    let desk: { readonly desk: SignerDesk; readonly by: string } | undefined;
    const identity = async (): ReturnType<IdentityKeeper['identity']> => {
      await this.#way();
      const found = readIdentity(this.#identityFile);
      return found && parseShared(sharedText(found), false);
    };
    return {
      identity,
      make: () => Promise.reject(new SignerError('there is an identity')),
      sign: async (bytes) => {
        await this.#way();
        desk ??= this.#deskOf();
        const answer = signedBy(desk.desk, bytes);
        if (answer.kind === 'used') this.#onUsed();
        else this.#check(desk.by, bytes);
        await this.#way();
        return answer;
      },
    };
  }

  /** The desk, and by whose keys. */
  #deskOf(): { readonly desk: SignerDesk; readonly by: string } {
    const identity = openIdentity(this.#identityFile);
    const directory = recordDirectory(this.#identityFile);
    const by = identity.releaseKeys.map((key) => idOf(publicBytes(key))).join(' ');
    const desk = new SignerDesk(identity, readRecord(directory, identity), (record) => {
      const before = this.isLying ? (this.#flushed ?? { text: this.record }) : undefined;
      writeRecord(directory, identity.lineage, record);
      this.#flushed = before;
    });
    return { desk, by };
  }

  /** A key signs one release a number, as long as its record is there. Throws Violation. */
  #check(by: string, bytes: Uint8Array): void {
    const { epoch, version } = decodeManifest(bytes);
    const number = `${by} ${epoch}/${version}`;
    const hash = hexOf(manifestHash(bytes));
    const before = this.#signed.get(number) ?? hash;
    this.#signed.set(number, before);
    if (before === hash) return;
    throw new Violation('signed-twice', `${hash} and ${before} are signed by ${number}`);
  }

  #way(): Promise<void> {
    return air.sleep(this.#random.below(100) * 0.01 * WAY_MS);
  }

  get #file(): string {
    return join(recordDirectory(this.#identityFile), 'last');
  }
}

/** As its process answers: what is refused is said, and what is none of that ends it. */
function signedBy(desk: SignerDesk, bytes: Uint8Array): SignAnswer {
  try {
    return desk.sign(bytes);
  } catch (cause) {
    if (!(cause instanceof IdentityError || cause instanceof UnsignableError)) throw cause;
    throw new SignerError(`the signer refuses: ${cause.message}`, { cause });
  }
}
