/**
 * Answers without some of their addresses, from A, AAAA and the hints of SVCB and HTTPS. Left out are private
 * ones, since a public name that resolves to one would let a web page reach into the networks beside the
 * browser (DNS rebinding); and those that a qube may not use.
 */

import { isPrivateAddress } from '@rulecast/rules';
import { addressesIn, addressOf, Parameter, parametersOf, type ServiceParameter } from './addresses.ts';
import { type MessageReader, Section } from './message.ts';
import { newNameScratch, readName } from './name.ts';
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

/**
 * The most bytes of a record besides its data, and of the target within that, with both names uncompressed.
 */
const RECORD_MAX_BYTES = 2 * WIRE_NAME_MAX_BYTES + RECORD_FIELDS_BYTES;

/** Selects the parts of an answer that may be sent. */
export interface Telling {
  /** 4 or 16 bytes, which the answer still owns. */
  readonly address: (bytes: Uint8Array) => boolean;
  /** Whether a service may send to the name that starts there; absent: to any. */
  readonly target?: (bytes: Uint8Array, at: number) => boolean;
  /** Whether addresses and services may be of the name that starts there; absent: of any. */
  readonly owner?: (bytes: Uint8Array, at: number) => boolean;
}

export const PUBLIC: Telling = {
  address: (bytes) => !isPrivateAddress(addressOf(bytes)),
};

/** Whether all of an answer may be sent; no if it has a service whose parameters cannot be read. */
export function isWhole(answer: MessageReader, telling: Telling): boolean {
  for (let i = 0; i < answer.recordCount; i++) if (isTouched(answer, i, telling)) return false;
  return true;
}

/**
 * Writes an answer without the parts that must not be sent. Its records are the remaining addresses, aliases
 * and services; or everything before its authority section, if none of them changes. Clears the AD flag.
 * Returns the number of bytes used of `out`, which has MESSAGE_MAX_BYTES; 0: nothing but aliases is left.
 */
export function writeWithout(answer: MessageReader, telling: Telling, out: Uint8Array): number {
  const writer = new Cursor(out);
  writer.header(answer.id, answer.flags & ~Flag.authenticData, 0, 0, answer.opt < 0 ? 0 : 1);
  writer.question(answer);
  const answers = answer.sections
    .subarray(0, answer.recordCount)
    .filter((of) => of === Section.answer).length;
  let written = 0;
  let found = 0;
  if (Array.from({ length: answers }, (_, i) => i).some((i) => isTouched(answer, i, telling))) {
    for (let i = 0; i < answers; i++) {
      const isRoom = writer.at + RECORD_MAX_BYTES + answer.dataLengths[i]! + OPT_BYTES <= MESSAGE_MAX_BYTES; // of a record that was read
      if (!isRoom) return 0;
      if (!writeRecord(answer, i, telling, writer)) continue;
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

/**
 * Whether a record has a part that must not be sent, or might have one. One of another class counts: it is no
 * address, but the client may ignore the class.
 */
function isTouched(answer: MessageReader, index: number, telling: Telling): boolean {
  const isIn = answer.classes[index] === CLASS_IN;
  switch (answer.types[index]) {
    case RecordType.a:
    case RecordType.aaaa:
      return !isIn || isOfOther(answer, index, telling) || !telling.address(dataOf(answer, index));
    case RecordType.svcb:
    case RecordType.https: {
      const parameters = isIn ? servingOf(answer, index, telling) : undefined;
      return parameters === undefined || parameters.some((each) => leftOf(each, telling) !== each.value);
    }
    default:
      return false;
  }
}

function isOfOther(answer: MessageReader, index: number, { owner }: Telling): boolean {
  return owner?.(answer.bytes, answer.owners[index]!) === false; // of a record that was read
}

/**
 * Writes the remaining part of a record; false if there is none. Other types are left out: they may hold
 * names that point elsewhere.
 */
function writeRecord(answer: MessageReader, index: number, telling: Telling, writer: Cursor): boolean {
  const type = answer.types[index];
  if (answer.classes[index] !== CLASS_IN) return false;
  switch (type) {
    case RecordType.a:
    case RecordType.aaaa:
      if (isTouched(answer, index, telling)) return false;
      writeFields(answer, index, writer, [dataOf(answer, index)]);
      return true;
    case RecordType.cname:
      writeFields(answer, index, writer, [wholeName(answer, answer.dataStarts[index]!)]); // of a record that was read
      return true;
    case RecordType.svcb:
    case RecordType.https: {
      const left = parametersLeft(answer, index, telling);
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

/** The parameters of a service; undefined: they cannot be read, or are of a name that may not be told. */
function servingOf(
  answer: MessageReader,
  index: number,
  telling: Telling,
): readonly ServiceParameter[] | undefined {
  const at = answer.targetOf(index);
  const isElsewhere = at >= 0 && telling.target?.(answer.bytes, at) === false;
  return isElsewhere || isOfOther(answer, index, telling) ? undefined : parametersOf(answer, index);
}

/** The parameters of a service that are left, as bytes; undefined: nothing of it is of use. */
function parametersLeft(
  answer: MessageReader,
  index: number,
  telling: Telling,
): readonly Uint8Array[] | undefined {
  const parameters = servingOf(answer, index, telling)?.map((each) => ({
    ...each,
    left: leftOf(each, telling),
  }));
  if (parameters === undefined) return undefined;
  const isGone = ({ value, left }: (typeof parameters)[number]): boolean =>
    left.length === 0 && value.length > 0;
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

/** The part of a parameter's value that may be sent: itself, if all of it. */
function leftOf({ family, value }: ServiceParameter, { address }: Telling): Uint8Array {
  if (family === undefined) return value;
  const left = [...addressesIn(value, family)].filter(address);
  const byteCount = left.reduce((sum, { length }) => sum + length, 0);
  return byteCount === value.length ? value : Buffer.concat(left);
}
