/**
 * Which two addresses are one qube's: those that a check of sources lets through by the same interface, where
 * it lets through one of each family there and no other. No other source is as good: QubesDB has a list of
 * addresses for each family, and does not say which are of the same qube (ADR 30).
 */

import { attribute, attributesOf, within } from '../kernel/attributes.ts';
import { ALLOWED_MAX } from '../limits.ts';

/** What may come by an interface; empty texts stand for any, or for several. */
export interface Allowed {
  readonly interface: string;
  /** 8 or 32 hex digits. */
  readonly address: string;
}

/** What a key of such a pair begins with: the name of the interface, and zeros. */
const NAME_BYTES = 16;
const KEY = 1;
const KEY_END = 10;

/** The pairs in a message about a set of them. */
export function* allowedIn(body: Buffer): Generator<Allowed> {
  for (const { value } of attributesOf(attribute(body, 3))) {
    const key = within(within(value, KEY), 1);
    const end = within(within(value, KEY_END), 1) ?? key;
    const isNamed = key !== undefined && end?.subarray(0, NAME_BYTES).equals(key.subarray(0, NAME_BYTES));
    const isOne = isNamed === true && end?.equals(key) === true;
    yield {
      interface: isNamed === true ? key.toString('latin1', 0, NAME_BYTES) : '',
      address: isOne ? key.toString('hex', NAME_BYTES) : '',
    };
  }
}

/**
 * By address the other one of its qube; empty: it has none. What two interfaces say differently, or one with
 * more addresses than a qube has, is not said.
 */
export function othersOf(allowed: readonly Allowed[]): ReadonlyMap<string, string> {
  const of = new Map<string, Set<string>>();
  for (const one of allowed) {
    if (one.interface === '' || allowed.length > ALLOWED_MAX) return new Map();
    of.set(one.interface, (of.get(one.interface) ?? new Set()).add(one.address));
  }
  const others = new Map<string, string>();
  const unsure = new Set<string>();
  for (const addresses of of.values()) {
    const [first = '', second = '', third] = addresses;
    const isOne = third === undefined && !addresses.has('') && first.length !== second.length;
    for (const address of addresses) {
      const other = address === first ? second : first;
      if (!isOne || (others.get(address) ?? other) !== other) unsure.add(address);
      others.set(address, other);
    }
  }
  unsure.delete('');
  return new Map([...others].filter((pair) => !pair.some((address) => unsure.has(address))));
}
