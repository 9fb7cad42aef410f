/** The scripted sessions of `protocol/vectors/states.json`, for who leads a machine through them. */

import type { Message } from '@rulecast/protocol';
import { expect } from 'vitest';
import states from '../../protocol/vectors/states.json' with { type: 'json' };

/** A field that is `null` is not there. */
type Due = Readonly<Record<string, unknown>>;

export interface Step {
  readonly at: number;
  readonly connect: boolean;
  readonly receive: Message | undefined;
  readonly end: boolean;
  readonly head: string | undefined;
  readonly send: readonly Due[];
  readonly closed: string | null | undefined;
}

export interface Script {
  readonly name: string;
  readonly steps: readonly Step[];
}

export const RELEASES = states.releases.map(({ name, capabilities, ...bytes }) => ({
  name,
  capabilities,
  hash: bytesOfHex(bytes.hash),
  manifest: bytesOfHex(bytes.manifest),
  signatures: bytesOfHex(bytes.signatures),
  snapshot: bytesOfHex(bytes.snapshot),
  chain: bytesOfHex(bytes.chain),
}));
export const { trust: TRUST, limits: LIMITS } = states;
export const [ROOT, SEED] = [
  revived(states.root) as { signatures: Uint8Array; content: Uint8Array },
  bytesOfHex(states.seed),
];
export const NONCES: readonly Uint8Array[] = states.nonces.map(bytesOfHex);
export const SUBSCRIBER_SCRIPTS: readonly Script[] = states.sessions.subscriber.map(scriptOf);
export const PUBLISHER_SCRIPTS: readonly Script[] = states.sessions.publisher.map(scriptOf);

function scriptOf({ name, steps }: { readonly name: string; readonly steps: readonly object[] }): Script {
  return {
    name,
    steps: steps.map((step) => stepOf(revived(step) as Partial<Step> & Pick<Step, 'at' | 'send'>)),
  };
}

function stepOf({
  at,
  connect = false,
  receive,
  end = false,
  head,
  send,
  closed,
}: Partial<Step> & Pick<Step, 'at' | 'send'>): Step {
  return { at, connect, receive, end, head, send, closed };
}

/** `{ "hex": … }` and `{ "zeros": … }` stand for bytes. */
function revived(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(revived);
  if (typeof value !== 'object' || value === null) return value;
  if ('zeros' in value && typeof value.zeros === 'number') return new Uint8Array(value.zeros);
  if ('hex' in value && typeof value.hex === 'string') return bytesOfHex(value.hex);
  return Object.fromEntries(Object.entries(value).map(([key, field]) => [key, revived(field)]));
}

/** Expects that these and no others were sent, with at least the fields that are due. */
export function expectSent(sent: readonly Message[], due: readonly Due[], where: string): void {
  expect(
    sent.map(({ kind }) => kind),
    where,
  ).toEqual(due.map(({ kind }) => kind));
  due.forEach((fields, i) => {
    const message: Readonly<Record<string, unknown>> = { ...sent[i] };
    const found = Object.fromEntries(Object.keys(fields).map((field) => [field, message[field] ?? null]));
    expect(found, where).toEqual(fields);
  });
}

function bytesOfHex(hex: string): Uint8Array {
  return Uint8Array.from(Buffer.from(hex, 'hex'));
}
