/**
 * A publisher that does just what a test tells it, at the other end of memory channels. It makes releases
 * from the protocol's own functions, and any of it can be spoilt before it is sent.
 */

import { createHash, type KeyObject } from 'node:crypto';
import {
  Connection,
  diffRuleSets,
  encodeChain,
  encodeDelta,
  encodeManifest,
  encodeSnapshot,
  type Manifest,
  type Message,
  type MessageKind,
  type MessageOf,
  manifestFor,
  manifestHash,
  NONCE_BYTES,
  PROTOCOL_VERSION,
  type Received,
  type ReleaseIdentity,
  readRoot,
  type SignedRoot,
  type Statement,
  signBytes,
  type Trust,
} from '@rulecast/protocol';
import type { RuleSet } from '@rulecast/rules';
import { type Channel, createMemoryPair } from '@rulecast/vchan';
import { expect } from 'vitest';
import { freshFor, soleRoot } from '../../../test/kit/roots.mjs';
import { sampleRuleSet } from './sample.ts';
import { TestClock } from './test-clock.ts';

export interface ScriptedRelease {
  readonly ruleSet: RuleSet;
  readonly manifest: Manifest;
  readonly bytes: Uint8Array;
  readonly signatures: Uint8Array;
  readonly hash: Uint8Array;
}

/** What goes over the wire after WANT; each part can be replaced. */
export interface ScriptedTransfer {
  readonly begin: Omit<MessageOf<'begin'>, 'kind'>;
  readonly chunks: readonly Uint8Array[];
}

export class ScriptedPublisher {
  readonly trust: Trust;
  readonly root: SignedRoot;
  readonly privateKey: KeyObject;
  /** How often the subscriber asked for a channel. */
  connects = 0;
  /** The server ends of all channels so far. */
  readonly servers: Channel[] = [];
  /** Set: the next connects fail with it. */
  failure: Error | undefined;
  private readonly arrived: Peer[] = [];
  private readonly waiting: ((peer: Peer) => void)[] = [];

  /** With a key of its own, unless one is given. */
  constructor(lineage: Uint8Array = new Uint8Array(16).fill(0x4c), ownKey?: KeyObject) {
    const { key, root, trust } = soleRoot(lineage, ownKey);
    this.trust = trust;
    this.root = root;
    this.privateKey = key;
  }

  /** The subscriber's channel factory. */
  readonly channel = (): Promise<Channel> => {
    this.connects += 1;
    if (this.failure !== undefined) return Promise.reject(this.failure);
    const { client, server } = createMemoryPair();
    this.servers.push(server);
    const peer = new Peer(server, this.root, this.privateKey);
    const waiter = this.waiting.shift();
    if (waiter === undefined) this.arrived.push(peer);
    else waiter(peer);
    return Promise.resolve(client);
  };

  /** The next connection. */
  peer(): Promise<Peer> {
    const peer = this.arrived.shift();
    if (peer !== undefined) return Promise.resolve(peer);
    return new Promise((resolve) => {
      this.waiting.push(resolve);
    });
  }

  /** The next connection, greeted; with its HELLO. */
  async greeted(): Promise<{ readonly peer: Peer; readonly hello: MessageOf<'hello'> }> {
    const peer = await this.peer();
    const hello = await peer.receive('hello');
    await peer.welcome();
    return { peer, hello };
  }

  release(
    ruleSet: RuleSet,
    identity: Partial<ReleaseIdentity> & { readonly version: number },
  ): ScriptedRelease {
    const { version } = identity;
    const whole = {
      lineage: this.trust.lineage,
      epoch: 0,
      previousVersion: version - 1,
      createdAtMs: 1,
      ...identity,
    };
    return this.sign(manifestFor(ruleSet, whole), ruleSet);
  }

  /** A manifest as given, signed, over whatever rule set. */
  sign(manifest: Manifest, ruleSet: RuleSet): ScriptedRelease {
    const bytes = encodeManifest(manifest);
    return {
      ruleSet,
      manifest,
      bytes,
      signatures: signBytes(bytes, this.privateKey),
      hash: manifestHash(bytes),
    };
  }
}

/** The sample releases of versions 1 to 4. */
export function sampleReleases(
  publisher: ScriptedPublisher,
): readonly [ScriptedRelease, ScriptedRelease, ScriptedRelease, ScriptedRelease] {
  const of = (version: number): ScriptedRelease => publisher.release(sampleRuleSet(version), { version });
  return [of(1), of(2), of(3), of(4)];
}

export function sha256(bytes: Uint8Array): Uint8Array {
  return new Uint8Array(createHash('sha256').update(bytes).digest());
}

/** The transfer of any stream, upon a release or upon nothing. */
export function streamTransfer(stream: Uint8Array, base?: ScriptedRelease): ScriptedTransfer {
  const begin = { bytes: stream.length, snapshot: base === undefined ? true : undefined };
  const middle = Math.ceil(stream.length / 2);
  const chunks = [stream.subarray(0, middle), stream.subarray(middle)].filter((chunk) => chunk.length > 0);
  return { begin, chunks };
}

export function snapshotOf(release: ScriptedRelease): ScriptedTransfer {
  return streamTransfer(encodeChain([encodeSnapshot(release.ruleSet)]));
}

/** The deltas along some releases: from the first, which the subscriber holds, to the last. */
export function chainOf(...releases: readonly ScriptedRelease[]): ScriptedTransfer {
  const [base] = releases;
  if (base === undefined) throw new TypeError('a chain of no releases');
  const steps = releases.slice(1).map((after, i) => {
    const before = releases[i];
    if (before === undefined) throw new TypeError('unreachable: i is an index of releases');
    return encodeDelta(diffRuleSets(before.ruleSet, after.ruleSet));
  });
  return streamTransfer(encodeChain(steps), base);
}

/** One connection, from the publisher's end. */
export class Peer {
  /** To whom nothing was offered that has nothing: before it is said that there is nothing newer. */
  isFirst = true;
  private isNewTo = false; // the subscriber has not seen the root
  readonly server: Channel;
  private readonly connection: Connection;
  /** The last that was sent, or its own. */
  private root: SignedRoot;
  private readonly key: KeyObject;
  /** What it asked with last, if that was not answered. */
  nonce: Uint8Array | undefined;

  constructor(server: Channel, root: SignedRoot, key: KeyObject) {
    this.key = key;
    this.server = server;
    this.connection = new Connection(server, { after: new TestClock().after });
    this.root = root;
  }

  send(message: Message, transaction = 0): Promise<void> {
    if (message.kind === 'root') this.root = rootIn(message) ?? this.root;
    return this.connection.send(message, transaction);
  }

  /**
   * The next message, which must be of that kind. A PING may come at any time where a machine is slow, and is
   * no surprise.
   */
  async receive<K extends MessageKind>(kind: K): Promise<MessageOf<K>> {
    return (await this.receiveWith(kind)).message;
  }

  async receiveWith<K extends MessageKind>(
    kind: K,
  ): Promise<{ readonly message: MessageOf<K>; readonly transaction: number }> {
    let received = await this.received();
    while (kind !== 'ping' && received?.message.kind === 'ping') received = await this.received();
    if (received?.message.kind === 'hello') this.isNewTo = received.message.root?.number === undefined;
    if (!isOf(received, kind)) {
      throw new Error(`expected ${kind}, came ${JSON.stringify(received?.message ?? 'the end')}`);
    }
    return received;
  }

  private async received(): Promise<Received | undefined> {
    const received = await this.connection.receive();
    const message = received?.message;
    if (message?.kind === 'hello' || message?.kind === 'ping') this.nonce = message.nonce ?? this.nonce;
    if (message?.kind === 'hello') this.isFirst = message.holds === undefined && message.floor === undefined;
    return received;
  }

  /** Expects that the subscriber ends the connection next; the code of its BYE, if it said one. */
  async ended(): Promise<string | undefined> {
    const received = await this.connection.receive();
    if (received === undefined) return undefined;
    if (!isOf(received, 'bye')) throw new Error(`expected the end, came ${received.message.kind}`);
    expect(await this.connection.receive()).toBeUndefined();
    return received.message.code;
  }

  /** WELCOME, and the root that a subscriber knows by nothing but its hash. */
  async welcome(lineage: Uint8Array = this.root.root.lineage, heartbeatMs = 15_000): Promise<void> {
    await this.send({ kind: 'welcome', protocol: PROTOCOL_VERSION, name: 'dom0', lineage, heartbeatMs });
    const { signatures, content } = this.root;
    const isOwn = Buffer.compare(lineage, this.root.root.lineage) === 0; // else the subscriber leaves at once
    if (this.isNewTo && isOwn) await this.send({ kind: 'root', signatures, content });
  }

  /** Says what is newest; default: that there is nothing yet, so that whatever is offered comes since. */
  async fresh(said: Partial<Statement> = {}, key: KeyObject = this.key): Promise<void> {
    const { nonce = new Uint8Array(NONCE_BYTES) } = this;
    this.nonce = undefined;
    await this.send(freshFor(nonce, this.root, key, said));
  }

  async offer(release: Pick<ScriptedRelease, 'signatures' | 'bytes'>): Promise<void> {
    if (this.isFirst && this.nonce !== undefined) await this.fresh();
    this.isFirst = false;
    return this.send({ kind: 'offer', signatures: release.signatures, content: release.bytes });
  }

  /** Sends BEGIN, the CHUNKs and END. */
  async transfer({ begin, chunks }: ScriptedTransfer): Promise<void> {
    await this.send({ kind: 'begin', ...begin });
    for (const bytes of chunks) await this.send({ kind: 'chunk', bytes });
    await this.send({ kind: 'end' });
  }

  /** Offers a release and transfers it; resolves once it is applied. */
  async bring(
    release: ScriptedRelease,
    transfer: ScriptedTransfer = snapshotOf(release),
  ): Promise<MessageOf<'applied'>> {
    await this.offer(release);
    const want = await this.receive('want');
    expect(want.hash).toEqual(release.hash);
    await this.transfer(transfer);
    return this.receive('applied');
  }

  close(): void {
    this.connection.close();
  }
}

function rootIn(message: MessageOf<'root'>): SignedRoot | undefined {
  try {
    return readRoot(message);
  } catch {
    return undefined; // spoilt by a test
  }
}

function isOf<K extends MessageKind>(
  received: Received | undefined,
  kind: K,
): received is Received & { readonly message: MessageOf<K> } {
  return received?.message.kind === kind;
}
