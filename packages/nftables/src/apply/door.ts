/**
 * The socket for openings by `rulecast-dns`: one connection, the newest. Openings that arrive together are
 * made and answered together, in order, except those that must wait. Any client that can connect may open
 * addresses for qubes, within the limits of `Openings`, so only the applier's user and group may access the
 * file.
 */

import { chmodSync, lstatSync, unlinkSync } from 'node:fs';
import { createServer, type Server, type Socket } from 'node:net';
import { NAME_ADDRESSES_OF_ONE_MAX, OPENED_TOGETHER } from '../limits.ts';
import { answerFrame, type Opening, type OpeningOutcome, OpeningReader } from './opening.ts';

/** Between attempts to listen. */
const AGAIN_MS = 1000;
/** An outcome for each. */
type Answering = (openings: readonly Opening[]) => readonly (OpeningOutcome | Promise<OpeningOutcome>)[];

/** Bytes of answers that wait for who does not read them; beyond, it is none. */
const UNREAD_MAX_BYTES = 65_536;
const MODE = 0o660;
/**
 * After so much processor time, less the time since, it rests as long as it worked: a client that never stops
 * gets half of the applier, and one that asks now and then does not wait.
 */
const REST_AFTER_MS = 4;

export class Door {
  readonly #path: string;
  #server: Server | undefined;
  #caller: Socket | undefined;
  #again: NodeJS.Timeout | undefined;
  #said = '';
  /** Work without a rest so far, in ms, as of `#asOfMs`. */
  #workedMs = 0;
  #asOfMs = 0;

  constructor(path: string) {
    this.#path = path;
  }

  /** Listens, and retries on failure: enforcement does not depend on it. */
  open(answer: Answering): void {
    const server = createServer((socket) => this.#serve(socket, answer));
    this.#server = server;
    server.on('error', (error) => {
      this.#say(error);
      this.#again = setTimeout(() => this.open(answer), AGAIN_MS);
    });
    try {
      if (lstatSync(this.#path).isSocket()) unlinkSync(this.#path); // of an applier that is no more
    } catch {
      // it does not exist, or cannot be removed, in which case listening reports the error
    }
    server.listen(this.#path, () => {
      try {
        chmodSync(this.#path, MODE);
        this.#said = '';
      } catch (error) {
        this.#say(error); // something else may have taken the socket's place: nothing opens
      }
    });
  }

  /** Prints a fault once, until it changes. */
  #say(error: unknown): void {
    const text = error instanceof Error ? error.message : String(error);
    if (this.#said !== text) process.stderr.write(`rulecast-applier: --openings ${this.#path}: ${text}\n`);
    this.#said = text;
  }

  #serve(socket: Socket, answer: Answering): void {
    this.#caller?.destroy();
    this.#caller = socket;
    const reader = new OpeningReader();
    socket.on('data', (bytes) => this.#answer(socket, reader.feed(bytes), answer));
    socket.on('error', () => undefined); // `close` comes after it
  }

  /** Answers in pieces, between which the applier does its main work. */
  #answer(socket: Socket, openings: Iterator<Opening>, answer: Answering): void {
    if (socket.destroyed) return;
    const [startMs, before] = [performance.now(), process.cpuUsage()];
    let isWhole = false;
    try {
      const piece: Opening[] = [];
      for (let taken = 0; taken < OPENED_TOGETHER - NAME_ADDRESSES_OF_ONE_MAX; ) {
        const next = openings.next();
        isWhole = next.done === true;
        if (next.done === true) break;
        piece.push(next.value);
        taken += next.value.addresses.length;
      }
      if (piece.length > 0) this.#tell(socket, piece, answer(piece));
    } catch (error) {
      socket.destroy(); // it does not speak as rulecast-dns does, or the fault is ours: nothing opens
      this.#say(error);
      return;
    }
    const { user, system } = process.cpuUsage(before);
    const restMs = this.#rest(startMs, (user + system) / 1000);
    if (isWhole && restMs === 0) {
      if (socket.isPaused()) socket.resume();
      return;
    }
    socket.pause();
    const next = (): void => this.#answer(socket, openings, answer);
    if (restMs === 0) setImmediate(next);
    else setTimeout(next, restMs);
  }

  /** The rest due now, after so much work since then. */
  #rest(sinceMs: number, workedMs: number): number {
    const owedMs = Math.max(0, this.#workedMs - (sinceMs - this.#asOfMs)) + workedMs;
    const restMs = owedMs < REST_AFTER_MS ? 0 : owedMs;
    this.#workedMs = restMs === 0 ? owedMs : 0;
    this.#asOfMs = performance.now() + restMs;
    return restMs;
  }

  #tell(
    socket: Socket,
    piece: readonly Opening[],
    outcomes: readonly (OpeningOutcome | Promise<OpeningOutcome>)[],
  ): void {
    const answers: Uint8Array[] = [];
    for (const [index, outcome] of outcomes.entries()) {
      const { id } = piece[index]!; // one for each
      if (outcome instanceof Promise) this.#answerLater(socket, id, outcome);
      else answers.push(answerFrame(id, outcome));
    }
    if (answers.length > 0) write(socket, Buffer.concat(answers));
  }

  #answerLater(socket: Socket, id: number, outcome: Promise<OpeningOutcome>): void {
    outcome.then(
      (came) => write(socket, answerFrame(id, came)),
      (error) => {
        socket.destroy(); // the fault is ours: nothing opens
        this.#say(error);
      },
    );
  }

  close(): void {
    clearTimeout(this.#again);
    this.#caller?.destroy();
    this.#server?.close();
  }
}

function write(socket: Socket, bytes: Uint8Array): void {
  if (socket.destroyed) return;
  socket.write(bytes);
  if (socket.writableLength > UNREAD_MAX_BYTES) socket.destroy();
}
