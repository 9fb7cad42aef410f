/**
 * Resolves the names of a rule set before it takes its turn, so that no other release waits for DNS.
 */

import type { Turn } from '@rulecast/protocol';
import { checkPieces, inTurns, type RuleSet, usedNames } from '@rulecast/rules';
import type { Names } from '../names/names.ts';

export class PendingNames {
  readonly #names: Names;
  readonly #turn: Turn;
  readonly #waiting = new Set<RuleSet>();

  constructor(names: Names, turn: Turn) {
    this.#names = names;
    this.#turn = turn;
  }

  /**
   * Asks for the names that a rule set has and the head has not, and waits for them, though not for long. A
   * rule set that will be refused, such as one with too many names, asks for none.
   */
  async bring(ruleSet: RuleSet, head: RuleSet): Promise<void> {
    const problems = await inTurns(checkPieces(ruleSet), this.#turn);
    if (problems.some(({ severity }) => severity === 'fault')) return; // its draft reports the fault
    this.#waiting.add(ruleSet);
    try {
      await this.#turn();
      const known = new Set(usedNames(head));
      await this.#turn();
      await this.#names.bring(ruleSet, (name) => !known.has(name));
    } finally {
      this.#waiting.delete(ruleSet);
    }
  }

  /** Forgets all names except those of this rule set and of waiting ones. */
  keepOnly(ruleSet: RuleSet): void {
    this.#names.keepOnly(ruleSet, ...this.#waiting);
  }
}
