/** The sockets at which qubes ask. An edge: what to do is machine.ts, how upstreams are asked upstream.ts. */

import { createSocket, type Socket as Datagrams } from 'node:dgram';
import { once } from 'node:events';
import { createServer, isIPv6, type Server, type Socket } from 'node:net';
import { parseAddress } from '@rulecast/rules';
import { framed, MessageStream } from '../message/stream.ts';
import { ApplierSocket } from './applier.ts';
import { countersOf, OPENS } from './counters.ts';
import {
  ALL_CONNECTIONS_MAX,
  ALL_QUESTIONS_MAX,
  CONNECTIONS_MAX,
  IDLE_MS,
  RECEIVED_BYTES,
  UNREAD_MAX_BYTES,
} from './limits.ts';
import { type Client, DnsProxy, type ProxyCounts, type ProxyEffect, type ProxyOptions } from './machine.ts';
import { TlsUpstream } from './tls.ts';
import {
  ADDRESSES_ONLY,
  type Asking,
  askByStream,
  type DnsEndpoint,
  type DnsUpstream,
  UpstreamSockets,
} from './upstream.ts';

export interface DnsServerOptions
  extends Pick<ProxyOptions, 'judge' | 'opens' | 'mayBePrivate' | 'randomBytes'> {
  /** UDP and TCP alike. */
  readonly listen: readonly DnsEndpoint[];
  /**
   * Descriptors of sockets that somebody bound, of UDP or TCP, which take both families where there are
   * both.
   */
  readonly sockets?: readonly number[];
  readonly hasIpv6?: boolean;
  /** One at least, all over TLS or none; asked in this order. */
  readonly upstreams: readonly DnsUpstream[];
  /** Who is trusted to say that an upstream over TLS is one, as PEM; absent: whom Node trusts. */
  readonly upstreamCa?: string;
  /** Why one over TLS, by its index, cannot be connected to; without a reason: it can again. */
  readonly tellOfUpstream?: (index: number, why: string | undefined) => void;
  /** Path of the applier's socket; absent: nothing is opened, and what has to be is not answered. */
  readonly openings?: string;
  /** Steady, in milliseconds. */
  readonly nowMs: () => number;
}

interface SocketClient extends Client {
  readonly reply: (bytes: Uint8Array) => void;
  readonly end: () => void;
}

export class DnsServer {
  readonly #options: DnsServerOptions;
  readonly #proxy: DnsProxy<SocketClient>;
  readonly #datagrams: Datagrams[] = [];
  readonly #servers: Server[] = [];
  readonly #connections = new Map<Socket, string>();
  readonly #upstreams = new Map<number, Asking>();
  readonly #upstreamSockets = new UpstreamSockets();
  /** By their index. */
  readonly #tlsUpstreams: readonly (TlsUpstream | undefined)[];
  readonly #applier: ApplierSocket | undefined;
  #timer: NodeJS.Timeout | undefined;
  /** When it is due. */
  #timerMs = Number.POSITIVE_INFINITY;
  #isClosed = false;

  private constructor(options: DnsServerOptions) {
    this.#options = options;
    const { judge, opens, mayBePrivate, randomBytes, upstreams, openings } = options;
    const upstreamCount = upstreams.length;
    const isOverTls = upstreams.some(({ tlsName }) => tlsName !== undefined);
    this.#proxy = new DnsProxy({ judge, opens, mayBePrivate, randomBytes, upstreamCount, isOverTls });
    this.#tlsUpstreams = upstreams.map((endpoint, index) => {
      const { upstreamCa: ca, nowMs, tellOfUpstream } = options;
      const tell = (why: string | undefined): void => tellOfUpstream?.(index, why);
      const name = endpoint.tlsName;
      return name === undefined ? undefined : new TlsUpstream({ endpoint, name, ca, nowMs, tell });
    });
    if (openings !== undefined)
      this.#applier = new ApplierSocket(openings, (...came) => this.#follow(this.#proxy.opened(...came)));
  }

  /** Listens. Rejects, with nothing left open, where it cannot. */
  static async listen(options: DnsServerOptions): Promise<DnsServer> {
    const server = new DnsServer(options);
    try {
      for (const endpoint of options.listen) await server.#listenAt(endpoint);
      for (const fd of options.sockets ?? []) await server.#listenOn(fd);
    } catch (error) {
      await server.close();
      throw error;
    }
    return server;
  }

  get counts(): Readonly<ProxyCounts> {
    return this.#proxy.counts;
  }

  /** By name, and whether anything opens what rules accept by name. */
  get counters(): Readonly<Record<string, number>> {
    return { ...countersOf(this.#proxy), [OPENS]: this.#applier?.isConnected === true ? 1 : 0 };
  }

  async #listenAt({ address, port }: DnsEndpoint): Promise<void> {
    const datagrams = this.#newDatagrams(isIPv6(address));
    const server = this.#newServer();
    const heard = Promise.all([this.#listening(datagrams), this.#listening(server)]);
    datagrams.bind(port, address); // which may be done at once
    server.listen(port, address);
    await heard;
    roomy(datagrams);
  }

  /** Of which kind it is, only who tries knows. */
  async #listenOn(fd: number): Promise<void> {
    const datagrams = this.#newDatagrams(this.#options.hasIpv6 ?? true);
    const heard = this.#listening(datagrams); // which is said before this returns
    try {
      datagrams.bind({ fd });
    } catch (error) {
      if (!(error instanceof Error && 'code' in error && error.code === 'ERR_INVALID_FD_TYPE')) throw error;
      this.#datagrams.pop()?.close();
      const server = this.#newServer();
      server.listen({ fd });
      return this.#listening(server);
    }
    await heard;
    roomy(datagrams);
  }

  async #listening(socket: Datagrams | Server): Promise<void> {
    await once(socket, 'listening');
    socket.on('error', () => undefined); // of one packet or connection
  }

  #newDatagrams(isOf6: boolean): Datagrams {
    const datagrams = createSocket({ type: isOf6 ? 'udp6' : 'udp4', ...ADDRESSES_ONLY });
    this.#datagrams.push(datagrams);
    datagrams.on('message', (bytes, from) => {
      if (from.port === 0) return; // from a raw socket: nothing can be sent there
      const reply = (answer: Uint8Array): void => {
        if (!this.#isClosed) datagrams.send(answer, from.port, from.address); // it may be lost
      };
      this.#take(from.address, 'udp', bytes, { reply, end: () => undefined });
    });
    return datagrams;
  }

  #newServer(): Server {
    const server = createServer((socket) => this.#accept(socket));
    this.#servers.push(server);
    return server;
  }

  #accept(socket: Socket): void {
    const from = socket.remoteAddress ?? '';
    const ofSame = [...this.#connections.values()].filter((other) => other === from).length;
    if (ofSame >= CONNECTIONS_MAX || this.#connections.size >= ALL_CONNECTIONS_MAX) {
      socket.destroy();
      return;
    }
    this.#connections.set(socket, from);
    const stream = new MessageStream();
    const reply = (answer: Uint8Array): void => {
      if (socket.writableLength > UNREAD_MAX_BYTES) socket.destroy();
      else if (!socket.destroyed) socket.write(framed(answer));
    };
    socket.setTimeout(IDLE_MS, () => socket.destroy());
    socket.on('data', (chunk) => {
      for (const bytes of stream.feed(chunk)) {
        if (socket.destroyed) return;
        this.#take(from, 'tcp', bytes, { reply, end: () => socket.destroy() });
      }
    });
    socket.on('error', () => undefined); // `close` comes after it
    socket.on('close', () => this.#connections.delete(socket));
  }

  #take(
    from: string,
    transport: 'udp' | 'tcp',
    bytes: Uint8Array,
    to: Pick<SocketClient, 'reply' | 'end'>,
  ): void {
    const asker = parseAddress(from);
    if (asker === undefined || this.#isClosed) return; // with a zone behind it: no qube has such an address
    this.#follow(this.#proxy.ask({ asker, askerKey: from, transport, ...to }, bytes, this.#options.nowMs()));
  }

  #follow(effects: readonly ProxyEffect<SocketClient>[]): void {
    for (const effect of effects) {
      switch (effect.kind) {
        case 'reply':
          effect.client.reply(effect.bytes);
          break;
        case 'end':
          effect.client.end();
          break;
        case 'close':
          this.#upstreams.get(effect.query)?.close();
          this.#upstreams.delete(effect.query);
          break;
        case 'ask':
          this.#askUpstream(effect);
          break;
        case 'open':
          this.#applier?.ask(effect.wait, effect.openings); // without one, its time runs out
          break;
      }
    }
    this.#setTimer();
  }

  #askUpstream({ query, upstream, transport, bytes }: ProxyEffect<SocketClient> & { kind: 'ask' }): void {
    const endpoint = this.#options.upstreams[upstream];
    if (endpoint === undefined || this.#upstreams.size >= ALL_QUESTIONS_MAX) return; // its deadline ends it
    const onAnswer = (answer: Uint8Array): void => {
      this.#follow(this.#proxy.answer(query, answer, this.#options.nowMs()));
    };
    const onFailure = (): void => this.#follow(this.#proxy.fail(query, this.#options.nowMs()));
    const byTls = this.#tlsUpstreams[upstream]?.ask;
    const ask = byTls ?? (transport === 'udp' ? this.#upstreamSockets.ask : askByStream);
    this.#upstreams.set(query, ask(endpoint, bytes, onAnswer, onFailure));
  }

  /** One that is due before anything is stays: nearly always a question is answered long before. */
  #setTimer(): void {
    const { deadlineMs = Number.POSITIVE_INFINITY } = this.#proxy;
    if (deadlineMs >= this.#timerMs || this.#isClosed) return;
    clearTimeout(this.#timer);
    this.#timerMs = deadlineMs;
    const expire = (): void => {
      this.#timerMs = Number.POSITIVE_INFINITY;
      this.#follow(this.#proxy.expire(this.#options.nowMs()));
    };
    this.#timer = setTimeout(expire, Math.max(0, deadlineMs - this.#options.nowMs()));
  }

  /** Ends everything that is open; questions that wait get no answer. */
  async close(): Promise<void> {
    if (this.#isClosed) return;
    this.#isClosed = true;
    clearTimeout(this.#timer);
    this.#applier?.close();
    for (const upstream of this.#upstreams.values()) upstream.close();
    this.#upstreamSockets.close();
    for (const upstream of this.#tlsUpstreams) upstream?.close();
    for (const socket of this.#connections.keys()) socket.destroy();
    for (const datagrams of this.#datagrams) datagrams.close();
    await Promise.all(
      this.#servers.map((server) => new Promise<void>((resolve) => server.close(() => resolve()))),
    );
  }
}

/** Linux says twice of what it was asked for, which is what it has. */
function roomy(datagrams: Datagrams): void {
  if (datagrams.getRecvBufferSize() < RECEIVED_BYTES) datagrams.setRecvBufferSize(RECEIVED_BYTES / 2);
}
