/**
 * Tells when files and directories have changed and come to rest. The system's events only wake it, and a
 * look at the files decides, so that it makes no difference whether a file was written, renamed over, removed
 * and made again, or is a link to another one now.
 *
 *   wake ─settleMs─▶ look ─as known─▶ rest
 *                     │ differs ─pollMs─▶ look ─the same─▶ 'change'
 *                     │                    └─differs again─▶ (pollMs)
 *                     └ missing ─goneMs─▶ look ─missing─▶ 'gone'
 *
 * A directory is one path: changes in and below it are one change. Each place on the way to a path is watched
 * for the names that matter there, and a directory with all that is below it by chokidar, which watches
 * directories only: the system tells of their files by them.
 */

import { EventEmitter } from 'node:events';
import { type FSWatcher, watch as watchDirectory } from 'node:fs';
import { type FSWatcher as TreeWatcher, watch as watchTree } from 'chokidar';
import { WATCH_LIMITS } from './limits.ts';
import { type PathState, type Place, stateOf } from './state.ts';

export interface WatchOptions {
  /** Quiet before a change is looked at; default 500 ms. */
  readonly settleMs?: number;
  /** Between two looks that must agree; default 100 ms. */
  readonly pollMs?: number;
  /** A path that never rests is reported after so long; default 30 s. */
  readonly settleMaxMs?: number;
  /** Absence before it is told; default 1 s. */
  readonly goneMs?: number;
  /** The interval of looks at everything, whatever the system's events; default 60 s. */
  readonly recheckMs?: number;
}

type Timing = Required<WatchOptions>;

interface PathWatchEvents {
  /** A path, as given, has other content and has come to rest. */
  readonly change: [path: string];
  /** A path that was there is not any more. */
  readonly gone: [path: string];
  /** A directory cannot be watched: changes there are found by regular looks only. */
  readonly fault: [directory: string, error: Error];
}

/**
 * Starts to watch. Paths need not exist. Their initial state is not reported: wait for `ready`, then read
 * them.
 */
export function watchPaths(paths: readonly string[], options: WatchOptions = {}): PathWatch {
  return new PathWatch(paths, options);
}

export class PathWatch extends EventEmitter<PathWatchEvents> {
  /** Changes from here on are told. Never rejects. */
  readonly ready: Promise<void>;
  readonly #watched: readonly WatchedPath[];
  readonly #places: Places;
  readonly #recheck: NodeJS.Timeout;

  constructor(paths: readonly string[], options: WatchOptions) {
    super();
    const timing: Timing = { ...WATCH_LIMITS, ...options };
    const onFault = (directory: string, error: Error): boolean => this.emit('fault', directory, error);
    this.#places = new Places(onFault);
    this.#watched = [...new Set(paths)].map((path) => {
      return new WatchedPath(path, timing, {
        places: this.#places,
        onFault,
        tell: (kind) => this.emit(kind, path),
      });
    });
    this.ready = Promise.all(this.#watched.map((path) => path.start())).then(() => undefined);
    this.#recheck = setInterval(() => {
      for (const path of this.#watched) path.wake();
    }, timing.recheckMs);
    this.#recheck.unref();
  }

  /** Stops reporting. Resolves when all resources are released. */
  async close(): Promise<void> {
    clearInterval(this.#recheck);
    this.removeAllListeners();
    await Promise.all(this.#watched.map((path) => path.close()));
    this.#places.close();
  }
}

interface Surroundings {
  readonly places: Places;
  readonly onFault: (directory: string, error: Error) => void;
  readonly tell: (kind: 'change' | 'gone') => void;
}

class WatchedPath {
  readonly #path: string;
  readonly #timing: Timing;
  readonly #around: Surroundings;
  /** The state reported last, or at the start. */
  #known: string | undefined;
  /** The state of the last look, if it differs. */
  #candidate: string | undefined;
  /** When a look first found nothing. */
  #missingSinceMs: number | undefined;
  /** The first wake that led to nothing yet. */
  #restlessSinceMs: number | undefined;
  #timer: NodeJS.Timeout | undefined;
  #look: Promise<void> = Promise.resolve();
  #isLooking = false;
  #wasWoken = false;
  #isClosed = false;
  #tree: { readonly identity: string; readonly watcher: TreeWatcher } | undefined;

  constructor(path: string, timing: Timing, around: Surroundings) {
    this.#path = path;
    this.#timing = timing;
    this.#around = around;
  }

  async start(): Promise<void> {
    let state = await stateOf(this.#path);
    // it may have changed before the watch began
    while (await this.#watchAround(state)) state = await stateOf(this.#path);
    this.#known = state.signature;
  }

  /** Something may have changed. */
  wake(): void {
    if (this.#isClosed) return;
    this.#wasWoken = true;
    const nowMs = performance.now();
    this.#restlessSinceMs ??= nowMs;
    const isOverdue = nowMs - this.#restlessSinceMs > this.#timing.settleMaxMs;
    if (!isOverdue || this.#timer === undefined) this.#lookIn(this.#timing.settleMs);
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    clearTimeout(this.#timer);
    await this.#look;
    this.#around.places.leave(this);
    await this.#tree?.watcher.close();
  }

  #lookIn(ms: number): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      if (this.#isLooking) return; // it notices that it was woken
      this.#look = this.#lookNow();
    }, ms);
  }

  async #lookNow(): Promise<void> {
    this.#isLooking = true;
    this.#wasWoken = false;
    const state = await stateOf(this.#path);
    const isNew = !this.#isClosed && (await this.#watchAround(state));
    this.#isLooking = false;
    if (this.#isClosed) return;
    if (isNew) this.#wasWoken = true;
    this.#compare(state.signature);
  }

  #compare(signature: string | undefined): void {
    const timing = this.#timing;
    const known = this.#known;
    const nowMs = performance.now();
    if (signature === known) {
      this.#settle(known);
      if (this.#wasWoken) this.wake();
      return;
    }
    if (signature === undefined) {
      this.#missingSinceMs ??= nowMs;
      const leftMs = this.#missingSinceMs + timing.goneMs - nowMs;
      if (leftMs > 0) return this.#lookIn(leftMs);
      this.#settle(undefined);
      this.#around.tell('gone');
      return;
    }
    this.#missingSinceMs = undefined;
    const isRestless = this.#wasWoken || signature !== this.#candidate;
    if (isRestless && nowMs - (this.#restlessSinceMs ?? nowMs) <= timing.settleMaxMs) {
      this.#restlessSinceMs ??= nowMs;
      this.#candidate = signature;
      return this.#lookIn(timing.pollMs);
    }
    this.#settle(signature);
    this.#around.tell('change');
  }

  #settle(known: string | undefined): void {
    this.#known = known;
    this.#candidate = undefined;
    this.#missingSinceMs = undefined;
    this.#restlessSinceMs = undefined;
  }

  /** Watches the directories of a state; returns whether any is new. */
  async #watchAround({ places, tree }: PathState): Promise<boolean> {
    const isNewPlace = this.#around.places.take(this, places);
    if (tree?.identity === this.#tree?.identity) return isNewPlace;
    await this.#tree?.watcher.close();
    this.#tree = undefined;
    if (tree === undefined) return isNewPlace;
    const { directory, identity } = tree;
    const watcher = watchTree(directory, {
      ignoreInitial: true,
      followSymlinks: false,
      ignored: (_path, stats) => stats !== undefined && !stats.isDirectory(),
    });
    this.#tree = { identity, watcher };
    watcher.on('raw', () => this.wake());
    watcher.on('error', (error) => {
      this.#around.onFault(directory, error instanceof Error ? error : new Error(String(error)));
    });
    await new Promise<void>((resolve) => {
      watcher.once('ready', () => resolve());
      setTimeout(resolve, this.#timing.settleMaxMs).unref(); // a directory that vanishes meanwhile may never be ready
    });
    return true;
  }
}

/** The directories along the paths, each watched once for all of them. */
class Places {
  readonly #onFault: (directory: string, error: Error) => void;
  readonly #open = new Map<string, OpenPlace>();

  constructor(onFault: (directory: string, error: Error) => void) {
    this.#onFault = onFault;
  }

  /**
   * A path is interested in these places, and in no others any more; whether one of them was not watched
   * before.
   */
  take(path: WatchedPath, places: ReadonlyMap<string, Place>): boolean {
    let isNew = false;
    for (const [key, place] of places) {
      let open = this.#open.get(key);
      if (open === undefined) {
        open = { interests: new Map(), watcher: this.#watch(key, place.directory) };
        this.#open.set(key, open);
        isNew ||= open.watcher !== undefined;
      }
      open.interests.set(path, place.names);
    }
    for (const [key, open] of this.#open) {
      if (!places.has(key)) this.#drop(key, open, path);
    }
    return isNew;
  }

  leave(path: WatchedPath): void {
    for (const [key, open] of this.#open) this.#drop(key, open, path);
  }

  close(): void {
    for (const { watcher } of this.#open.values()) watcher?.close();
    this.#open.clear();
  }

  #drop(key: string, open: OpenPlace, path: WatchedPath): void {
    open.interests.delete(path);
    if (open.interests.size > 0) return;
    open.watcher?.close();
    this.#open.delete(key);
  }

  #watch(key: string, directory: string): FSWatcher | undefined {
    try {
      const watcher = watchDirectory(directory, (_event, name) => this.#wake(key, name));
      watcher.on('error', (error) => {
        watcher.close();
        this.#onFault(directory, error);
      });
      return watcher;
    } catch (error) {
      this.#onFault(directory, error instanceof Error ? error : new Error(String(error)));
      return undefined;
    }
  }

  #wake(key: string, name: string | null): void {
    for (const [path, names] of this.#open.get(key)?.interests ?? []) {
      if (name === null || names.has(name)) path.wake();
    }
  }
}

interface OpenPlace {
  readonly interests: Map<WatchedPath, ReadonlySet<string>>;
  /** undefined if it cannot be watched. */
  readonly watcher: FSWatcher | undefined;
}
