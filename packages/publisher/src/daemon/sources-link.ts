/**
 * Connects sources and publisher. Lists that change become releases, and a list missing from a release gets
 * delivered again. The configuration is read again when it changes, and actions against a guard are recorded.
 */

import { join } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import type { PublisherConfig } from '@rulecast/formats';
import { EMPTY_PREFIX_SET, type List, type PrefixSet } from '@rulecast/rules';
import {
  Fetcher,
  type ListStatus,
  ListWorker,
  type Permits,
  Sources,
  type WatchOptions,
  watchPaths,
} from '@rulecast/sources';
import type { SourceLists } from '../control/parts.ts';
import type { ListOwner } from '../release/draft-guards.ts';
import type { Publisher } from '../release/publisher.ts';
import type { AuditLog } from '../store/audit-log.ts';
import { firstFault, readConfigFile } from './config-file.ts';
import { WatchedRules } from './watched-rules.ts';

export interface SourcesLinkOptions {
  readonly publisher: Publisher;
  readonly config: PublisherConfig;
  /** Watched, and read again on changes; undefined without a file. */
  readonly configFile: string | undefined;
  readonly stateDirectory: string;
  /** The record of opened guards. */
  readonly audit: AuditLog;
  /** Addresses of peers that manage this host. */
  readonly peers?: PrefixSet;
}

/** Troubles of lists that the status shows one by one. */
const LISTS_SHOWN = 6;
const DEGRADED_CHARS = 120;
/**
 * The configuration must be unchanged for so long before it is read: half a file has half of the lists. Our
 * choice.
 */
const CONFIG_QUIET_MS = 2000;
const REFUSED = 'the configuration is refused';
const UNSAID = 'it has no lists: key';
export class SourcesLink implements ListOwner, SourceLists {
  readonly #publisher: Publisher;
  readonly #configFile: string | undefined;
  readonly #worker = new ListWorker();
  readonly #sources: Sources;
  #config: PublisherConfig;
  #rules: WatchedRules | undefined;
  /** The settings that only a restart can change, as they were at the start. */
  readonly #startTexts: PublisherConfig['startTexts'];
  /** Why the configuration file differs from the configuration in force. */
  #configTrouble: string | undefined;
  #closeWatch: (() => Promise<void>) | undefined;
  #reloading: Promise<void> = Promise.resolve();
  readonly #onRelease = (): void => {
    this.#sources.resync();
    this.#rules?.listsChanged((list) => this.#publisher.head?.ruleSet.lists.has(list) === true);
  };

  constructor(options: SourcesLinkOptions) {
    const { publisher, config, configFile, stateDirectory, audit, peers = EMPTY_PREFIX_SET } = options;
    const directory = join(stateDirectory, 'sources');
    this.#publisher = publisher;
    this.#config = config;
    this.#startTexts = config.startTexts;
    this.#configFile = configFile;
    const fetcher = new Fetcher({ cacheDirectory: join(directory, 'downloads'), proxy: config.proxy });
    this.#sources = new Sources({
      config,
      directory,
      fetcher: {
        fetch: async (request) => {
          const outcome = await publisher.tally.time('fetch', () => fetcher.fetch(request));
          publisher.tally.add('fetch-bytes', [], outcome.kind === 'fresh' ? outcome.size : 0);
          return outcome;
        },
        cached: (url) => fetcher.cached(url),
        close: () => fetcher.close(),
      },
      work: this.#worker,
      watch,
      consumer: {
        update: async (batch, mayWiden) => {
          const outcome = await publisher.updateLists(batch, mayWiden);
          if (publisher.isStartedOver) this.#rules?.listsChanged((list) => batch.get(list) !== undefined);
          if ([...batch.values()].includes(undefined)) void this.#rules?.look(); // it may have that list itself
          return outcome;
        },
        holds: (list) => publisher.head?.ruleSet.lists.has(list) === true,
      },
      log: publisher.logger,
      peers,
      audit: (entry) => audit.add(entry),
    });
  }

  /** Begins to keep lists fresh. */
  async start(): Promise<void> {
    this.#publisher.setListOwner(this);
    this.#publisher.rules.name(this.#config.rules); // before anything is awaited: requests are served already
    this.#publisher.subscribers.expect(this.#config.subscribers);
    await this.#sources.start(this.#publisher.head?.ruleSet.lists ?? new Map());
    const unsaid = this.#sources.keptUnsaid.length;
    if (unsaid > 0)
      this.#configTrouble = `the configuration drops no list, for ${UNSAID}; write lists: {} to drop all ${unsaid}`;
    this.#publisher.on('release', this.#onRelease);
    await this.#followRules(this.#config.rules);
    const configFile = this.#configFile;
    if (configFile !== undefined)
      this.#closeWatch = await watch([configFile], () => void this.reload(configFile), {
        settleMs: CONFIG_QUIET_MS,
      });
  }

  /** Follows this rules file from now on, if it is another one than before. */
  async #followRules(path: string | undefined): Promise<void> {
    const publisher = this.#publisher;
    if (path !== undefined && path === this.#rules?.path) return void this.#rules.look();
    await this.#rules?.close();
    this.#rules = undefined;
    publisher.rules.name(path);
    if (path === undefined) return;
    this.#rules = new WatchedRules({
      publisher,
      path,
      watch: (paths, onChange) => watch(paths, onChange, { settleMs: CONFIG_QUIET_MS }),
    });
    await this.#rules.start();
  }

  owns(list: string): boolean {
    return this.#sources.owns(list);
  }

  isOperand(list: string): boolean {
    return this.#sources.isOperand(list);
  }

  get degraded(): SourceLists['degraded'] {
    const bounded = (text: string | undefined) => (text === undefined ? [] : [text.slice(0, DEGRADED_CHARS)]);
    const troubled = this.#sources.status().flatMap(({ name, trouble, standstill }) => {
      if (trouble !== undefined) return [`list ${name} is not fresh: ${trouble.reason}`];
      return standstill === undefined ? [] : [`list ${name} is ${standstill.reason}`];
    });
    const shown = troubled.slice(0, LISTS_SHOWN).flatMap(bounded);
    const more = troubled.length - shown.length;
    const rest = more > 0 ? [`${more} more lists are not fresh, or unchanged: see rulectl lists`] : [];
    return {
      configuration: bounded(this.#configTrouble),
      rules: bounded(this.#rules?.trouble),
      lists: [...shown, ...rest],
    };
  }

  status(): readonly ListStatus[] {
    return this.#sources.status();
  }

  /** The last good content of a list of the configuration, published or not. */
  list(name: string): List | undefined {
    return this.#sources.list(name);
  }

  /** See Sources.refresh. */
  refresh(names: readonly string[], permits: Permits): Promise<readonly ListStatus[]> {
    return this.#sources.refresh(names, permits);
  }

  /**
   * Resolves when the configuration was read again, for tests; a change of the file brings it about. Never
   * rejects: trouble is logged.
   */
  reload(file: string): Promise<void> {
    const tell = (error: unknown): void => {
      this.#publisher.logger.error({ err: error, file }, 'the changed configuration could not be taken up');
    };
    this.#reloading = this.#reloading.then(() => this.#reloadNow(file)).catch(tell);
    return this.#reloading;
  }

  async #reloadNow(file: string): Promise<void> {
    const { logger } = this.#publisher;
    const read = readConfigFile(file);
    if (read.kind === 'refused') {
      this.#configTrouble = `${REFUSED} and the one before is in force: ${firstFault(read, file)}`;
      logger.warn({ file, rejects: read.rejects.slice(0, 8) }, this.#configTrouble);
      return;
    }
    const { config } = read;
    if (!config.saysLists && this.#config.lists.size > 0) {
      this.#configTrouble = `${REFUSED} and the one before is in force: ${UNSAID}; write lists: {} to drop all ${this.#config.lists.size}`;
      logger.warn({ file }, this.#configTrouble);
      return;
    }
    const isUnchanged = isDeepStrictEqual(config, this.#config);
    const wasRefused = this.#configTrouble?.startsWith(REFUSED) === true;
    const [before, after] = [this.#startTexts, config.startTexts];
    const keys = new Set([...before.keys(), ...after.keys()]);
    const stale = [...keys].filter((key) => before.get(key) !== after.get(key));
    this.#configTrouble =
      stale.length === 0
        ? undefined
        : `restart the publisher for ${stale.join(', ')}: the configuration changed`;
    if (isUnchanged && wasRefused) logger.info({ file }, 'the configuration file is the one in force again');
    if (isUnchanged) return;
    this.#config = config;
    this.#publisher.setMustReach(config.mustReach);
    this.#publisher.subscribers.expect(config.subscribers);
    await this.#sources.reload(config);
    await this.#followRules(config.rules);
    logger.info({ file, lists: config.lists.size }, 'took up the changed configuration');
    if (this.#configTrouble !== undefined) logger.warn({ file }, this.#configTrouble);
  }

  /** Ends work under way. Call it before the publisher closes. */
  async close(): Promise<void> {
    this.#publisher.off('release', this.#onRelease);
    await this.#closeWatch?.();
    await this.#reloading;
    await this.#rules?.close();
    // Together: sources wait for what is being read, and that is ended, however long it would take.
    await Promise.all([this.#sources.close(), this.#worker.close()]);
  }
}

async function watch(
  paths: readonly string[],
  onChange: (path: string) => void,
  options: WatchOptions = {},
): Promise<() => Promise<void>> {
  const watched = watchPaths(paths, options);
  watched.on('change', onChange);
  watched.on('gone', onChange);
  await watched.ready;
  return () => watched.close();
}
