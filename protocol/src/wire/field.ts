/**
 * Fields of control messages: each declares its values once. The check, the TypeScript type and the tables of
 * WIRE.md and CONTROL.md all come from that, so that they cannot drift apart. The checks are plain functions:
 * loading a schema compiler, and compiling schemas, took a tenth of a `rulectl status`.
 */

import {
  ADDRESS_TEXT_MAX_BYTES,
  CAPABILITIES_MAX,
  CODE_MAX_BYTES,
  COUNTER_NAME_MAX_BYTES,
  DURATION_MAX_MS,
  HASH_BYTES,
  PART_TEXT_MAX_BYTES,
  PEER_NAME_MAX_BYTES,
  TEXT_MAX_BYTES,
  VERSION_MAX,
} from '../limits.ts';

/** The fault of a value, or undefined: first its place, as `/record/name`, then the fault. */
export type Check = (value: unknown, place?: string) => string | undefined;

export interface Field<T, Optional extends boolean = boolean> {
  readonly check: Check;
  readonly optional: Optional;
  /** The name of the type in the protocol documents. */
  readonly label: string;
  /** Never there: carries the type of the values. */
  readonly value?: T;
}

/** In the order in which they are written. */
export type Fields = { readonly [name: string]: Field<unknown> };

type RequiredName<F extends Fields> = {
  [N in keyof F]: F[N]['optional'] extends true ? never : N;
}[keyof F];
type OptionalName<F extends Fields> = Exclude<keyof F, RequiredName<F>>;
type ValueOf<F> = F extends Field<infer T> ? T : never;
type Flat<T> = { readonly [K in keyof T]: T[K] };

/** The values of some fields. An optional field may be left out or be undefined, which is the same. */
export type FieldValues<F extends Fields> = Flat<
  { [N in RequiredName<F>]: ValueOf<F[N]> } & { [N in OptionalName<F>]?: ValueOf<F[N]> | undefined }
>;

type RequiredField<T> = Field<T, false>;

// C0 and C1 control characters and lone surrogates: text from a peer ends up in terminals and logs.
const UNPRINTABLE = /[\p{Cc}\p{Cs}]/u;
const UNPRINTABLE_ALL = /[\p{Cc}\p{Cs}]/gu;

/** A check by a single condition. */
function only(what: string, holds: (value: unknown) => boolean): Check {
  return (value, place = '') => (holds(value) ? undefined : `${place || 'body'} is not ${what}`);
}

export const boolean: RequiredField<boolean> = {
  check: only('true or false', (value) => typeof value === 'boolean'),
  optional: false,
  label: 'boolean',
};
export const hash = bytes(HASH_BYTES);
/** Version, count, size, duration or time: 0..2^53 - 1. */
export const uint = integer(0, VERSION_MAX);
/** Milliseconds that a peer measured: safe to add. */
export const duration: RequiredField<number> = { ...integer(0, DURATION_MAX_MS), label: 'duration' };
/** A stable code: kebab case. */
export const code: RequiredField<string> = {
  check: only('a code', (value) => typeof value === 'string' && isCode(value)),
  optional: false,
  label: 'code',
};
export function isCode(text: string): boolean {
  return isText(text, CODE_MAX_BYTES) && /^[a-z][a-z0-9-]*$/.test(text);
}
/** Name of a peer, list or policy. */
export const name: RequiredField<string> = {
  check: only('a name', isName),
  optional: false,
  label: 'name',
};
/** Text for people. */
export const text = textOf(TEXT_MAX_BYTES);
/** A part as errors name it; see `ErrorDetails`. */
export const partText = textOf(PART_TEXT_MAX_BYTES);
export const prefixText = textOf(ADDRESS_TEXT_MAX_BYTES);
/** A hash for people and JSON: 64 lower-case hex digits. */
export const hexHash = hex(HASH_BYTES);

export function integer(minimum: number, maximum: number): RequiredField<number> {
  const isIn = (value: unknown): boolean =>
    typeof value === 'number' && Number.isInteger(value) && value >= minimum && value <= maximum;
  const label = maximum === VERSION_MAX ? 'uint' : `${minimum}..${maximum}`;
  return { check: only(`an integer from ${minimum} to ${maximum}`, isIn), optional: false, label };
}

export function bytes(...byteLengths: readonly number[]): RequiredField<Uint8Array> {
  const label = `bytes ${byteLengths.join(' or ')}`;
  const areThey = (value: unknown): boolean =>
    value instanceof Uint8Array && byteLengths.includes(value.length);
  return { check: only(label, areThey), optional: false, label };
}

/** Text of at most so many bytes of UTF-8, without control characters. */
export function textOf(maxBytes: number): RequiredField<string> {
  const check = only(`text of at most ${maxBytes} bytes`, (value) => isText(value, maxBytes));
  return { check, optional: false, label: `text ${maxBytes}` };
}

function isText(value: unknown, maxBytes: number): value is string {
  if (typeof value !== 'string' || value.length > maxBytes) return false;
  return Buffer.byteLength(value) <= maxBytes && !UNPRINTABLE.test(value);
}

function isName(value: unknown): boolean {
  return isText(value, PEER_NAME_MAX_BYTES) && /^[A-Za-z0-9][A-Za-z0-9._-]*$/.test(value);
}

export function hex(byteCount: number): RequiredField<string> {
  const digits = new RegExp(`^[0-9a-f]{${byteCount * 2}}$`);
  const label = `hex ${byteCount}`;
  const check = only(label, (value) => typeof value === 'string' && digits.test(value));
  return { check, optional: false, label };
}

export function oneOf<const T extends string>(...values: readonly T[]): RequiredField<T> {
  const label = values.join(', ');
  const check = only(`one of ${label}`, (value) => values.some((known) => known === value));
  return { check, optional: false, label };
}

export function listOf<T>(member: RequiredField<T>, most: number): RequiredField<readonly T[]> {
  const label = `list of at most ${most} ${member.label}`;
  const isList = only(label, (value) => Array.isArray(value) && value.length <= most);
  const check: Check = (value, place = '') =>
    isList(value, place) ??
    firstFault((value as readonly unknown[]).entries(), (index, item) =>
      member.check(item, `${place}/${index}`),
    );
  return { check, optional: false, label };
}

export function mapOf<F extends Fields>(fields: F): RequiredField<FieldValues<F>> {
  const label = `map {${Object.entries(fields)
    .map(([key, field]) => (field.optional ? `${key}?` : key))
    .join(', ')}}`;
  return { check: checkOf(fields), optional: false, label };
}

export const protocolVersion: RequiredField<number> = integer(1, 255);
/** Capabilities of a side beyond the common ones; capability.ts. */
export const capabilities: RequiredField<readonly string[]> = listOf(code, CAPABILITIES_MAX);

/** Names of counters, with their values. */
export function countersOf(most: number): RequiredField<Readonly<Record<string, number>>> {
  const label = `map of at most ${most} counters`;
  const isFew = only(label, (value) => isMap(value) && Object.keys(value).length <= most);
  const check: Check = (value, place = '') =>
    isFew(value, place) ??
    firstFault(Object.entries(value as object), (key, count) => {
      const isCounter = key.length <= COUNTER_NAME_MAX_BYTES && /^[A-Za-z][A-Za-z0-9._-]*$/.test(key);
      return isCounter
        ? uint.check(count, `${place}/${key}`)
        : `${place || 'body'} has a counter of another name`;
    });
  return { check, optional: false, label };
}

export function optional<T>(field: RequiredField<T>): Field<T, true> {
  return { ...field, optional: true };
}

/** A check of maps of exactly these fields, and those of `others`, which are checked elsewhere. */
export function checkOf(fields: Fields, others: readonly string[] = []): Check {
  const known = new Set([...Object.keys(fields), ...others]);
  const isFieldMap = only('a map', isMap);
  return (value, place = '') => {
    const fault = isFieldMap(value, place);
    if (fault !== undefined) return fault;
    const map = value as Readonly<Record<string, unknown>>;
    if (Object.keys(map).some((key) => !known.has(key)))
      return `${place || 'body'} has a field that is unknown`;
    return firstFault(Object.entries(fields), (key, field) => {
      if (Object.hasOwn(map, key)) return field.check(map[key], `${place}/${key}`);
      return field.optional ? undefined : `${place || 'body'} has no ${key}`;
    });
  };
}

/**
 * A check of maps of one field, called as the tag, which is a map itself: its own field of that name says
 * which of `fieldsByTag` it has.
 */
export function taggedCheck(tag: string, fieldsByTag: Readonly<Record<string, Fields>>): Check {
  const byKind = new Map(Object.entries(fieldsByTag).map(([kind, fields]) => [kind, checkOf(fields, [tag])]));
  const check = (map: unknown, place: string): string | undefined => {
    const kind =
      isMap(map) && Object.hasOwn(map, tag) ? (map as Readonly<Record<string, unknown>>)[tag] : undefined;
    const own = typeof kind === 'string' ? byKind.get(kind) : undefined;
    return own === undefined ? `${place} is of an unknown kind` : own(map, place);
  };
  return checkOf({ [tag]: { check: (map, place = '') => check(map, place), optional: false, label: 'map' } });
}

/** Whether a value of a body is a map. */
export function isMap(value: unknown): value is object {
  return (
    typeof value === 'object' && value !== null && !Array.isArray(value) && !(value instanceof Uint8Array)
  );
}

function firstFault<K, V>(
  entries: Iterable<readonly [K, V]>,
  faultOf: (key: K, value: V) => string | undefined,
): string | undefined {
  for (const [key, value] of entries) {
    const fault = faultOf(key, value);
    if (fault !== undefined) return fault;
  }
  return undefined;
}

/**
 * Makes any text fit a text field: control characters and lone surrogates become `�`, and what goes beyond
 * `maxBytes` of UTF-8 is cut off, between characters.
 */
export function boundText(textIn: string, maxBytes: number = TEXT_MAX_BYTES): string {
  // A character has at least one byte, so nothing beyond maxBytes units is needed.
  const clean = textIn.slice(0, maxBytes).replace(UNPRINTABLE_ALL, '�');
  const encoded = Buffer.from(clean);
  if (encoded.length <= maxBytes) return clean;
  let end = maxBytes;
  while (end > 0 && ((encoded[end] ?? 0) & 0xc0) === 0x80) end -= 1; // back to the first byte of the character that was cut
  return encoded.toString('utf8', 0, end);
}
