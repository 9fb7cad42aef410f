/**
 * Our tables in the kernel: a release is built in the one of two that is not in force, and one small
 * transaction puts it in force.
 *
 *   1  staged: objects, elements and rules of the new table, in pieces; without base chain no packet gets there
 *   2  released: its base chain; from here on both judge, and a packet has to be accepted by both
 *   3  the base chain of the old table goes, in a transaction of its own: to delete more would change maps under packets on their way
 *   4  the old table is emptied in pieces and deleted, when nothing else is to be done
 *
 * A table is owned by our socket, and persists when it closes (Linux 6.9, nft 1.1): nobody else can change
 * it, and the next applier adopts it. Without that, the generation of the ruleset is read every 25 ms to
 * notice changes by others. If the table in force is gone, another one lets nothing pass until it is loaded
 * again.
 */

import { setImmediate as nextTurn, setTimeout as pause } from 'node:timers/promises';
import { isDeepStrictEqual } from 'node:util';
import { addChain, addRule, addTable, type Command, deleteTable } from '../kernel/commands.ts';
import { classPieces, keyPieces, mapPieces, type Piece } from '../kernel/elements.ts';
import { NativeError } from '../kernel/native.ts';
import type { Netlink, TableInfo } from '../kernel/netlink.ts';
import { BASE_CHAIN, closedCommands, markingRule, parseTagChain, scriptOf } from '../kernel/script.ts';
import { CAPTURE_TABLE, CLOSED_TABLE, FLOW_MARK_MAX, PIECE_COMMANDS, TABLES } from '../limits.ts';
import type { Change, NameSet, Tag } from '../plan/change.ts';
import { kernelBytesOf } from '../plan/memory.ts';
import { parseNameSetName } from '../plan/name-set.ts';
import { Cleaner, type Counts } from './cleaner.ts';
import { Openings } from './openings.ts';
import { Transactions } from './transactions.ts';

/** A change by another program. */
export type Notice =
  /** Our table is not in force any more; nothing is to pass until it is loaded again. */
  | 'gone'
  /** The table is in force; its content may have changed. */
  | 'changed'
  /** Something was changed, but our table cannot have been. */
  | 'elsewhere';

export interface TablesOptions {
  readonly downstreamGroup: number;
  /** The NFLOG group of refused packets; undefined: they are not logged. */
  readonly logGroup?: number | undefined;
  /** Kernel memory that both tables together may take. */
  readonly kernelMib: number;
  /** A table was in force before, so that there must be one: without, nothing passes. */
  readonly again: boolean;
}

/**
 * How often to try to adopt a table whose owner was killed, which takes the kernel a moment; and the pause
 * between.
 */
const ADOPT_TRIES = 200;
const ADOPT_PAUSE_MS = 5;
const MIB = 1_048_576;
/**
 * A table to probe whether tables can be owned: not before Linux 6.9, nor if another process owns this one.
 */
const OWNER_PROBE_TABLE = 'rulecast_probe_owner';
const MARK_PROBE_TABLE = 'rulecast_probe_mark';

export class Tables {
  /** The openings by name in the table in force. */
  readonly openings: Openings;
  readonly #kernel: Transactions;
  /** Removes former and unfinished tables. */
  readonly #cleaner: Cleaner;
  readonly #options: TablesOptions;
  readonly #owns: boolean;
  /** In force. */
  #current: TableInfo | undefined;
  /** Made, and not in force yet. */
  #staged: Staged | undefined;
  /** An upper bound for the table in force: removals are not subtracted until it is loaded whole. */
  #kernelBytes = 0;
  #closing = false;

  /** Probes the kernel's features, and takes over the tables of an earlier applier. Throws NativeError. */
  static async open(netlink: Netlink, options: TablesOptions): Promise<Tables> {
    const tables = new Tables(netlink, options);
    await tables.#adopt();
    return tables;
  }

  private constructor(netlink: Netlink, options: TablesOptions) {
    this.#kernel = new Transactions(netlink);
    this.#cleaner = new Cleaner(this.#kernel);
    this.#options = options;
    this.openings = new Openings({
      run: (commands) => this.#kernel.run(commands),
      inForce: () => this.#nameSets(),
      named: (table, set) => netlink.named(table, set, nextTurn),
      sources: (table, set) => netlink.sources(table, set, nextTurn),
      flows: (take) => netlink.flows(take, nextTurn),
      nowMs: () => performance.now(),
      pause: (milliseconds) => pause(milliseconds),
      warn: (text) => process.stderr.write(`rulecast-applier: openings: ${text}\n`),
    });
    this.#owns = this.#canOwn();
  }

  /** Whether the kernel makes owned tables that persist, and says so. */
  #canOwn(): boolean {
    try {
      this.#kernel.run([addTable(OWNER_PROBE_TABLE, true)]);
    } catch {
      return false;
    }
    const isOwned = this.#kernel.find(OWNER_PROBE_TABLE)?.isOwned === true;
    this.#kernel.run([deleteTable(OWNER_PROBE_TABLE)]);
    return isOwned;
  }

  // ── What earlier appliers left ───────────────────────────────────────────────────────────────────────────

  async #adopt(): Promise<void> {
    const ours = [...TABLES, CLOSED_TABLE, CAPTURE_TABLE] as readonly string[];
    for (const { name } of this.#kernel.netlink.tables().filter((each) => ours.includes(each.name)))
      await this.#adoptTable(name);
    const left = this.#kernel.netlink
      .tables()
      .filter(({ name }) => (TABLES as readonly string[]).includes(name));
    for (const table of left.sort((a, b) => b.handle - a.handle)) {
      if (this.#current === undefined && this.#kernel.isHooked(table.name)) this.#current = table;
      else this.#cleaner.discard(table.name);
    }
    if (this.#current === undefined && this.#options.again) this.#close();
    this.#clean();
  }

  /** Becomes the owner of a table. One made without an owner stays so, and we can change it all the same. */
  async #adoptTable(name: string): Promise<void> {
    for (let tries = 0; this.#owns; tries++) {
      try {
        return this.#kernel.run([addTable(name, true)]);
      } catch (error) {
        if (!(error instanceof NativeError) || !error.isForbidden) return;
        if (tries === ADOPT_TRIES)
          throw new NativeError(`table ${name}, owned by another process`, error.errno);
        await new Promise((resolve) => setTimeout(resolve, ADOPT_PAUSE_MS));
      }
    }
  }

  // ── Changes ──────────────────────────────────────────────────────────────────────────────────────────────

  /**
   * Applies a checked change; `turn` is awaited between the pieces. Rejects with NativeError, and then what
   * was in force still is.
   */
  async apply(change: Change, body: Uint8Array, turn: () => Promise<unknown>): Promise<void> {
    if (change.base === 'fresh') {
      await this.stage(change, body, turn);
      return this.release(change.tag);
    }
    if (this.#current === undefined) throw new NativeError('no table is in force');
    const bytes = this.#bytesWith(change, body, this.#kernelBytes);
    const { name } = this.#current;
    try {
      await this.#fill(name, change, body, turn);
      if (change.nameSets !== undefined) await this.openings.prepare(name, change.nameSets, body, turn);
      this.#kernel.run(scriptOf(change, name).release);
    } catch (error) {
      this.openings.discard();
      throw error;
    }
    if (change.nameSets !== undefined) this.openings.release();
    this.#kernelBytes = bytes;
  }

  /** Makes the table of a checked change that builds on nothing. Rejects as `apply`. */
  async stage(change: Change, body: Uint8Array, turn: () => Promise<unknown>): Promise<void> {
    if (change.base !== 'fresh') throw new NativeError('a change of the table in force is not staged');
    this.discardStaged();
    const bytes = this.#bytesWith(change, body, 0);
    const name = TABLES.find((each) => each !== this.#current?.name) ?? TABLES[0];
    // another program's, or from an old listing
    if (this.#kernel.find(name) !== undefined) this.#cleaner.discard(name);
    while (this.#cleaner.has(name)) {
      const refused = this.#cleaner.step();
      if (refused !== undefined) throw refused;
      await turn();
    }
    this.#staged = { name, change, bytes };
    try {
      this.#kernel.run([addTable(name, this.#owns)]);
      await this.#fill(name, change, body, turn);
      await this.openings.prepare(name, change.nameSets ?? [], body, turn);
    } catch (error) {
      this.discardStaged();
      throw error;
    }
  }

  /** Puts the table in force that was staged under that tag. Throws NativeError, as `apply` rejects. */
  release(tag: Tag): void {
    const staged = this.#staged;
    if (staged === undefined || !isDeepStrictEqual(staged.change.tag, tag))
      throw new NativeError('no such table is staged');
    const { name, change, bytes } = staged;
    try {
      this.#kernel.run(scriptOf(change, name).release);
    } catch (error) {
      this.discardStaged();
      throw error;
    }
    this.#staged = undefined;
    const former = this.#current;
    this.#current = this.#kernel.find(name);
    this.openings.release();
    this.#kernelBytes = bytes;
    if (former !== undefined) this.#cleaner.discard(former.name);
    this.#clean();
  }

  discardStaged(): void {
    if (this.#staged !== undefined) this.#cleaner.discard(this.#staged.name);
    this.#staged = undefined;
    this.openings.discard();
  }

  /** Sets who may open what by name in the table in force, which another applier may have made. Rejects. */
  async adoptNames(nameSets: readonly NameSet[]): Promise<void> {
    if (this.#current === undefined) throw new NativeError('no table is in force');
    await this.openings.adopt(this.#current.name, nameSets);
  }

  /**
   * The flow marks that tables give, in force or not. Throws NativeError where the kernel can give none: a
   * rule that cannot be would keep a release from it.
   */
  marks(): readonly number[] {
    this.#kernel.run([
      addTable(MARK_PROBE_TABLE, false),
      addChain(MARK_PROBE_TABLE, BASE_CHAIN),
      addRule(MARK_PROBE_TABLE, BASE_CHAIN, markingRule(FLOW_MARK_MAX)),
      deleteTable(MARK_PROBE_TABLE),
    ]);
    return this.#kernel.netlink.chains(TABLES).flatMap((chain) => parseTagChain(chain)?.mark ?? []);
  }

  /**
   * The size of a table that has so many bytes and gets a change. Throws NativeError if that is over the
   * limit.
   */
  #bytesWith(change: Change, body: Uint8Array, has: number): number {
    const bytes = kernelBytesOf(change, body) + has;
    const most = (this.#options.kernelMib * MIB) / TABLES.length;
    if (bytes <= most) return bytes;
    const [needed, given] = [bytes, most].map((each) => Math.ceil(each / MIB));
    throw new NativeError(
      `this release needs up to ${needed} MiB of kernel memory in one table, and ${given} are permitted: raise --kernel-mib`,
    );
  }

  /** Loads everything that no packet reaches yet. */
  async #fill(table: string, change: Change, body: Uint8Array, turn: () => Promise<unknown>): Promise<void> {
    this.#cleaner.note(table, change, body);
    const { objects, chains } = scriptOf(change, table);
    const runAll = async (commands: Iterable<Command>): Promise<void> => {
      for (const piece of piecesOf(commands)) {
        this.#kernel.run(piece);
        await turn();
      }
    };
    const put = async (verb: 'add' | 'delete', pieces: Iterator<Piece>): Promise<void> => {
      while (this.#kernel.transact(() => this.#kernel.netlink.change(verb, table, pieces))) await turn();
    };
    await runAll(objects);
    await put(
      'delete',
      piecesOfAll(change.removed, (each) => keyPieces(each, body)),
    );
    await put(
      'add',
      piecesOfAll(change.added, (each) => keyPieces(each, body)),
    );
    await runAll(chains);
    await put(
      'add',
      piecesOfAll(change.verdicts, (each) => classPieces(each, body)),
    );
    await put('add', mapPieces(change.keys));
  }

  /** Removes the closed table once a table of ours is in force. */
  #clean(): void {
    if (this.#current === undefined) return;
    this.#closing = false;
    this.#delete(CLOSED_TABLE);
  }

  /** Deletes all tables of ours. Throws NativeError. */
  remove(): void {
    this.#current = undefined;
    for (const name of [...TABLES, CLOSED_TABLE, CAPTURE_TABLE]) this.#delete(name);
  }

  /** Deletes a table if it exists. */
  #delete(table: string): void {
    if (this.#kernel.find(table) !== undefined) this.#kernel.run([deleteTable(table)]);
  }

  // ── What others do ───────────────────────────────────────────────────────────────────────────────────────

  /**
   * Checks for changes by others, which takes 3 µs if there are none; closes if our table is gone. Throws
   * NativeError.
   */
  notice(): Notice | undefined {
    if (this.#closing) this.#close();
    if (!this.#kernel.takeForeign()) return undefined;
    if (this.#current === undefined) return 'elsewhere';
    if (this.#kernel.isHooked(this.#current.name)) return this.#current.isOwned ? 'elsewhere' : 'changed';
    this.#current = undefined;
    this.openings.forget();
    try {
      this.#close();
    } catch (error) {
      if (!(error instanceof NativeError)) throw error; // the next look tries again
    }
    return 'gone';
  }

  /** Lets nothing pass from or to downstream qubes, until a table of ours is in force. */
  #close(): void {
    this.#closing = true; // until it is
    if (this.#kernel.find(CLOSED_TABLE) !== undefined) return;
    this.#kernel.run(closedCommands(this.#owns, this.#options));
  }

  // ── Beside releases ──────────────────────────────────────────────────────────────────────────────────────

  /** Replaces a table that holds no release, in one transaction of these commands. Throws NativeError. */
  put(table: string, commandsOf: (isOwned: boolean) => Iterable<Command>): void {
    const before = this.#kernel.find(table) === undefined ? [] : [deleteTable(table)];
    this.#kernel.run([...before, ...commandsOf(this.#owns)]);
  }

  /** Deletes a table that is no release's, if it is there. Throws NativeError. */
  drop(table: string): void {
    this.#delete(table);
  }

  // ── Readings ────────────────────────────────────────────────────────────────────────────────────────────

  /** The table in force. */
  get inForce(): string | undefined {
    return this.#current?.name;
  }

  get hasRubbish(): boolean {
    return this.#cleaner.hasRubbish;
  }

  /** As Cleaner.step. */
  cleanStep(): NativeError | undefined {
    return this.#cleaner.step();
  }

  /** Packets and bytes of the counters of the table in force. Throws NativeError. */
  counts(): Counts {
    return this.#cleaner.counts(this.inForce);
  }

  /** Whether the table in force belongs to our socket, so that no other program can change it. */
  get isOwned(): boolean {
    return this.#current?.isOwned === true;
  }

  #nameSets(): { readonly name: string; readonly sets: readonly string[] } | undefined {
    const name = this.#current?.name;
    if (name === undefined) return undefined;
    return {
      name,
      sets: this.#kernel.netlink.sets(name).filter((set) => parseNameSetName(set) !== undefined),
    };
  }
}

interface Staged {
  readonly name: string;
  readonly change: Change;
  readonly bytes: number;
}

function* piecesOfAll<T>(all: readonly T[], piecesOf: (each: T) => Iterable<Piece>): Generator<Piece> {
  for (const each of all) yield* piecesOf(each);
}

function* piecesOf(commands: Iterable<Command>): Generator<readonly Command[]> {
  let piece: Command[] = [];
  for (const command of commands) {
    if (piece.push(command) < PIECE_COMMANDS && command.isSlow !== true) continue;
    yield piece;
    piece = [];
  }
  if (piece.length > 0) yield piece;
}
