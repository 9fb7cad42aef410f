/**
 * The applier: the only process with CAP_NET_ADMIN. It reads requests on standard input, checks each
 * completely, and turns it into the kernel's tables (tables.ts). It parses no rule, and passes no foreign
 * text to a library. The messages are in message.ts.
 */

import { setTimeout as pause, setImmediate as turn } from 'node:timers/promises';
import { classPieces, keyPieces, type Piece } from '../kernel/elements.ts';
import { lookAtTable, NO_TABLE } from '../kernel/listing.ts';
import { NativeError, NetlinkFamily, openNetlink } from '../kernel/native.ts';
import { Netlink } from '../kernel/netlink.ts';
import { Routes } from '../kernel/routes.ts';
import type { Source } from '../kernel/sources.ts';
import {
  ALIVE_EVERY_MS,
  CAPTURE_LOOK_EVERY_MS,
  LIVE_EVERY_MS,
  NOTICE_EVERY_MS,
  OWNER_NOTICE_EVERY_MS,
} from '../limits.ts';
import { Capture } from './capture.ts';
import { checkRequest, RequestError } from './check.ts';
import { Door } from './door.ts';
import type { OpeningRequest } from './looks.ts';
import { FrameSplitter, type FromApplier, frameOf, parseFrame, type Reply, type Request } from './message.ts';
import { type Opening, type OpeningOutcome, Outcome } from './opening.ts';
import { Sources } from './sources.ts';
import { Tables } from './tables.ts';

export interface ApplierOptions {
  readonly downstreamGroup: number;
  /** The NFLOG group for refused packets; undefined: they are not logged. */
  readonly logGroup?: number | undefined;
  /** The limit of kernel memory for all our tables. */
  readonly kernelMib: number;
  /** Whether it replaces an applier that died. */
  readonly again: boolean;
  /** Addresses by interface, beside those that Qubes configures. */
  readonly sources: readonly Source[];
  /** Path of the socket at which `rulecast-dns` asks; undefined: nothing opens by name. */
  readonly openings: string | undefined;
}

/** Serves requests, one at a time, until the input ends. */
export async function serveApplier(
  input: AsyncIterable<Buffer>,
  write: (bytes: Uint8Array) => Promise<void>,
  options: ApplierOptions,
): Promise<void> {
  const applier = new Applier(options, write);
  await applier.start();
  const splitter = new FrameSplitter();
  for await (const bytes of input) for (const frame of splitter.push(bytes)) await applier.take(frame);
  applier.close();
}

/** Deletes everything of ours from the kernel. Rejects with NativeError. */
export async function removeTables(options: ApplierOptions): Promise<void> {
  try {
    (await Tables.open(new Netlink(openNetlink), options)).remove();
  } catch (error) {
    if (!(error instanceof NativeError) || !error.isForbidden) throw error;
    const text = 'be root, and stop rulecast-subscriber first, whose applier owns the tables while it runs';
    throw new NativeError(`the kernel forbids it: ${text}`);
  }
}

/** The pause between two pieces of cleaning, so that others get the kernel's lock, which is not fair. */
const CLEAN_PAUSE_MS = 1;

interface Answer {
  readonly reply: Reply;
  readonly replyBody?: readonly Uint8Array[];
}

/** The kernel, once it could be opened. */
interface Kernel {
  readonly netlink: Netlink;
  readonly tables: Tables;
  readonly capture: Capture;
}

class Applier {
  readonly #options: ApplierOptions;
  readonly #write: (bytes: Uint8Array) => Promise<void>;
  readonly #timers: readonly NodeJS.Timeout[];
  #noticing: NodeJS.Timeout | undefined;
  readonly #door: Door | undefined;
  #netlink: Netlink | undefined;
  #kernel: Kernel | undefined;
  /** Frames go out whole, one after the other. */
  #sending: Promise<void> = Promise.resolve();
  #busy = false;
  #cleaning = false;
  #isRenewing = false;
  /** Undefined: nothing opens by name. */
  readonly #sources: Sources | undefined;

  constructor(options: ApplierOptions, write: (bytes: Uint8Array) => Promise<void>) {
    this.#options = options;
    this.#write = write;
    this.#door = options.openings === undefined ? undefined : new Door(options.openings);
    this.#sources = this.#door === undefined ? undefined : new Sources(options.sources);
    this.#timers = [
      setInterval(() => void this.#send({ alive: true }), ALIVE_EVERY_MS),
      setInterval(() => void this.#renewLive(), LIVE_EVERY_MS),
      setInterval(() => void this.#look(), LIVE_EVERY_MS),
      setInterval(() => this.#kernel?.capture.look(), CAPTURE_LOOK_EVERY_MS),
    ];
    void this.#send({ alive: true });
    this.#notice();
  }

  /**
   * Takes over the tables in the kernel. If that fails, each request tries again, and reports why it fails.
   */
  async start(): Promise<void> {
    await this.#opened().catch(throwUnexpected);
    await this.#look();
    this.#door?.open((openings) => this.#open(openings));
    void this.#clean();
  }

  #open(all: readonly Opening[]): readonly (OpeningOutcome | Promise<OpeningOutcome>)[] {
    const openings = this.#kernel?.tables.openings;
    if (openings === undefined) return all.map(() => Outcome.later);
    const refusals = all.map((opening) => this.#refusalOf(opening));
    const asked = all.flatMap((opening, index): readonly OpeningRequest[] => {
      if (refusals[index] !== undefined) return [];
      return [{ opening, other: this.#sources?.otherOf(Buffer.from(opening.qube).toString('hex')) }];
    });
    const opened = openings.openAll(asked).values();
    return refusals.map((refusal) => refusal ?? opened.next().value ?? Outcome.later);
  }

  /** The outcome of an opening that needs no look at tables; undefined: it does. */
  #refusalOf({ family, qube }: Opening): Outcome | undefined {
    const unknown = this.#sources?.unknown ?? [];
    if (unknown.includes(qube.length === 4 ? 4 : 6)) return Outcome.refused;
    return unknown.includes(family) ? Outcome.unknown : undefined;
  }

  async #opened(): Promise<Kernel> {
    if (this.#kernel !== undefined) return this.#kernel;
    this.#netlink ??= new Netlink(openNetlink);
    const tables = await Tables.open(this.#netlink, this.#options);
    const capture = new Capture({
      netlink: this.#netlink,
      tables,
      routes: () => new Routes(openNetlink(NetlinkFamily.route)),
      place: this.#options,
      turn: () => turn(),
      tell: (captured) => void this.#send({ captured }),
    });
    this.#kernel = { netlink: this.#netlink, tables, capture };
    return this.#kernel;
  }

  close(): void {
    for (const timer of this.#timers) clearInterval(timer);
    clearTimeout(this.#noticing);
    this.#door?.close();
  }

  #send(message: FromApplier, body: readonly Uint8Array[] = []): Promise<void> {
    this.#sending = this.#sending.then(async () => {
      for (const piece of frameOf(message, body)) await this.#write(piece);
    });
    return this.#sending;
  }

  async take(frame: Buffer): Promise<void> {
    this.#busy = true;
    const { header, body } = parseFrame(frame);
    const { id, request } = header as { readonly id?: unknown; readonly request?: unknown };
    const { reply, replyBody } = await this.#answer(request, body);
    await this.#send({ id: typeof id === 'number' ? id : -1, reply }, replyBody);
    this.#busy = false;
    void this.#clean();
  }

  /** Checks by a timer whether another program changed the ruleset. */
  #notice(): void {
    const everyMs = this.#kernel?.tables.isOwned === true ? OWNER_NOTICE_EVERY_MS : NOTICE_EVERY_MS;
    this.#noticing = setTimeout(() => this.#notice(), everyMs);
    try {
      const noticed = this.#kernel?.tables.notice();
      if (noticed !== undefined || this.#sources?.isOvertaken === true) void this.#look();
      if (noticed === undefined) return;
      void this.#send({ noticed });
      void this.#kernel?.capture.follow();
    } catch (error) {
      throwUnexpected(error); // the next time tries again
    }
  }

  /** Reads the interfaces of qubes again. */
  async #look(): Promise<void> {
    const [sources, kernel] = [this.#sources, this.#kernel];
    if (sources === undefined || kernel === undefined) return;
    const isNews = await sources.look(kernel.netlink, () => turn());
    if (sources.pairs !== undefined) kernel.tables.openings.pair(sources.pairs);
    if (isNews) void this.#send({ unpaired: sources.unknown });
  }

  /** One look at a time; one that is due during another is skipped. */
  async #renewLive(): Promise<void> {
    if (this.#isRenewing) return;
    this.#isRenewing = true;
    // after an error, the next look tries again
    await this.#kernel?.tables.openings.renewLive().catch(throwUnexpected);
    this.#isRenewing = false;
  }

  /** Removes unneeded tables while idle. */
  async #clean(): Promise<void> {
    const tables = this.#kernel?.tables;
    if (this.#cleaning || tables === undefined) return;
    this.#cleaning = true;
    while (tables.hasRubbish && !this.#busy && tables.cleanStep() === undefined) await pause(CLEAN_PAUSE_MS);
    this.#cleaning = false;
  }

  async #answer(request: unknown, body: Uint8Array): Promise<Answer> {
    try {
      return await this.#serve(checkRequest(request, body), body);
    } catch (error) {
      const { message } = throwUnexpected(error);
      const text = error instanceof RequestError ? `the applier refuses the request: ${message}` : message;
      return { reply: { kind: 'failed', text } };
    }
  }

  async #serve(request: Request, body: Uint8Array): Promise<Answer> {
    const kernel = await this.#opened();
    switch (request.kind) {
      case 'apply':
        return timed(() => kernel.tables.apply(request.change, body, turn));
      case 'stage':
        return timed(() => kernel.tables.stage(request.change, body, turn));
      case 'release':
        return timed(() => kernel.tables.release(request.tag));
      case 'discard':
        return timed(() => kernel.tables.discardStaged());
      case 'look':
        return (await lookBy(kernel, request, body)) ?? { reply: { kind: 'state', state: NO_TABLE } };
      case 'names':
        await kernel.tables.adoptNames(request.nameSets);
        return { reply: { kind: 'done' } };
      case 'told': {
        const names = kernel.tables.openings.toldOf(request.qube, request.address);
        return { reply: { kind: 'told', names } };
      }
      case 'capture':
        await kernel.capture.want(request.resolvers ?? undefined);
        return { reply: { kind: 'done' } };
      case 'counters':
        return {
          reply: { kind: 'counters', counters: kernel.tables.counts(), open: kernel.tables.openings.count },
        };
      case 'clear-marks': {
        const marks = kernel.tables.marks();
        await kernel.netlink.clearLabels([...request.kept, ...marks], () => turn());
        return { reply: { kind: 'marks', marks } };
      }
    }
  }
}

async function timed(work: () => Promise<void> | void): Promise<Answer> {
  const startMs = performance.now();
  await work();
  const peakBytes = process.resourceUsage().maxRSS * 1024;
  return { reply: { kind: 'applied', run: { milliseconds: performance.now() - startMs, peakBytes } } };
}

type Look = Request & { readonly kind: 'look' };

/** Undefined: no table of ours is in force. */
async function lookBy(
  { netlink, tables }: Kernel,
  { sets, maps, probes, classProbes }: Look,
  body: Uint8Array,
): Promise<Answer | undefined> {
  const table = tables.inForce;
  if (table === undefined) return undefined;
  const { state, body: replyBody } = await lookAtTable(netlink, table, sets, maps, () => turn());
  const has = (pieces: Iterable<Piece>): boolean => hasAll(netlink, table, pieces);
  const lackingSets = [
    ...probes
      .filter((each) => !state.sets.includes(each.set) || !has(keyPieces(each, body)))
      .map(({ set }) => set),
    ...classProbes
      .filter((each) => !state.maps.includes(each.map) || !has(classPieces(each, body)))
      .map(({ map }) => map),
  ];
  return { reply: { kind: 'state', state: { ...state, lackingSets } }, replyBody };
}

function hasAll(netlink: Netlink, table: string, pieces: Iterable<Piece>): boolean {
  for (const { set, family, keys } of pieces) {
    const stride = family === 4 ? 1 : 4;
    for (let at = 0; at < keys.length; at += stride) {
      if (!netlink.has(table, set, family, keys.subarray(at, at + stride))) return false;
    }
  }
  return true;
}

/** Returns the errors that a request may fail with; throws others. */
function throwUnexpected(error: unknown): Error {
  if (error instanceof RequestError || error instanceof NativeError) return error;
  throw error;
}
