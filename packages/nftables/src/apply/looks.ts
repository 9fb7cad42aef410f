/**
 * Looks at flows, for openings that need another one to give way: one look serves all that wait, looks run
 * one at a time, and each is followed by a rest as long as it took.
 */

import { NativeError } from '../kernel/native.ts';
import { LOOKS_MAX, LOOKS_OF_ONE_MAX } from '../limits.ts';
import { textOf, wordsOf } from './book.ts';
import { type Opening, type OpeningOutcome, Outcome } from './opening.ts';

/** An opening to make. */
export interface OpeningRequest {
  readonly opening: Opening;
  /**
   * The qube's address of the other family as its interface says, 8 or 32 hex digits; empty: it has none;
   * undefined: the release is asked.
   */
  readonly other?: string | undefined;
}

/** Pairs of a qube and an address that a flow goes to. */
export type Flows = ReadonlySet<string>;

/** The result of an opening that cannot be decided without a look at flows. */
export const NEEDS_LOOK = 'needs-look';
/** It is open; but room runs out, so a look at flows is due before the next. */
export const MAKES_ROOM = 'makes-room';

export type OpeningResult = OpeningOutcome | typeof NEEDS_LOOK | typeof MAKES_ROOM;

/** The kernel and time, as far as a look needs them. */
export interface FlowsKernel {
  /** The keys of all flows that may go on. Rejects with NativeError. */
  flows(take: (key: Uint32Array) => void): Promise<void>;
  /** Steady. */
  nowMs(): number;
  pause(milliseconds: number): Promise<unknown>;
  /** Logs a fault of ours. */
  warn(text: string): void;
}

export interface LooksOptions {
  readonly kernel: FlowsKernel;
  /** Makes a waiting opening, now that the flows are known. */
  readonly open: (request: OpeningRequest, flows: Flows) => OpeningOutcome;
  /** The addresses of the qube that asks, of both families. */
  readonly qubesOf: (request: OpeningRequest) => readonly Uint8Array[];
}

/** An opening that waits for a look, with the callback for its outcome. */
interface PendingOpening extends OpeningRequest {
  readonly qube: string;
  readonly tell: (outcome: OpeningOutcome) => void;
}

export class Looks {
  readonly #options: LooksOptions;
  #pending: PendingOpening[] = [];
  #isLooking = false;
  /** The last fault: logged once, until it changes. */
  #fault = '';

  constructor(options: LooksOptions) {
    this.#options = options;
  }

  /** The outcome of a request, after a look at flows if needed; `later` if too many wait for one. */
  outcomeOf(request: OpeningRequest, result: OpeningResult): OpeningOutcome | Promise<OpeningOutcome> {
    if (result !== NEEDS_LOOK && result !== MAKES_ROOM) return result;
    const { opening, other } = request;
    const qube = textOf(wordsOf(opening.qube));
    const own = this.#pending.filter((each) => each.qube === qube).length;
    if (result === MAKES_ROOM) {
      const nothing = { ...opening, addresses: [] }; // but room for the next
      const tell = (): void => undefined;
      if (own === 0 && this.#pending.length < LOOKS_MAX) this.#wait({ opening: nothing, other, qube, tell });
      return Outcome.open;
    }
    if (own >= LOOKS_OF_ONE_MAX || this.#pending.length >= LOOKS_MAX) return Outcome.later;
    return new Promise((tell) => this.#wait({ opening, other, qube, tell }));
  }

  #wait(pending: PendingOpening): void {
    this.#pending.push(pending);
    void this.#look();
  }

  async #look(): Promise<void> {
    if (this.#isLooking) return;
    this.#isLooking = true;
    const { kernel } = this.#options;
    try {
      while (this.#pending.length > 0) {
        const pending = this.#pending;
        this.#pending = [];
        const startMs = kernel.nowMs();
        const flows = await this.#flowsOf(pending);
        for (const each of pending) {
          each.tell(flows === undefined ? Outcome.later : this.#open(each, flows));
          await kernel.pause(0); // lets others have a turn
        }
        await kernel.pause(kernel.nowMs() - startMs);
      }
    } finally {
      this.#isLooking = false;
    }
  }

  /** A fault of ours fails the opening that meets it, and no other. */
  #open(pending: PendingOpening, flows: Flows): OpeningOutcome {
    try {
      return this.#options.open(pending, flows);
    } catch (error) {
      this.#warn(error);
      return Outcome.later;
    }
  }

  #warn(error: unknown): void {
    const text = error instanceof Error ? (error.stack ?? error.message) : String(error);
    if (text !== this.#fault) this.#options.kernel.warn(text);
    this.#fault = text;
  }

  /** The flows of qubes with waiting openings; undefined: the kernel cannot tell. */
  async #flowsOf(pending: readonly PendingOpening[]): Promise<Flows | undefined> {
    const { kernel, qubesOf } = this.#options;
    const qubes = new Set(pending.flatMap(qubesOf).map((qube) => textOf(wordsOf(qube))));
    const flows = new Set<string>();
    try {
      await kernel.flows((key) => {
        if (qubes.has(textOf(key.subarray(0, key.length / 2)))) flows.add(textOf(key));
      });
      return flows;
    } catch (error) {
      if (!(error instanceof NativeError)) this.#warn(error);
      return undefined;
    }
  }
}
