/**
 * Transactions with the kernel. Each raises the generation of the ruleset by one, which shows whether another
 * program had one in between.
 */

import type { Command } from '../kernel/commands.ts';
import type { Netlink, TableInfo } from '../kernel/netlink.ts';
import { BASE_CHAIN } from '../kernel/script.ts';

export class Transactions {
  readonly netlink: Netlink;
  #generation: number;
  #foreign = false;

  constructor(netlink: Netlink) {
    this.netlink = netlink;
    this.#generation = netlink.generation();
  }

  /** One transaction. Throws NativeError. */
  run(commands: Iterable<Command>): void {
    this.transact(() => this.netlink.run(commands));
  }

  /** Does what is one transaction, and counts it. */
  transact<T>(work: () => T): T {
    this.#compareGeneration();
    try {
      return work();
    } finally {
      const now = this.netlink.generation();
      if (now > this.#generation + 1) this.#foreign = true;
      this.#generation = now;
    }
  }

  /** Whether another program changed the ruleset since the last call; takes 3 µs. */
  takeForeign(): boolean {
    this.#compareGeneration();
    const isForeign = this.#foreign;
    this.#foreign = false;
    return isForeign;
  }

  #compareGeneration(): void {
    const now = this.netlink.generation();
    if (now !== this.#generation) this.#foreign = true;
    this.#generation = now;
  }

  find(table: string): TableInfo | undefined {
    return this.netlink.tables().find(({ name }) => name === table);
  }

  /** Whether packets get there. */
  isHooked(table: string): boolean {
    return this.netlink.isHooked(table, BASE_CHAIN);
  }
}
