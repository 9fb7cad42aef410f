/**
 * Answers without the private addresses in them: a name of the Internet that stands for one would have a
 * browser carry its pages into the networks beside it (DNS rebinding). Addresses are those of A and AAAA, and
 * the hints of SVCB and HTTPS (RFC 9460).
 *
 *   service    priority 2 │ target name │ (key 2, length 2, value) …       keys ascend; 4: IPv4 hints, 6: IPv6
 */

import { type Family, isPrivateAddress, strideOf } from '@rulecast/rules';
import { type MessageReader, Section } from './message.ts';
import { nameEnd, newNameScratch, readName } from './name.ts';
import {
  CLASS_IN,
  Flag,
  MESSAGE_MAX_BYTES,
  OPT_BYTES,
  RECORD_FIELDS_BYTES,
  RecordType,
  WIRE_NAME_MAX_BYTES,
} from './wire.ts';
import { Cursor, EDNS_BYTES } from './writer.ts';

/** Keys of the parameters of a service that matter here: which ones its clients have to know, and hints. */
const Parameter = { mandatory: 0, ipv4hint: 4, ipv6hint: 6 } as const;
const PARAMETER_FIELDS_BYTES = 4;
/** What a record takes beside its data, and the target within that, with both names written out. */
const RECORD_MAX_BYTES = 2 * WIRE_NAME_MAX_BYTES + RECORD_FIELDS_BYTES;

/** Whether an answer has a private address anywhere, or a service whose parameters cannot be read. */
export function hasPrivate(answer: MessageReader): boolean {
  for (let i = 0; i < answer.recordCount; i++) if (isTouched(answer, i)) return true;
  return false;
}

/**
 * Writes an answer without its private addresses: of its records the addresses, aliases and services that are
 * left, or all that stands before its authority where none of them is touched. It says no more that anybody
 * has vouched for it. The bytes used of `out`, which has MESSAGE_MAX_BYTES; 0: nothing but aliases is left.
 */
export function writeWithoutPrivate(answer: MessageReader, out: Uint8Array): number {
  const writer = new Cursor(out);
  writer.header(answer.id, answer.flags & ~Flag.authenticData, 0, 0, answer.opt < 0 ? 0 : 1);
  writer.question(answer);
  const answers = answer.sections
    .subarray(0, answer.recordCount)
    .filter((of) => of === Section.answer).length;
  let written = 0;
  let found = 0;
  if (Array.from({ length: answers }, (_, i) => i).some((i) => isTouched(answer, i))) {
    for (let i = 0; i < answers; i++) {
      const isRoom = writer.at + RECORD_MAX_BYTES + answer.dataLengths[i]! + OPT_BYTES <= MESSAGE_MAX_BYTES; // of a record that was read
      if (!isRoom) return 0;
      if (!writeRecord(answer, i, writer)) continue;
      written++;
      if (answer.types[i] !== RecordType.cname) found++;
    }
    if (found === 0) return 0;
  } else {
    const end = answer.owners[answers] ?? 0; // something behind them is touched
    if (end + OPT_BYTES > MESSAGE_MAX_BYTES) return 0;
    writer.bytes(answer.bytes.subarray(writer.at, end));
    written = answers;
  }
  out[6] = written >> 8;
  out[7] = written & 0xff;
  if (answer.opt >= 0) writer.opt(EDNS_BYTES, answer.isDnssecOk);
  return writer.at;
}

/** Whether a record has private addresses, or may have. */
function isTouched(answer: MessageReader, index: number): boolean {
  if (answer.classes[index] !== CLASS_IN) return false;
  const data = dataOf(answer, index);
  switch (answer.types[index]) {
    case RecordType.a:
    case RecordType.aaaa:
      return publicOf(data, data.length === 4 ? 4 : 6).length < data.length;
    case RecordType.svcb:
    case RecordType.https: {
      const parameters = parametersOf(answer, index);
      return parameters === undefined || parameters.some(({ value, left }) => left.length < value.length);
    }
    default:
      return false;
  }
}

/** Writes what is left of a record. Whether anything is: other types may hold names that point elsewhere. */
function writeRecord(answer: MessageReader, index: number, writer: Cursor): boolean {
  const type = answer.types[index];
  if (answer.classes[index] !== CLASS_IN) return false;
  switch (type) {
    case RecordType.a:
    case RecordType.aaaa:
      if (isTouched(answer, index)) return false;
      writeFields(answer, index, writer, [dataOf(answer, index)]);
      return true;
    case RecordType.cname:
      writeFields(answer, index, writer, [wholeName(answer, answer.dataStarts[index]!)]); // of a record that was read
      return true;
    case RecordType.svcb:
    case RecordType.https: {
      const left = parametersLeft(answer, index);
      if (left === undefined) return false;
      const start = answer.dataStarts[index]!; // likewise
      const pieces = [answer.bytes.subarray(start, start + 2), wholeName(answer, start + 2), ...left];
      writeFields(answer, index, writer, pieces);
      return true;
    }
    default:
      return false;
  }
}

function writeFields(
  answer: MessageReader,
  index: number,
  writer: Cursor,
  data: readonly Uint8Array[],
): void {
  writer.bytes(wholeName(answer, answer.owners[index]!)); // of a record that was read
  writer.u16(answer.types[index]!); // likewise
  writer.u16(CLASS_IN);
  writer.u32(answer.ttls[index]!); // likewise
  writer.u16(data.reduce((sum, { length }) => sum + length, 0));
  for (const piece of data) writer.bytes(piece);
}

function dataOf(answer: MessageReader, index: number): Uint8Array {
  const start = answer.dataStarts[index]!; // of a record that was read
  return answer.bytes.subarray(start, start + answer.dataLengths[index]!); // likewise
}

function wholeName({ bytes }: MessageReader, at: number): Uint8Array {
  const name = newNameScratch();
  return name.slice(0, readName(bytes, at, name));
}

interface ServiceParameter {
  readonly key: number;
  readonly value: Uint8Array;
  /** What of the value may stay. */
  readonly left: Uint8Array;
}

/** Of a service that was read; undefined: they are none. */
function parametersOf(answer: MessageReader, index: number): readonly ServiceParameter[] | undefined {
  const data = dataOf(answer, index);
  const view = new DataView(data.buffer, data.byteOffset, data.length);
  const parameters: ServiceParameter[] = [];
  const start = answer.dataStarts[index]!; // of a record that was read
  for (let at = nameEnd(answer.bytes, start + 2) - start; at < data.length; ) {
    if (at + PARAMETER_FIELDS_BYTES > data.length) return undefined;
    const end = at + PARAMETER_FIELDS_BYTES + view.getUint16(at + 2);
    if (end > data.length) return undefined;
    const key = view.getUint16(at);
    const value = data.subarray(at + PARAMETER_FIELDS_BYTES, end);
    const family = key === Parameter.ipv4hint ? 4 : key === Parameter.ipv6hint ? 6 : undefined;
    if (family !== undefined && (value.length === 0 || value.length % (strideOf(family) * 4) !== 0))
      return undefined;
    parameters.push({ key, value, left: family === undefined ? value : publicOf(value, family) });
    at = end;
  }
  return parameters;
}

/** The parameters of a service without private hints, as bytes; undefined: nothing of it is of use. */
function parametersLeft(answer: MessageReader, index: number): readonly Uint8Array[] | undefined {
  const parameters = parametersOf(answer, index);
  if (parameters === undefined) return undefined;
  const isGone = ({ value, left }: ServiceParameter): boolean => left.length === 0 && value.length > 0;
  const gone = parameters.filter(isGone).map(({ key }) => key);
  const mandatory = parameters.find(({ key }) => key === Parameter.mandatory)?.value ?? new Uint8Array(0);
  for (let at = 0; at + 1 < mandatory.length; at += 2)
    if (gone.includes((mandatory[at]! << 8) | mandatory[at + 1]!)) return undefined; // at + 1 < length
  return parameters
    .filter((parameter) => !isGone(parameter))
    .flatMap(({ key, left }) => [
      Uint8Array.of(key >> 8, key & 0xff, left.length >> 8, left.length & 0xff),
      left,
    ]);
}

/** The addresses of a column that are not private. */
function publicOf(bytes: Uint8Array, family: Family): Uint8Array {
  const size = strideOf(family) * 4;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const left: number[] = [];
  for (let at = 0; at < bytes.length; at += size) {
    const words = Uint32Array.from({ length: size / 4 }, (_, i) => view.getUint32(at + i * 4));
    if (!isPrivateAddress({ family, words })) left.push(...bytes.subarray(at, at + size));
  }
  return left.length === bytes.length ? bytes : Uint8Array.from(left);
}
