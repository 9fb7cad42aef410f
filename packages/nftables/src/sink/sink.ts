/**
 * The sink enforces the subscriber's releases by nftables. It plans a release, and the reconciler keeps the
 * kernel at it; the applier, a process of its own, checks and loads. The applier reports changes by other
 * programs, which lead to a check.
 */

import { setTimeout as pause } from 'node:timers/promises';
import {
  type Address,
  EMPTY_RULE_SET,
  type Environment,
  type Family,
  type ListChanges,
  type RuleSet,
} from '@rulecast/rules';
import { ApplierClient } from '../apply/client.ts';
import type { NftRun, ToldName } from '../apply/message.ts';
import type { ApplierCommand } from '../apply/process.ts';
import type { Notice } from '../apply/tables.ts';
import { DOWNSTREAM_GROUP, GROUP_MAX } from '../limits.ts';
import { hexAt } from '../plan/plan.ts';
import { FlowMarks } from './flow-marks.ts';
import type { NftHits } from './hits.ts';
import { type PlannedStep, type PlanQuestion, Plans, type PlansOptions } from './plans.ts';
import { type AskPlans, Reconciler } from './reconciler.ts';

/** A release to enforce; as the subscriber declares it. */
export interface NftRelease {
  /** Manifest hash, 32 bytes. */
  readonly hash: Uint8Array;
  /** Called only if this sink plans by itself. */
  readonly ruleSet: RuleSet | (() => Promise<RuleSet>);
  readonly environment: Environment;
  /** The changes of lists by this release, if known. */
  readonly changes?: ListChanges;
}

export interface SinkLogger {
  info(fields: object, text: string): void;
  warn(fields: object, text: string): void;
  error(fields: object, text: string): void;
}

export interface NftSinkOptions {
  /** The command of the applier; default: with this Node, as this user. */
  readonly applier?: ApplierCommand;
  /** Link group of the interfaces of downstream qubes; default 2. Give the applier the same. */
  readonly downstreamGroup?: number;
  /**
   * The answer to the sender of a dropped packet; default `reject`: administratively prohibited, as Qubes
   * does.
   */
  readonly answer?: 'reject' | 'silent';
  /** Group of NFLOG to which refused packets are logged; default: they are not. Give the applier the same. */
  readonly logGroup?: number | undefined;
  /**
   * Whether flows that a release accepts are marked, by a connection label, so that the rest of their packets
   * need no judging; default true.
   */
  readonly flowMarks?: boolean;
  /** Whether the applier has a socket for openings; default false. */
  readonly opensNames?: boolean;
  /**
   * Whether questions of qubes to their resolvers are redirected to `rulecast-dns` while a release needs
   * that; default false.
   */
  readonly capturesDns?: boolean;
  /**
   * Asks the thread that has the rule sets for plans; without it, this sink plans from the releases it gets.
   */
  readonly askPlans?: AskPlans;
  readonly logger?: SinkLogger;
  /** Receives the applier's standard error; without it, that goes to this process's. */
  readonly onText?: (text: string) => void;
  /**
   * Called when no applier runs or can be started, as its supervisor ended: nothing is applied or repaired
   * any more. The kernel's tables stay.
   */
  readonly onLost?: (text: string) => void;
}

export interface NftStatus {
  /**
   * Manifest hash of the release that the kernel enforces, hex; all zeros for the boot mode; undefined at
   * first.
   */
  readonly release: string | undefined;
  /** Figures of the last load. */
  readonly lastRun: NftRun | undefined;
  /** How often a check found the kernel changed, and repaired it. */
  readonly repairs: number;
}

export interface SinkTrouble {
  readonly text: string;
  readonly forMs: number;
}

/** The interval of checks that include the elements of sets. */
const CHECK_EVERY_MS = 300_000;
/** Between two notes in the log that another program changed nftables. */
const SAID_EVERY_MS = 60_000;
/** Between attempts to enforce the boot mode, and how long it is tried: another owner may be ending. */
const AGAIN_MS = 500;
const BOOT_WAITS_MS = 3000;
/** How long read counters count as fresh. */
const COUNTED_FOR_MS = 1000;
const SILENT: SinkLogger = { info: () => undefined, warn: () => undefined, error: () => undefined };

/**
 * Starts an applier and gives the sink that uses it. Throws TypeError for a bad option; an applier that
 * cannot work makes prepare and commit reject.
 */
export function createNftSink(options: NftSinkOptions = {}): NftSink {
  return new NftSink(options);
}

/** The command of this package's applier, as this user. `options` are those of its `--help`. */
export function applierCommand(options: readonly string[] = []): ApplierCommand {
  const main = new URL('../../dist/applier-main.js', import.meta.url);
  return { program: process.execPath, args: [main.pathname, ...options] };
}

/** Interfaces of a group that is none would go by unjudged. Throws TypeError. */
function checkOptions(downstreamGroup: number, answer: string): void {
  if (!Number.isInteger(downstreamGroup) || downstreamGroup < 0 || downstreamGroup > GROUP_MAX) {
    throw new TypeError(`downstreamGroup ${downstreamGroup}: write an integer from 0 to ${GROUP_MAX}`);
  }
  if (answer !== 'reject' && answer !== 'silent') {
    throw new TypeError(`answer ${JSON.stringify(answer)}: write "reject" or "silent"`);
  }
}

export class NftSink {
  /** A packet that begins no flow is dropped. */
  readonly judgesFlows = true;
  /** Options for planning in the thread that has the rule sets; undefined: this sink plans. */
  readonly plans: PlansOptions | undefined;
  /** Whether addresses can be opened by name. */
  readonly opensNames: boolean;
  readonly #logger: SinkLogger;
  readonly #applier: ApplierClient;
  readonly #reconciler: Reconciler;
  readonly #ask: AskPlans;
  readonly #checkTimer: NodeJS.Timeout;
  #prepared:
    | { readonly step: PlannedStep; readonly planMs: number; readonly staged: NftRun | undefined }
    | undefined;
  #lastRun: NftRun | undefined;
  /** Families without a known source of interfaces. */
  #unpaired: { readonly families: readonly Family[]; readonly sinceMs: number } | undefined;
  /** Why DNS of qubes, which is captured, does not come to `rulecast-dns`. */
  #uncaptured: { readonly text: string; readonly sinceMs: number } | undefined;
  #saidAtMs = Number.NEGATIVE_INFINITY;
  #counted: Readonly<Record<string, number>> = {};
  #counting: Promise<void> = Promise.resolve();
  #countedAtMs = Number.NEGATIVE_INFINITY;
  #closed = false;

  constructor(options: NftSinkOptions) {
    this.#logger = options.logger ?? SILENT;
    this.opensNames = options.opensNames ?? false;
    const { downstreamGroup = DOWNSTREAM_GROUP, answer = 'reject' } = options;
    checkOptions(downstreamGroup, answer);
    this.#applier = new ApplierClient(
      options.applier ?? applierCommand(['--group', String(downstreamGroup)]),
      {
        onRestart: () => this.#reconciler.checkSoon('structure'),
        onNotice: (notice) => this.#noticed(notice),
        onUnpaired: (families) => {
          this.#unpaired = { families, sinceMs: performance.now() };
        },
        onCaptured: (text) => this.#captured(text),
        onError: (text) => {
          this.#reconciler.lost(text);
          this.#logger.error({}, text);
        },
        onText: options.onText,
        onLost: (text) => options.onLost?.(text),
      },
    );
    const marks = options.flowMarks === false ? undefined : new FlowMarks();
    const { capturesDns = false } = options;
    const { logGroup } = options;
    const plans = { downstreamGroup, answer, logGroup, marksFlows: marks !== undefined, capturesDns };
    this.plans = options.askPlans && plans;
    this.#ask = options.askPlans ?? planningHere(new Plans(plans));
    this.#reconciler = new Reconciler(this.#applier, this.#ask, { marks, capturesDns }, this.#logger);
    const check = (): void => this.#reconciler.checkSoon('elements');
    this.#checkTimer = setInterval(check, CHECK_EVERY_MS).unref();
  }

  // ── The sink ─────────────────────────────────────────────────────────────────────────────────────────────

  prepare(release: NftRelease): Promise<void> {
    return this.#reconciler.inTurn(() => this.#prepareNow(release));
  }

  async #prepareNow(release: NftRelease): Promise<void> {
    const startMs = performance.now();
    const step = await this.#reconciler.plan(release);
    const planMs = performance.now() - startMs;
    this.#prepared = { step, planMs, staged: await this.#reconciler.stage(step) };
  }

  commit(): Promise<void> {
    return this.#reconciler.inTurn(() => this.#commitNow());
  }

  async #commitNow(): Promise<void> {
    if (this.#prepared === undefined) throw new TypeError('nothing is prepared');
    const { step, planMs, staged } = this.#prepared;
    this.#prepared = undefined;
    const released = await this.#reconciler.realise(step);
    if (released === undefined) return;
    const run = { ...released, milliseconds: released.milliseconds + (staged?.milliseconds ?? 0) };
    this.#lastRun = run;
    this.#logger.info(
      {
        release: step.next.tag.release,
        planMs: Math.round(planMs),
        nftMs: Math.round(run.milliseconds),
        nftPeakBytes: run.peakBytes,
        elements: step.first?.elementCount,
      },
      'enforced',
    );
  }

  async discard(): Promise<void> {
    this.#prepared = undefined;
    await this.#reconciler.inTurn(() => this.#reconciler.unstage()).catch(() => undefined); // the next one does it
  }

  /**
   * Enforces a rule set before the first release, unless the kernel has one from an earlier life; tries it
   * for some seconds. Rejects with ApplierError.
   */
  async boot(release: NftRelease): Promise<void> {
    for (const untilMs = performance.now() + BOOT_WAITS_MS; ; await pause(AGAIN_MS)) {
      try {
        return await this.#reconciler.inTurn(() => this.#bootNow(release));
      } catch (error) {
        if (performance.now() > untilMs || this.#closed) throw error;
      }
    }
  }

  async #bootNow(boot: NftRelease): Promise<void> {
    const { release = '' } = (await this.#reconciler.look()).tag ?? {};
    if (/^0*$/.test(release)) {
      await this.#prepareNow(boot);
      return await this.#commitNow();
    }
    this.#logger.warn({ release }, 'the kernel keeps the release it has until there is one');
    this.#reconciler.found();
  }

  /**
   * Looks at the kernel now, elements included, and repairs it. Resolves to whether it had to be repaired.
   */
  check(): Promise<boolean> {
    return this.#reconciler.inTurn(() => this.#reconciler.check('elements'));
  }

  #noticed(notice: Notice): void {
    if (notice === 'gone') this.#reconciler.lost('the table was taken away');
    if (notice !== 'elsewhere') this.#reconciler.checkSoon('structure');
    else if (performance.now() - this.#saidAtMs > SAID_EVERY_MS) {
      this.#saidAtMs = performance.now();
      const text = 'another program changed nftables; it cannot change the tables of Rulecast, and did not';
      this.#logger.info({}, text);
    }
  }

  // ── Status ───────────────────────────────────────────────────────────────────────────────────────────────

  /** Since when, and why, it is not known that what was committed last is enforced; undefined: it is. */
  trouble(): SinkTrouble | undefined {
    const { status } = this.#reconciler;
    if (status.kind === 'enforced') return this.#captureTrouble() ?? this.#openingTrouble();
    return { text: status.text, forMs: performance.now() - status.sinceMs };
  }

  /** `rulecast-dns` now answers names: checks again whether questions reach it. Does not throw. */
  async namesFollow(): Promise<void> {
    if (this.#uncaptured === undefined) return;
    const looking = this.#reconciler.inTurn(() => this.#reconciler.lookAtCapture());
    await looking.catch(() => undefined); // the applier checks each second as well
  }

  #captured(text: string): void {
    if (text === '') this.#logger.info({}, 'DNS of qubes comes to rulecast-dns, or is not captured');
    else this.#logger.warn({ reason: text }, 'no DNS of qubes is answered');
    this.#uncaptured = text === '' ? undefined : { text, sinceMs: performance.now() };
  }

  #captureTrouble(): SinkTrouble | undefined {
    const trouble = this.#uncaptured;
    return trouble && { text: trouble.text, forMs: performance.now() - trouble.sinceMs };
  }

  /** Why no name can open anything. */
  #openingTrouble(): SinkTrouble | undefined {
    const { families = [], sinceMs = 0 } = this.#unpaired ?? {};
    const opened = this.#reconciler.desired?.nameFamilies ?? [];
    const missing = families.filter((family) => opened.includes(family));
    if (missing.length === 0) return undefined;
    const shown = missing.map((family) => `IPv${family}`).join(' and ');
    const text = `no name opens anything over ${shown}, since neither Qubes' set of nftables nor --source says which address comes by which interface: docs/reference/dns.md "Qubes and their addresses"`;
    return { text, forMs: performance.now() - sinceMs };
  }

  /** The lists of names by which an address is open to a qube now, and as what. Rejects with ApplierError. */
  async toldTo(qube: Address, address: Address): Promise<readonly ToldName[]> {
    if (qube.family !== address.family) return [];
    const [of, to] = [qube, address].map(({ words, family }) => hexAt(words, 0, family));
    const { reply } = await this.#applier.ask({ kind: 'told', qube: of ?? '', address: to ?? '' }, 'told');
    return reply.names;
  }

  /** Reads the counters back. Rejects with ApplierError. */
  async hits(): Promise<NftHits> {
    const { reply } = await this.#applier.ask({ kind: 'counters' }, 'counters');
    return this.#ask('hits', { counters: reply.counters });
  }

  /**
   * Sums for `rulectl status`: packets decided and dropped, and by list, policy and rule (hits.ts);
   * milliseconds and peak bytes of the last load; repairs. Read at most a second ago, or if they cannot be
   * read when they could be last.
   */
  async counters(): Promise<Readonly<Record<string, number>>> {
    const nowMs = performance.now();
    if (nowMs - this.#countedAtMs > COUNTED_FOR_MS && !this.#closed) {
      this.#countedAtMs = nowMs;
      this.#counting = this.#count();
    }
    await this.#counting;
    return {
      ...this.#counted,
      nftMs: Math.round(this.#lastRun?.milliseconds ?? 0),
      nftPeakBytes: this.#lastRun?.peakBytes ?? 0,
      nftRepairs: this.#reconciler.repairs,
    };
  }

  async #count(): Promise<void> {
    try {
      const { reply } = await this.#applier.ask({ kind: 'counters' }, 'counters');
      const sums = await this.#ask('sums', { counters: reply.counters });
      this.#counted = { ...sums, nftOpen: reply.open };
    } catch (error) {
      this.#logger.warn({ err: error }, 'the counters of the kernel cannot be read');
    }
  }

  status(): NftStatus {
    const { desired, repairs } = this.#reconciler;
    return { release: desired?.tag.release, lastRun: this.#lastRun, repairs };
  }

  /** Resolves when nothing is being loaded, checked or repaired. */
  settled(): Promise<void> {
    return this.#reconciler.settled();
  }

  /** Stops looking and ends the applier. The rules stay. */
  async close(): Promise<void> {
    this.#closed = true;
    clearInterval(this.#checkTimer);
    await this.#reconciler.close();
  }
}

const NOTHING: NftRelease = {
  hash: new Uint8Array(),
  ruleSet: EMPTY_RULE_SET,
  environment: { now: 0, dns: [] },
};

/** Plans in this thread. */
function planningHere(plans: Plans): AskPlans {
  return async (kind, asks, { ruleSet, environment, changes } = NOTHING) => {
    const source = { environment, changes, ruleSet: ruleSet instanceof Function ? await ruleSet() : ruleSet };
    // the answer to that question
    return plans.answer({ kind, ...asks } as PlanQuestion, source, new Set()) as never;
  };
}
