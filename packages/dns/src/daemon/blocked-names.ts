/** Blocked questions to report to a subscriber, gathered and counted until it is their turn. */

import { HOST_NAME_MAX_BYTES, parseAddress } from '@rulecast/rules';
import { nameText } from '../message/name.ts';
import type { BlockedName } from '../pipe/frame.ts';
import type { TellOfBlocked } from '../proxy/machine.ts';

/** Waiting names of all qubes; beyond, a new one is only counted. Our choice. */
const WAITING_MAX = 256;
/** Bytes used of a frame, which has 2,048: the longest entry has 600 bytes. */
const TOLD_BYTES = 1400;
const ENTRY_BYTES = 16;

export class BlockedNames {
  readonly #waiting = new Map<string, BlockedName>();
  #lost = 0;

  get isEmpty(): boolean {
    return this.#waiting.size === 0 && this.#lost === 0;
  }

  readonly add: TellOfBlocked = (qube, name, at, { policy, rule }) => {
    const text = nameText(name, at).slice(0, HOST_NAME_MAX_BYTES); // `\DDD` of a byte makes it longer
    const key = `${qube} ${text}`;
    const known = this.#waiting.get(key);
    const address = parseAddress(qube);
    if (known !== undefined) this.#waiting.set(key, { ...known, count: known.count + 1 });
    else if (this.#waiting.size >= WAITING_MAX || address === undefined) this.#lost += 1;
    else this.#waiting.set(key, { count: 1, qube: address, name: text, policy, rule });
  };

  /** As many as a frame has room for, and how many were lost. */
  take(): { readonly names: readonly BlockedName[]; readonly lost: number } {
    const names: BlockedName[] = [];
    let bytes = 0;
    for (const [key, one] of this.#waiting) {
      if (bytes > TOLD_BYTES) break;
      const { name, policy, rule } = one;
      const texts = [key, policy, rule?.policy, rule?.block, rule?.list];
      bytes += texts.reduce((sum, text) => sum + (text?.length ?? 0), ENTRY_BYTES + name.length);
      names.push(one);
      this.#waiting.delete(key);
    }
    const lost = this.#lost;
    this.#lost = 0;
    return { names, lost };
  }
}
