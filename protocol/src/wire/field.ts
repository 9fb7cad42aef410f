/**
 * Fields of control messages: each says once what it may hold, and the schema, the TypeScript type and the
 * table in PROTOCOL.md all come from that, so that they cannot drift apart.
 */

import { Ajv, type ValidateFunction } from 'ajv';
import {
  ADDRESS_TEXT_MAX_BYTES,
  CAPABILITIES_MAX,
  CODE_MAX_BYTES,
  DURATION_MAX_MS,
  HASH_BYTES,
  PART_TEXT_MAX_BYTES,
  PEER_NAME_MAX_BYTES,
  TEXT_MAX_BYTES,
  VERSION_MAX,
} from '../limits.ts';

/** JSON Schema 2020-12 with our keywords `byteLengths` and `textBytes`. */
export type Schema = { readonly [keyword: string]: unknown };

export interface Field<T, Optional extends boolean = boolean> {
  readonly schema: Schema;
  readonly optional: Optional;
  /** What PROTOCOL.md calls the type. */
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

/**
 * Every process pays for this when it starts. That the schemas are schemas is a test's to say: to check it
 * here, the schema of schemas is compiled first, which took longer than all others together.
 */
const ajv = new Ajv({ strict: true, meta: false, validateSchema: false, code: { optimize: false } });
ajv.addKeyword({
  keyword: 'byteLengths',
  schemaType: 'array',
  validate: (lengths: readonly number[], data: unknown): boolean =>
    data instanceof Uint8Array && lengths.includes(data.length),
});
ajv.addKeyword({
  keyword: 'textBytes',
  type: 'string',
  schemaType: 'number',
  validate: (max: number, data: string): boolean =>
    data.length <= max && Buffer.byteLength(data) <= max && !UNPRINTABLE.test(data),
});

export const boolean: RequiredField<boolean> = {
  schema: { type: 'boolean' },
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
  schema: { type: 'string', textBytes: CODE_MAX_BYTES, pattern: '^[a-z][a-z0-9-]*$' },
  optional: false,
  label: 'code',
};
/** Name of a peer, list or policy. */
export const name: RequiredField<string> = {
  schema: { type: 'string', textBytes: PEER_NAME_MAX_BYTES, pattern: '^[A-Za-z0-9][A-Za-z0-9._-]*$' },
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
  const label = maximum === VERSION_MAX ? 'uint' : `${minimum}..${maximum}`;
  return { schema: { type: 'integer', minimum, maximum }, optional: false, label };
}

export function bytes(...byteLengths: readonly number[]): RequiredField<Uint8Array> {
  return { schema: { byteLengths }, optional: false, label: `bytes ${byteLengths.join(' or ')}` };
}

/** Text of at most so many bytes of UTF-8, without control characters. */
export function textOf(maxBytes: number): RequiredField<string> {
  return { schema: { type: 'string', textBytes: maxBytes }, optional: false, label: `text ${maxBytes}` };
}

export function hex(byteCount: number): RequiredField<string> {
  const schema = { type: 'string', pattern: `^[0-9a-f]{${byteCount * 2}}$` };
  return { schema, optional: false, label: `hex ${byteCount}` };
}

export function oneOf<const T extends string>(...values: readonly T[]): RequiredField<T> {
  return { schema: { type: 'string', enum: values }, optional: false, label: values.join(', ') };
}

export function listOf<T>(member: RequiredField<T>, most: number): RequiredField<readonly T[]> {
  const schema = { type: 'array', items: member.schema, maxItems: most };
  return { schema, optional: false, label: `list of at most ${most} ${member.label}` };
}

export function mapOf<F extends Fields>(fields: F): RequiredField<FieldValues<F>> {
  const label = `map {${Object.entries(fields)
    .map(([key, field]) => (field.optional ? `${key}?` : key))
    .join(', ')}}`;
  return { schema: schemaOf(fields), optional: false, label };
}

export const protocolVersion: RequiredField<number> = integer(1, 255);
/** What a side knows beyond what everybody does; capability.ts. */
export const capabilities: RequiredField<readonly string[]> = listOf(code, CAPABILITIES_MAX);

/** Names of counters, with their values. */
export function countersOf(most: number): RequiredField<Readonly<Record<string, number>>> {
  const schema = {
    type: 'object',
    maxProperties: most,
    propertyNames: { type: 'string', pattern: '^[A-Za-z][A-Za-z0-9._-]{0,31}$' },
    additionalProperties: uint.schema,
  };
  return { schema, optional: false, label: `map of at most ${most} counters` };
}

export function optional<T>(field: RequiredField<T>): Field<T, true> {
  return { ...field, optional: true };
}

/** The schema of a map of exactly these fields; `tag`, if given, is a further text field with one value. */
export function schemaOf(fields: Fields, tag?: { readonly field: string; readonly value: string }): Schema {
  const properties: Record<string, Schema> = {};
  const required: string[] = [];
  if (tag !== undefined) {
    properties[tag.field] = { const: tag.value };
    required.push(tag.field);
  }
  for (const [key, field] of Object.entries(fields)) {
    properties[key] = field.schema;
    if (!field.optional) required.push(key);
  }
  return { type: 'object', properties, required, additionalProperties: false };
}

/** A check of a schema, compiled when it is first used: a process speaks only some of the messages. */
export function validator(schema: Schema): (value: unknown) => string | undefined {
  let validate: ValidateFunction | undefined;
  return (value) => {
    validate ??= ajv.compile(schema);
    if (validate(value)) return undefined;
    const error = validate.errors?.[0];
    return error === undefined ? 'is refused' : `${error.instancePath || 'body'} ${error.message ?? ''}`;
  };
}

/**
 * A check of maps of one field, called as the tag, which is a map itself: its own field of that name says
 * which of `fieldsByTag` it has. Only what is met is compiled: all records at once take a start longer than
 * the push it waits for.
 */
export function taggedValidator(
  tag: string,
  fieldsByTag: Readonly<Record<string, Fields>>,
): (value: unknown) => string | undefined {
  const outer = validator(schemaOf({ [tag]: { schema: { type: 'object' }, optional: false, label: 'map' } }));
  const inner = new Map(
    Object.entries(fieldsByTag).map(([value, fields]) => [
      value,
      validator(schemaOf(fields, { field: tag, value })),
    ]),
  );
  return (value) => {
    const fault = outer(value);
    if (fault !== undefined) return fault;
    const map = (value as Readonly<Record<string, Readonly<Record<string, unknown>>>>)[tag]; // so says the outer schema
    const kind = map?.[tag];
    const check = typeof kind === 'string' ? inner.get(kind) : undefined;
    return check === undefined ? `/${tag} is of an unknown kind` : check(map);
  };
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
