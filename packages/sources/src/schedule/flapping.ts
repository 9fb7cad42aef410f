/**
 * Feeds that go back and forth between a few contents, as one does whose servers disagree. Each change would
 * be a release. So a content that was there before is accepted less and less often; a new one at once,
 * however often new ones come.
 */

import { createHash } from 'node:crypto';
import type { List } from '@rulecast/rules';
import { Damper } from './damper.ts';

/** So many contents are remembered, for so long. Our choice. */
const CONTENTS_MAX = 8;
const REMEMBERED_MS = 86_400_000;

interface Content {
  readonly digest: string;
  readonly atMs: number;
}

export class Flapping {
  readonly #damper = new Damper();
  /** In the order of use, the last one last. */
  #contents: readonly Content[] = [];

  /**
   * The wait, by a monotonic clock, until a content may be accepted; 0: it is accepted now. With a permit it
   * is in any case.
   */
  takeInMs(list: List, nowMs: number, isPermitted: boolean): number {
    const digest = digestOf(list);
    if (digest === this.#contents.at(-1)?.digest) return 0;
    const known = this.#contents.filter(({ atMs }) => nowMs - atMs < REMEMBERED_MS);
    const others = known.filter((content) => content.digest !== digest);
    if (others.length < known.length) {
      const waitMs = this.#damper.waitMs(nowMs);
      if (waitMs > 0 && !isPermitted) return waitMs;
      this.#damper.spend(nowMs);
    }
    this.#contents = [...others.slice(1 - CONTENTS_MAX), { digest, atMs: nowMs }];
    return 0;
  }
}

function digestOf(list: List): string {
  const digest = createHash('sha256').update(list.kind);
  if (list.kind === 'names') digest.update(list.names.bytes).update('!').update(list.exceptions.bytes);
  else for (const { words, lengths } of [list.v4, list.v6]) digest.update(words).update(lengths);
  return digest.digest('base64');
}
