/** A thread that writes a table of which this one does the flips (owner-worker.mjs), and that may die. */

import { once } from 'node:events';
import { setImmediate } from 'node:timers/promises';
import { Worker } from 'node:worker_threads';
import type { RuleSet } from '@rulecast/rules';
import type { Random } from '../../../test/kit/random.mjs';
import { flipTable, Table, type TableFlip, type TableHandle } from '../src/index.ts';
import { ENVIRONMENT } from './release.ts';

interface Answer extends TableFlip {
  readonly generation: number;
  readonly isEdit: boolean;
}

const MAX_BYTES = 2 ** 28;

export class OwnerThread {
  readonly handle: TableHandle;
  deaths = 0;
  readonly #random: Random;
  #worker: Worker;
  #policies: RuleSet['policies'] | undefined; // that the thread knows

  constructor(random: Random) {
    this.handle = new Table({ maxBytes: MAX_BYTES }).handle();
    this.#random = random;
    this.#worker = this.#start();
  }

  /** Puts a rule set in force, now and then with one thread after the other; whether that was an edit. */
  async put(ruleSet: RuleSet): Promise<boolean> {
    const random = this.#random;
    for (;;) {
      const death = random.chance(0.01) ? random.below(3) : undefined;
      const answered = once(this.#worker, 'message');
      const isKnown = this.#policies === ruleSet.policies;
      const sent = isKnown ? { ...ruleSet, policies: undefined } : ruleSet;
      this.#policies = ruleSet.policies;
      this.#worker.postMessage({ ruleSet: sent, environment: ENVIRONMENT });
      if (death === 0) {
        for (let turns = random.below(20); turns > 0; turns--) await setImmediate();
        await this.#die();
        continue;
      }
      const [answer]: [Answer] = (await answered) as [Answer]; // of owner-worker.mjs
      if (death === 1) {
        await this.#die();
        continue;
      }
      flipTable(this.handle, answer);
      if (death === 2) await this.#die();
      else this.#worker.postMessage({ settled: answer.generation });
      return answer.isEdit;
    }
  }

  async close(): Promise<void> {
    await this.#worker.terminate();
  }

  #start(): Worker {
    return new Worker(new URL('./owner-worker.mjs', import.meta.url), {
      workerData: { handle: this.handle, maxBytes: MAX_BYTES, pinWaitMs: 60_000 },
    });
  }

  async #die(): Promise<void> {
    await this.#worker.terminate();
    this.deaths++;
    this.#policies = undefined;
    this.#worker = this.#start();
  }
}
