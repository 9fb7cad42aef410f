/**
 * What of a refusal a rule of the qube's own could open, by the release at the head: a name or an address
 * that `allow` takes. CONTROL.md "record refused".
 */

import { addressFromBytes, type WireRefused } from '@rulecast/protocol';
import {
  type Address,
  bitsOf,
  columnFor,
  EMPTY_PREFIX_SET,
  FIRST_POLICY,
  formatAddress,
  judgingPolicy,
  type PrefixSet,
  parseHostName,
  prefixCount,
  type RuleSet,
} from '@rulecast/rules';
import type { Publisher } from '../release/publisher.ts';

export class Proposals {
  readonly #publisher: Pick<Publisher, 'head'>;
  #ruleSet: RuleSet | undefined;
  /** Qubes by their addresses: there are few, and each is in many refusals. */
  readonly #areAlone = new Map<string, boolean>();

  constructor(publisher: Pick<Publisher, 'head'>) {
    this.#publisher = publisher;
  }

  /**
   * Undefined where no rule refused it, where it is accepted by now, where `first` drops it for all qubes,
   * which no rule of one is asked before, or where others share the policy of the qube.
   */
  of({ reason, direction, qube, remote, name, verdict }: WireRefused): string | undefined {
    if ((reason !== 'rule' && reason !== 'name') || direction !== 'egress') return undefined;
    if (verdict?.action !== 'drop' || verdict.policy === FIRST_POLICY) return undefined;
    if (!this.#isAlone(addressFromBytes(qube))) return undefined;
    if (name !== undefined && parseHostName(name).kind !== 'fault') return name;
    return reason === 'name' || remote === undefined ? undefined : formatAddress(addressFromBytes(remote));
  }

  /** Whether a policy is for this qube and for no other. */
  #isAlone(qube: Address): boolean {
    const ruleSet = this.#publisher.head?.ruleSet;
    if (ruleSet !== this.#ruleSet) this.#areAlone.clear();
    this.#ruleSet = ruleSet;
    const key = formatAddress(qube);
    const known = this.#areAlone.get(key);
    if (known !== undefined || ruleSet === undefined) return known ?? false;
    const isAlone = isOfOne(judgingPolicy(ruleSet, qube, 'egress')?.prefixes ?? EMPTY_PREFIX_SET);
    this.#areAlone.set(key, isAlone);
    return isAlone;
  }
}

/** Whether the prefixes of a policy are the address of one qube, in one family or in both. */
function isOfOne(prefixes: PrefixSet): boolean {
  const count = prefixCount(prefixes);
  return (
    count > 0 &&
    ([4, 6] as const).every((family) => {
      const { lengths } = columnFor(prefixes, family);
      return lengths.length === 0 || (lengths.length === 1 && lengths[0] === bitsOf(family));
    })
  );
}
