/**
 * The listening side for qubes, and the execution of the machine's effects. An edge: machine.ts decides what
 * to do, upstream.ts talks to upstreams.
 */

import { once } from 'node:events';
import { createServer, type Server, type Socket } from 'node:net';
import { formatAddress, parseAddress } from '@rulecast/rules';
import { framed, MessageStream } from '../message/stream.ts';
import { ApplierSocket } from './applier.ts';
import { countersOf, OPENS } from './counters.ts';
import { QuestionSocket, type SocketClient, type TakeQuestion } from './datagrams.ts';
import {
  ALL_CONNECTIONS_MAX,
  ALL_QUESTIONS_MAX,
  CONNECTIONS_MAX,
  IDLE_MS,
  UNREAD_MAX_BYTES,
} from './limits.ts';
import { DnsProxy, type ProxyCounts, type ProxyEffect, type ProxyOptions } from './machine.ts';
import { isOfDatagrams } from './native.ts';
import { TlsUpstream } from './tls.ts';
import { type TellOfTrouble, Troubles } from './troubles.ts';
import { type Asking, askByStream, type DnsEndpoint, type DnsUpstream, UpstreamSockets } from './upstream.ts';
import { Watch } from './watch.ts';

export interface DnsServerOptions
  extends Pick<ProxyOptions, 'judge' | 'opens' | 'mayBePrivate' | 'randomBytes' | 'tellOfBlocked'> {
  /** UDP and TCP alike. */
  readonly listen: readonly DnsEndpoint[];
  /** Descriptors of sockets that the service manager bound, UDP or TCP; one of IPv6 serves both families. */
  readonly sockets?: readonly number[];
  /** All over TLS or none; asked in this order. Without any, what is not blocked is SERVFAIL. */
  readonly upstreams: readonly DnsUpstream[];
  /** Certificates, as PEM, that upstreams over TLS are verified by; absent: those of Node. */
  readonly upstreamCa?: string;
  /** Why one over TLS, by its index, cannot be connected to; without a reason: it can again. */
  readonly tellOfUpstream?: (index: number, why: string | undefined) => void;
  /** Called when a trouble begins, and once it has been over for a minute. */
  readonly tellOfTrouble?: TellOfTrouble;
  /** Path of the applier's socket; absent: nothing is opened, and answers that need it are refused. */
  readonly openings?: string;
  /** Steady, in milliseconds. */
  readonly nowMs: () => number;
}

/** The interval of looks for troubles. */
const LOOK_MS = 1000;

export class DnsServer {
  readonly #options: DnsServerOptions;
  readonly #proxy: DnsProxy<SocketClient>;
  readonly #watch = new Watch();
  readonly #datagrams = new Set<QuestionSocket>();
  readonly #servers = new Set<Server>();
  readonly #connections = new Map<Socket, string>();
  #upstreams: readonly DnsUpstream[];
  readonly #asking = new Map<number, Asking>();
  readonly #upstreamSockets = new UpstreamSockets(this.#watch);
  /** By their index. */
  readonly #tlsUpstreams: readonly (TlsUpstream | undefined)[];
  readonly #applier: ApplierSocket | undefined;
  readonly #troubles: Troubles;
  readonly #looking: NodeJS.Timeout;
  #timer: NodeJS.Timeout | undefined;
  /** When it is due. */
  #timerMs = Number.POSITIVE_INFINITY;
  #isClosed = false;

  private constructor(options: DnsServerOptions) {
    this.#options = options;
    const { judge, opens, mayBePrivate, randomBytes, tellOfBlocked, upstreams, openings } = options;
    const upstreamCount = upstreams.length;
    const isOverTls = upstreams.some(({ tlsName }) => tlsName !== undefined);
    this.#proxy = new DnsProxy({
      judge,
      opens,
      mayBePrivate,
      randomBytes,
      tellOfBlocked,
      upstreamCount,
      isOverTls,
    });
    this.#upstreams = upstreams;
    this.#tlsUpstreams = upstreams.map((endpoint, index) => {
      const { upstreamCa: ca, nowMs, tellOfUpstream } = options;
      const tell = (why: string | undefined): void => tellOfUpstream?.(index, why);
      const name = endpoint.tlsName;
      return name === undefined ? undefined : new TlsUpstream({ endpoint, name, ca, nowMs, tell });
    });
    this.#troubles = new Troubles(options.tellOfTrouble);
    this.#looking = setInterval(() => this.#troubles.look(this.#proxy, options.nowMs()), LOOK_MS);
    if (openings !== undefined)
      this.#applier = new ApplierSocket(openings, this.#watch, (...came) =>
        this.#follow(this.#proxy.opened(...came)),
      );
  }

  /** Listens. If that fails, rejects and leaves nothing open. */
  static async listen(options: DnsServerOptions): Promise<DnsServer> {
    const server = new DnsServer(options);
    try {
      for (const endpoint of options.listen) await server.listenAt(endpoint);
      for (const fd of options.sockets ?? []) await server.#listenOn(fd);
    } catch (error) {
      await server.close();
      throw error;
    }
    return server;
  }

  /** Replaces the upstreams, none of them over TLS; waiting questions are asked again. */
  replaceUpstreams(upstreams: readonly DnsEndpoint[]): void {
    this.#upstreams = upstreams;
    this.#follow(this.#proxy.replaceUpstreams(upstreams.length, this.#options.nowMs()));
  }

  get counts(): Readonly<ProxyCounts> {
    return this.#proxy.counts;
  }

  /** By name, and whether anything opens what rules accept by name. */
  get counters(): Readonly<Record<string, number>> {
    const opens = this.#applier?.isConnected === true ? 1 : 0;
    return { [OPENS]: opens, ...this.#troubles.counters, ...countersOf(this.#proxy) };
  }

  /** Is asked at an address, too. Resolves to what ends that; rejects, with nothing left open. */
  async listenAt(endpoint: DnsEndpoint): Promise<() => void> {
    const datagrams = QuestionSocket.at(endpoint, this.#watch, this.#takeDatagram);
    const server = this.#newServer();
    const close = (): void => {
      this.#datagrams.delete(datagrams);
      this.#servers.delete(server);
      datagrams.close();
      server.close();
    };
    this.#datagrams.add(datagrams);
    try {
      server.listen(endpoint.port, endpoint.address);
      await this.#listening(server);
    } catch (error) {
      close();
      throw error;
    }
    return close;
  }

  async #listenOn(fd: number): Promise<void> {
    if (isOfDatagrams(fd)) {
      this.#datagrams.add(new QuestionSocket(fd, this.#watch, this.#takeDatagram));
      return;
    }
    const server = this.#newServer();
    server.listen({ fd });
    await this.#listening(server);
  }

  async #listening(server: Server): Promise<void> {
    await once(server, 'listening');
    server.on('error', () => undefined); // an error of one connection
  }

  #newServer(): Server {
    const server = createServer((socket) => this.#accept(socket));
    this.#servers.add(server);
    return server;
  }

  #accept(socket: Socket): void {
    const asker = parseAddress(socket.remoteAddress ?? '');
    const from = asker === undefined ? '' : formatAddress(asker);
    const ofSame = [...this.#connections.values()].filter((other) => other === from).length;
    if (asker === undefined || ofSame >= CONNECTIONS_MAX || this.#connections.size >= ALL_CONNECTIONS_MAX) {
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
        this.#take({ asker, askerKey: from, transport: 'tcp', reply, end: () => socket.destroy() }, bytes);
      }
    });
    socket.on('error', () => undefined); // `close` comes after it
    socket.on('close', () => this.#connections.delete(socket));
  }

  readonly #takeDatagram: TakeQuestion = (client, bytes) => this.#take(client, bytes);

  #take(client: SocketClient, bytes: Uint8Array): void {
    if (!this.#isClosed) this.#follow(this.#proxy.ask(client, bytes, this.#options.nowMs()));
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
          this.#asking.get(effect.query)?.close();
          this.#asking.delete(effect.query);
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
    const endpoint = this.#upstreams[upstream];
    if (endpoint === undefined || this.#asking.size >= ALL_QUESTIONS_MAX) return; // its deadline ends it
    const onAnswer = (answer: Uint8Array): void => {
      this.#follow(this.#proxy.answer(query, answer, this.#options.nowMs()));
    };
    const onFailure = (): void => this.#follow(this.#proxy.fail(query, this.#options.nowMs()));
    const byTls = this.#tlsUpstreams[upstream]?.ask;
    const ask = byTls ?? (transport === 'udp' ? this.#upstreamSockets.ask : askByStream);
    this.#asking.set(query, ask(endpoint, bytes, onAnswer, onFailure));
  }

  /** A timer that is too early stays: nearly always a question is answered long before. */
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
    clearInterval(this.#looking);
    this.#applier?.close();
    for (const asking of this.#asking.values()) asking.close();
    this.#upstreamSockets.close();
    for (const upstream of this.#tlsUpstreams) upstream?.close();
    for (const socket of this.#connections.keys()) socket.destroy();
    for (const datagrams of this.#datagrams) datagrams.close();
    this.#watch.close();
    await Promise.all(
      [...this.#servers].map((server) => new Promise<void>((resolve) => server.close(() => resolve()))),
    );
  }
}
