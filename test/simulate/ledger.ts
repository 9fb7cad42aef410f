/**
 * What was promised, by everybody, ever: the releases that publishers made, what each subscriber had in force
 * and when. What is seen is compared with it.
 */

import { compareRelease, hexOf, type Signed, signersIn } from '@rulecast/protocol';
import type { Release } from '@rulecast/publisher';
import { air } from './air.ts';
import { type Answers, acceptEnd, possibleAnswers } from './content.ts';

/** Something that must never be was seen. */
export class Violation extends Error {
  readonly code: string;

  constructor(code: string, text: string) {
    super(`${code}: ${text}`);
    this.code = code;
  }
}

export interface Numbered {
  readonly epoch: number;
  readonly version: number;
}

/** A release that a publisher told of. */
export interface Published extends Numbered {
  /** Hex. */
  readonly hash: string;
  readonly answers: readonly Answers[];
  readonly acceptEnd: number | undefined;
  readonly by: string;
  readonly signed: Signed;
  /** The hash of the release before it in its epoch, where its publisher knows one. */
  readonly parent: string | undefined;
}

/** One and the same release in force, for a time. */
interface Spell extends Numbered {
  readonly hash: string;
  readonly fromMs: number;
  toMs: number;
}

export class Ledger {
  readonly published = new Map<string, Published>();
  /** Publishers that had a wrong bit: what they released before may not be there. */
  readonly forgetful = new Set<string>();
  readonly #byNumber = new Map<string, string>();
  /** By publisher. */
  readonly #abandoned = new Map<string, Set<string>>();
  readonly #spells = new Map<string, Spell[]>();
  /** By publisher: its newest release, by hash. */
  readonly #heads = new Map<string, string>();
  /** Until when a release was that of a publisher. */
  readonly #wasHeadUntilMs = new Map<string, number>();
  readonly #mayRelease: (signed: Signed) => boolean;

  /** `mayRelease` says whether who signed something still may by the newest root. */
  constructor(mayRelease: (signed: Signed) => boolean) {
    this.#mayRelease = mayRelease;
  }

  /** Whether a release binds anybody: what keys signed that a root has taken away does not. */
  binds(hash: string): boolean {
    const release = this.published.get(hash);
    return release !== undefined && this.#mayRelease(release.signed);
  }

  /**
   * A publisher made a release, of the one before. Returns another one of its number and its keys, if there
   * is one.
   */
  publish(release: Release, by: string, parent: string | undefined): Published | undefined {
    const { epoch, version } = release.manifest;
    const hash = hexOf(release.hash);
    if (this.published.has(hash)) return undefined;
    const { ruleSet, signatures, manifestBytes: content } = release;
    this.published.set(hash, {
      epoch,
      version,
      hash,
      by,
      signed: { signatures, content },
      parent,
      answers: possibleAnswers(ruleSet),
      acceptEnd: acceptEnd(ruleSet),
    });
    const number = `${signersIn(signatures).join(' ')} ${epoch}/${version}`; // other keys may give it again
    const other = this.#byNumber.get(number);
    this.#byNumber.set(number, hash);
    return this.published.get(other ?? '');
  }

  /** Whether a release was made of another, over whatever came between; else they are of two branches. */
  comesOf(hash: string, from: string): boolean {
    for (let at = this.published.get(hash); at !== undefined; at = this.published.get(at.parent ?? '')) {
      if (at.hash === from) return true;
    }
    return false;
  }

  /** What a publisher has for the newest from now on; undefined: nothing, or it is gone for good. */
  headIs(by: string, hash: string | undefined): void {
    const before = this.#heads.get(by);
    if (before === hash) return;
    if (before !== undefined) this.#wasHeadUntilMs.set(before, air.nowMs);
    if (hash === undefined) this.#heads.delete(by);
    else this.#heads.set(by, hash);
  }

  /** Whether a release was the newest of a publisher at some time since then. */
  wasNewest(hash: string, sinceMs: number): boolean {
    return [...this.#heads.values()].includes(hash) || (this.#wasHeadUntilMs.get(hash) ?? 0) >= sinceMs;
  }

  /** A publisher has lost its releases above a number, and does not know that it made them. */
  abandonAbove(number: Numbered, by: string): void {
    const above = [...this.published.values()].filter((published) => isBelow(number, published));
    this.#abandoned.set(by, new Set([...this.#abandonedBy(by), ...above.map(({ hash }) => hash)]));
  }

  isAbandoned({ hash }: Published, by: string): boolean {
    return this.#abandonedBy(by).has(hash);
  }

  #abandonedBy(by: string): Set<string> {
    return this.#abandoned.get(by) ?? new Set();
  }

  /** A subscriber says that this is in force. */
  inForce(subscriber: string, hash: string): void {
    const spells = this.#spells.get(subscriber) ?? [];
    this.#spells.set(subscriber, spells);
    const last = spells.at(-1);
    if (last?.hash === hash) last.toMs = air.nowMs;
    else {
      const { epoch, version } = this.published.get(hash) ?? { epoch: 0, version: 0 };
      spells.push({ hash, epoch, version, fromMs: air.nowMs, toMs: air.nowMs });
      if (spells.length > 200) spells.shift();
    }
  }

  /** Whether it had that in force since then. */
  had(subscriber: string, hash: string, sinceMs: number): boolean {
    return (this.#spells.get(subscriber) ?? []).some((spell) => spell.hash === hash && spell.toMs >= sinceMs);
  }
}

export function isBelow(one: Numbered, other: Numbered): boolean {
  return compareRelease(one, other) < 0;
}
