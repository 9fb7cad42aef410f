/**
 * The addresses of answers: those of A and AAAA, and the hints of SVCB and HTTPS (RFC 9460).
 *
 *   service    priority 2 │ target name │ (key 2, length 2, value) …       keys ascend; 4: IPv4 hints, 6: IPv6
 */

import { type Address, type Family, strideOf } from '@rulecast/rules';
import { type MessageReader, Section } from './message.ts';
import { nameEnd } from './name.ts';
import { CLASS_IN, RecordType } from './wire.ts';

/** Keys of the parameters of a service that matter here: which ones its clients have to know, and hints. */
export const Parameter = { mandatory: 0, ipv4hint: 4, ipv6hint: 6 } as const;
const PARAMETER_FIELDS_BYTES = 4;

export interface ServiceParameter {
  readonly key: number;
  readonly value: Uint8Array;
  /** The family if the value is a list of addresses; undefined: it is not. */
  readonly family: Family | undefined;
}

/** The parameters of a service that was read, within its bytes; undefined: they are none. */
export function parametersOf(answer: MessageReader, index: number): readonly ServiceParameter[] | undefined {
  const start = answer.dataStarts[index]!; // of a record that was read
  const data = answer.bytes.subarray(start, start + answer.dataLengths[index]!); // likewise
  const view = new DataView(data.buffer, data.byteOffset, data.length);
  const parameters: ServiceParameter[] = [];
  for (let at = nameEnd(answer.bytes, start + 2) - start; at < data.length; ) {
    if (at + PARAMETER_FIELDS_BYTES > data.length) return undefined;
    const end = at + PARAMETER_FIELDS_BYTES + view.getUint16(at + 2);
    if (end > data.length) return undefined;
    const key = view.getUint16(at);
    const value = data.subarray(at + PARAMETER_FIELDS_BYTES, end);
    const family = key === Parameter.ipv4hint ? 4 : key === Parameter.ipv6hint ? 6 : undefined;
    if (family !== undefined && (value.length === 0 || value.length % bytesOf(family) !== 0))
      return undefined;
    parameters.push({ key, value, family });
    at = end;
  }
  return parameters;
}

export interface ToldAddress {
  readonly family: Family;
  /** A copy of the answer's bytes. */
  readonly bytes: Uint8Array;
  /** The time to live of the address for that name, in seconds. */
  readonly ttl: number;
}

/** The addresses in an answer, each once, in order, by `addressKey`. */
export function addressesTold(answer: MessageReader): ReadonlyMap<string, ToldAddress> {
  const told = new Map<string, ToldAddress>();
  for (let i = 0; i < answer.recordCount && answer.sections[i] === Section.answer; i++) {
    for (const [family, column] of columnsOf(answer, i)) {
      for (const bytes of addressesIn(column, family)) {
        const key = addressKey(bytes);
        const ttl = Math.max(answer.ttls[i]!, told.get(key)?.ttl ?? 0); // of a record that was read
        told.set(key, { family, bytes: Uint8Array.from(bytes), ttl });
      }
    }
  }
  return told;
}

/** Equal for equal addresses only. */
export function addressKey(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('latin1');
}

export function addressOf(bytes: Uint8Array): Address {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const words = Uint32Array.from({ length: bytes.length / 4 }, (_, word) => view.getUint32(word * 4));
  return { family: words.length === strideOf(4) ? 4 : 6, words };
}

/** The addresses in a column of bytes, as views. */
export function* addressesIn(column: Uint8Array, family: Family): Generator<Uint8Array> {
  const size = bytesOf(family);
  for (let at = 0; at < column.length; at += size) yield column.subarray(at, at + size);
}

/** The addresses of a record, by family; of services whose parameters can be read. */
function columnsOf(answer: MessageReader, index: number): readonly (readonly [Family, Uint8Array])[] {
  if (answer.classes[index] !== CLASS_IN) return [];
  const start = answer.dataStarts[index]!; // of a record that was read
  const data = answer.bytes.subarray(start, start + answer.dataLengths[index]!); // likewise
  switch (answer.types[index]) {
    case RecordType.a:
      return [[4, data]];
    case RecordType.aaaa:
      return [[6, data]];
    case RecordType.svcb:
    case RecordType.https:
      return (parametersOf(answer, index) ?? []).flatMap(({ family, value }) =>
        family === undefined ? [] : [[family, value] as const],
      );
    default:
      return [];
  }
}

function bytesOf(family: Family): number {
  return strideOf(family) * 4;
}
