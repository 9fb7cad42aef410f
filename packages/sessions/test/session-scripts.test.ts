/** The machine of a publisher's session, led through the scripts of `protocol/vectors/states.json`. */

import {
  decodeManifest,
  hexOf,
  isSignedBy,
  type Message,
  parseTrust,
  readRoot,
  type Signed,
} from '@rulecast/protocol';
import { describe, expect, it } from 'vitest';
import { freshFor, keyOfSeed } from '../../../test/kit/roots.mjs';
import {
  expectSent,
  PUBLISHER_SCRIPTS,
  RELEASES,
  ROOT,
  type Script,
  type Step as ScriptStep,
  SEED,
  TRUST,
} from '../../../test/kit/session-scripts.ts';
import type { PublisherView, SessionRelease } from '../src/host.ts';
import { deadline, start, step } from '../src/session/machine.ts';
import type { Effect, EffectOf, Event, Now, State } from '../src/session/state.ts';

const KEY = keyOfSeed(SEED);
const FIRST_ROOT = readRoot(ROOT);

function releaseNamed(
  name: string,
): SessionRelease & { readonly snapshot: Uint8Array; readonly chain: Uint8Array } {
  const found = RELEASES.find((release) => release.name === name);
  if (found === undefined) throw new TypeError(`no release is ${name}`);
  const { manifest: manifestBytes, signatures, hash, capabilities, snapshot, chain } = found;
  const manifest = decodeManifest(manifestBytes);
  return {
    manifest,
    manifestBytes,
    signatures,
    hash,
    capabilities: capabilities as SessionRelease['capabilities'],
    snapshot,
    chain,
  };
}

/** A publisher around the machine, with a number in place of a clock and an array in place of a channel. */
class World {
  #nowMs = 0;
  #state: State = start(0);
  #heads: ReturnType<typeof releaseNamed>[] = [];
  #isBehind = false;
  #sent: Message[] = [];
  #isEnded = false;

  take({ at, connect, receive, end, head, send, closed }: ScriptStep, where: string): void {
    this.#pass(at);
    if (connect) this.#state = start(at);
    if (receive !== undefined) this.#feed({ kind: 'received', message: receive, transaction: 0 });
    if (end) this.#feed({ kind: 'disconnected' });
    if (head !== undefined) {
      this.#heads.push(releaseNamed(head));
      this.#feed({ kind: 'published' });
    }
    const bye = closed === undefined || closed === null ? [] : [{ kind: 'bye', code: closed }];
    expectSent(this.#sent.splice(0), [...send, ...bye], where);
    expect(this.#isEnded, `${where}: is closed`).toBe(closed !== undefined);
  }

  /** All deadlines up to a time, each when it is there. */
  #pass(atMs: number): void {
    for (let due = deadline(this.#state); due <= atMs; due = deadline(this.#state)) {
      this.#nowMs = due;
      this.#feed({ kind: 'tick' });
    }
    this.#nowMs = atMs;
  }

  #feed(event: Event): void {
    const { state, effects } = step(this.#state, event, this.#now());
    this.#state = state;
    for (const effect of effects) this.#perform(effect);
  }

  #perform(effect: Effect): void {
    switch (effect.kind) {
      case 'send':
        this.#sent.push(effect.message);
        return;
      case 'bye':
        this.#sent.push({ kind: 'bye', code: effect.code, text: '' });
        this.#isEnded = true;
        return;
      case 'close':
        this.#isEnded = true;
        return;
      case 'claim':
        return this.#feed({ kind: 'claimed', refusal: undefined });
      case 'attest':
        return this.#feed({ kind: 'attested', nonce: effect.nonce, signed: attested(effect) });
      case 'prove':
        this.#isBehind = true;
        return this.#feed({ kind: 'proved', release: effect.release });
      case 'transfer':
        return this.#transfer(effect);
      default:
        return; // what is known of it is noted
    }
  }

  #transfer({ transfer, release, base }: EffectOf<'transfer'>): void {
    const { snapshot, chain } = this.#heads.find(({ hash }) => hash === release.hash) ?? this.#head;
    const isChain = base !== undefined;
    const stream = isChain ? chain : snapshot;
    this.#feed({ kind: 'transferBegun', transfer, isChain });
    this.#sent.push({ kind: 'begin', bytes: stream.length, ...(isChain ? {} : { snapshot: true }) });
    this.#sent.push({ kind: 'chunk', bytes: stream }, { kind: 'end' });
    this.#feed({ kind: 'transferSent', transfer });
  }

  get #head(): ReturnType<typeof releaseNamed> {
    const head = this.#heads.at(-1);
    if (head === undefined) throw new Error('there is no head');
    return head;
  }

  #now(): Now {
    const nowMs = this.#nowMs;
    return { monotonicMs: nowMs, wallMs: nowMs, bytesSent: 0, isSending: false, publisher: this.#view() };
  }

  #view(): PublisherView {
    const heads = this.#heads;
    const lineage = parseTrust(TRUST)?.lineage ?? new Uint8Array();
    return {
      name: 'mgmt',
      lineage,
      head: heads.at(-1),
      isBehind: this.#isBehind,
      isNamed: () => false,
      numberOf: (hash) => heads.find((release) => hexOf(release.hash) === hexOf(hash))?.manifest,
      hashOf: ({ epoch, version }) => {
        const found = heads.find(({ manifest }) => manifest.epoch === epoch && manifest.version === version);
        return found && hexOf(found.hash);
      },
      rulesOut: () => false,
      isSigned: (signed) => isSignedBy(FIRST_ROOT.root, 'release', signed),
      rootsAfter: ({ hash, number }) => {
        if (hexOf(hash) !== hexOf(FIRST_ROOT.hash)) return undefined;
        return number === undefined ? [FIRST_ROOT] : [];
      },
    };
  }
}

function attested({ nonce, release }: EffectOf<'attest'>): Signed {
  if (release === undefined) return freshFor(nonce, FIRST_ROOT, KEY);
  const { hash, manifest } = release;
  return freshFor(nonce, FIRST_ROOT, KEY, { hash, epoch: manifest.epoch, version: manifest.version });
}

function lead({ steps }: Script): void {
  const world = new World();
  for (const [i, one] of steps.entries())
    world.take(one, `step ${i}, ${one.receive?.kind ?? one.head ?? ''}`);
}

describe('a publisher', () => {
  it.each(PUBLISHER_SCRIPTS)('$name', (script) => lead(script));
});
