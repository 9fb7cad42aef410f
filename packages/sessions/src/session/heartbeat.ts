/** Heartbeats of a connection that is served without a machine. WIRE.md "Time". */

import {
  Alarm,
  beaten,
  type Connection,
  heard,
  type Pulse,
  pulseDeadline,
  pulseFrom,
  type SteadyClock,
} from '@rulecast/protocol';

export class Heartbeat {
  readonly #connection: Connection;
  readonly #clock: SteadyClock;
  readonly #onSilent: () => void;
  readonly #alarm: Alarm;
  #pulse: Pulse;

  /** Sends PING as often as is due; `onSilent` is called once nothing was heard for three of them. */
  constructor(connection: Connection, clock: SteadyClock, everyMs: number, onSilent: () => void) {
    this.#connection = connection;
    this.#clock = clock;
    this.#onSilent = onSilent;
    this.#pulse = pulseFrom(clock.monotonicMs(), everyMs);
    this.#alarm = new Alarm(clock, () => this.#beat());
    this.#beat();
  }

  /** A message arrived. */
  heard(): void {
    this.#pulse = heard(this.#pulse, this.#clock.monotonicMs());
  }

  stop(): void {
    this.#alarm.stop();
  }

  #beat(): void {
    const nowMs = this.#clock.monotonicMs();
    if (this.#pulse.silentAtMs <= nowMs) return this.#onSilent();
    if (this.#pulse.beatAtMs <= nowMs) {
      this.#pulse = beaten(this.#pulse, nowMs);
      // the receiver notices it
      if (!this.#connection.sendPending) this.#connection.send({ kind: 'ping' }).catch(() => undefined);
    }
    this.#alarm.set(pulseDeadline(this.#pulse));
  }
}
