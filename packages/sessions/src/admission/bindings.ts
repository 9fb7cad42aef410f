/**
 * The bindings of subscribers' names: a key, a qube, a socket of its own. A client that the transport proves
 * to be one of these is that subscriber and no other, and no other client can claim the name. WIRE.md
 * "Names".
 */

import { boundText, ErrorCode, RETRY_AFTER_MS } from '@rulecast/protocol';
import type { PeerIdentity } from '@rulecast/vchan';
import type { Refusal } from './refusal.ts';

/** Identities of a subscriber, each of which suffices; at least one. */
export interface Binding {
  readonly name: string;
  /** Public, Z85. */
  readonly curveKey?: string | undefined;
  readonly qube?: string | undefined;
  readonly socket?: OwnSocket | undefined;
}

/** A Unix socket of one subscriber. */
export interface OwnSocket {
  readonly path: string;
  /** Permission bits. */
  readonly mode: number;
  /** Id of the group of the file; the process's own if absent. */
  readonly group?: number | undefined;
}

/** The service that subscribers call by qrexec. */
const SUBSCRIBE_SERVICE = 'rulecast.Subscribe';
/** Enough characters to tell keys apart. */
const KEY_CHARS_SHOWN = 8;

export function shownKey(key: string): string {
  return `${key.slice(0, KEY_CHARS_SHOWN)}…`;
}

export class Bindings {
  readonly all: readonly Binding[];
  readonly #byName: ReadonlyMap<string, Binding>;
  readonly #byKey = new Map<string, string>();
  readonly #byQube = new Map<string, string>();

  /** No key, qube or path may be there twice. */
  constructor(all: readonly Binding[]) {
    this.all = all;
    this.#byName = new Map(all.map((binding) => [binding.name, binding]));
    for (const { name, curveKey, qube } of all) {
      if (curveKey !== undefined) this.#byKey.set(curveKey, name);
      if (qube !== undefined) this.#byQube.set(qube, name);
    }
  }

  isBound(name: string): boolean {
    return this.#byName.has(name);
  }

  /**
   * The owner of a channel, by its transport; undefined: unknown. An unbound qube has the qube's own name, if
   * that is not bound.
   */
  ownerOf({ curveKey, qube }: PeerIdentity): string | undefined {
    if (curveKey !== undefined) return this.#byKey.get(curveKey);
    if (qube === undefined) return undefined;
    return this.#byQube.get(qube) ?? (this.isBound(qube) ? undefined : qube);
  }

  /** Why a channel of `owner` may not have this name; undefined: it may. */
  refusalOf(name: string, owner: string | undefined, peer: PeerIdentity): Refusal | undefined {
    const text = this.#faultOf(name, owner, peer);
    if (text === undefined) return undefined;
    return { code: ErrorCode.nameBound, text: boundText(text), retryAfterMs: RETRY_AFTER_MS };
  }

  #faultOf(name: string, owner: string | undefined, peer: PeerIdentity): string | undefined {
    const { qube, service = SUBSCRIBE_SERVICE, argument = name } = peer;
    if (service !== SUBSCRIBE_SERVICE) return `who calls ${service} is no subscriber`;
    if (argument !== name) return `the call is for ${argument}, and not for ${name}`;
    if (owner !== undefined)
      return owner === name ? undefined : `this is ${owner}, by what that is bound to, and not ${name}`;
    if (!this.isBound(name))
      return qube === undefined
        ? undefined
        : `the qube ${qube} is bound to no name, and its own is another's`;
    return `${name} is bound to ${this.shownOf(name)?.join(', or ')}, and this is none of it`;
  }

  /** The bindings of a name, for people; undefined: none. */
  shownOf(name: string): readonly string[] | undefined {
    const binding = this.#byName.get(name);
    if (binding === undefined) return undefined;
    const { curveKey, qube, socket } = binding;
    return [
      ...(curveKey === undefined ? [] : [`curve-key ${shownKey(curveKey)}`]),
      ...(qube === undefined ? [] : [`qube ${qube}`]),
      ...(socket === undefined ? [] : [`socket ${socket.path}`]),
    ];
  }
}
