/**
 * What is known to go wrong, and needs the next version of the protocol: that one number is given to two
 * releases. The simulator has to find each way to it, and takes it for no failure where there was such a
 * reason.
 */

export interface Expected {
  readonly name: string;
  /** The two are of two publishers, or of one that came back from an earlier state. */
  readonly excuse: 'twin' | 'restored';
}

export const EXPECTED: readonly Expected[] = [
  { name: 'two publishers with one key give one number twice', excuse: 'twin' },
  { name: 'a restored backup overtakes what was released', excuse: 'restored' },
];
