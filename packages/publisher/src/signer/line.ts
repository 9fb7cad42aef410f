/**
 * The protocol between publisher and signer: one JSON object a line, each request answered before the next.
 *
 *   publisher                              signer
 *   {"ask":"identity"}            ─▶
 *                                 ◀─       {"identity":TEXT, "hasRootKey":…}, or {} where there is none
 *   {"ask":"make"}                ─▶       likewise, and makes one where there is none
 *   {"ask":"sign","manifest":HEX} ─▶
 *                                 ◀─       {"signatures":HEX}, or {"used":{epoch, version, previousVersion}}
 *                                 ◀─       {"error":TEXT}, to any of them
 */

import { boundText, KEY_ID_BYTES, ROOT_KEYS_MAX } from '@rulecast/protocol/signing';
import type { SignAnswer, SignedNumber } from './signer.ts';

/** A manifest has 104 bytes. */
export const REQUEST_MAX_BYTES = 1024;
/** A thousand roots of the largest kind. */
export const ANSWER_MAX_BYTES = 8 * 2 ** 20;

export type SignerRequest =
  | { readonly ask: 'identity' | 'make' }
  | { readonly ask: 'sign'; readonly manifest: Uint8Array };

export interface IdentityAnswer {
  /** An identity file without the keys that sign releases; absent if there is no identity. */
  readonly identity?: string | undefined;
  readonly hasRootKey?: boolean | undefined;
}

const HEX = /^(?:[0-9a-f]{2})+$/;
const KEY_ID = new RegExp(`^[0-9a-f]{${2 * KEY_ID_BYTES}}$`);

/** A line, without its end. */
export function lineOf(value: object): string {
  return `${JSON.stringify(value)}\n`;
}

export function requestLine(request: SignerRequest): string {
  return lineOf(request.ask === 'sign' ? { ask: 'sign', manifest: hex(request.manifest) } : request);
}

/** Undefined if the line is not a request. */
export function requestIn(line: string): SignerRequest | undefined {
  const { ask, manifest } = fieldsIn(line);
  if (ask === 'identity' || ask === 'make') return { ask };
  if (ask !== 'sign' || typeof manifest !== 'string' || !HEX.test(manifest)) return undefined;
  return { ask, manifest: bytesOf(manifest) };
}

export function signLine(answer: SignAnswer): string {
  return lineOf(answer.kind === 'signed' ? { signatures: hex(answer.signatures) } : { used: answer.last });
}

export function errorLine(text: string): string {
  return lineOf({ error: boundText(text) });
}

/** The error text of an answer, if it is one. */
export function errorIn(line: string): string | undefined {
  const { error } = fieldsIn(line);
  return typeof error === 'string' ? error : undefined;
}

/** Undefined for what is no answer to `sign`. */
export function signAnswerIn(line: string): SignAnswer | undefined {
  const { signatures, used } = fieldsIn(line);
  if (typeof signatures === 'string' && HEX.test(signatures))
    return { kind: 'signed', signatures: bytesOf(signatures) };
  return isNumber(used) ? { kind: 'used', last: used } : undefined;
}

/** Undefined for what is no answer to `identity` or `make`. */
export function identityAnswerIn(line: string): IdentityAnswer | undefined {
  const { identity, hasRootKey = false } = fieldsIn(line);
  if (typeof hasRootKey !== 'boolean') return undefined;
  return identity === undefined || typeof identity === 'string' ? { identity, hasRootKey } : undefined;
}

export function isNumber(value: unknown): value is SignedNumber {
  if (typeof value !== 'object' || value === null) return false;
  const fields: Readonly<Record<string, unknown>> = { ...value };
  const numbers = [fields['epoch'], fields['version'], fields['previousVersion']];
  return (
    numbers.every((number) => typeof number === 'number' && Number.isSafeInteger(number) && number >= 0) &&
    (fields['keys'] === undefined || areKeys(fields['keys']))
  );
}

function areKeys(value: unknown): boolean {
  return (
    Array.isArray(value) &&
    value.length <= ROOT_KEYS_MAX &&
    value.every((id) => typeof id === 'string' && KEY_ID.test(id))
  );
}

function fieldsIn(line: string): Readonly<Record<string, unknown>> {
  try {
    const value: unknown = JSON.parse(line);
    return typeof value === 'object' && value !== null ? { ...value } : {};
  } catch {
    return {};
  }
}

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('hex');
}

function bytesOf(text: string): Uint8Array {
  return new Uint8Array(Buffer.from(text, 'hex'));
}
