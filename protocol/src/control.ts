/**
 * Control messages: what `rulectl` and the publisher say to each other, PROTOCOL.md "Control". A control connection is one request,
 * its answers, and the end: DONE or FAIL.
 *
 * ```
 *   rulectl                                   publisher
 *   PUSH, (FILE, CHUNK…, END)…       ─▶
 *                                    ◀─       RECORD…, then DONE or FAIL
 *   STATUS or TEST                   ─▶
 *                                    ◀─       RECORD…, then DONE or FAIL (STATUS with watch: no end)
 * ```
 */

import {
  boolean,
  code,
  type Fields,
  type FieldValues,
  hex,
  hexHash,
  integer,
  listOf,
  mapOf,
  name,
  oneOf,
  optional,
  partText,
  type Schema,
  schemaOf,
  text,
  textOf,
  uint,
} from './field.ts';
import {
  DEGRADED_MAX,
  DEGRADED_TEXT_MAX_BYTES,
  FILE_NAME_MAX_BYTES,
  LINEAGE_BYTES,
  PUSH_FILES_MAX,
  WAIT_MAX_MS,
} from './limits.ts';
import { PACKET_FIELDS, VERDICT_FIELDS } from './query.ts';

const fileName = textOf(FILE_NAME_MAX_BYTES);

/** Requests and their ends, rulectl and publisher. */
export const CONTROL_FIELDS = {
  push: {
    action: oneOf('replace', 'merge', 'withdraw'),
    /** What pushed files of entries, or of bare rules, are about; else each file's own name, or the policy `default`. */
    list: optional(name),
    policy: optional(name),
    /** Also remove the lists and policies that the files do not name. */
    replaceAll: boolean,
    /** Refuse with `version-moved` unless the head has this version. */
    ifVersion: optional(uint),
    /** Say what would change; release nothing. */
    dryRun: boolean,
    /** When DONE comes: when the release is stored, or when every subscriber connected at the time answered. */
    wait: oneOf('released', 'applied'),
    timeoutMs: integer(0, WAIT_MAX_MS),
    /** How many FILEs follow. */
    files: integer(0, PUSH_FILES_MAX),
  },
  file: {
    name: fileName,
    role: oneOf('pushed', 'referenced'),
    /** Length of what the CHUNKs up to END hold. */
    bytes: uint,
  },
  status: { watch: boolean },
  test: {
    packet: mapOf(PACKET_FIELDS),
    /** Ask this subscriber only; all connected ones without it. */
    subscriber: optional(name),
  },
  done: { code, text },
  fail: {
    code,
    text,
    file: optional(fileName),
    /** Both from 1. */
    line: optional(uint),
    column: optional(uint),
    part: optional(partText),
    /** The head, for `version-moved`. */
    version: optional(uint),
  },
} as const satisfies Record<string, Fields>;

export const SUBSCRIBER_STATES = [
  'synced',
  'behind',
  'receiving',
  'refused',
  'diverged',
  'disconnected',
] as const;

/** What RECORD carries, by the value of its field `record`. */
export const RECORD_FIELDS = {
  /** How far a push has come: `done` of `total` units (bytes or files) of a stage. */
  progress: { stage: code, done: uint, total: uint },
  /** A line that was refused. */
  reject: { file: fileName, line: uint, column: uint, code, reason: text },
  warning: { code, part: partText, reason: text },
  /** What a push does to one part. */
  change: {
    op: oneOf('add', 'change', 'remove'),
    kind: code,
    name: textOf(63),
    added: uint,
    removed: uint,
    unchanged: uint,
  },
  release: {
    epoch: uint,
    version: uint,
    previousVersion: uint,
    hash: hexHash,
    createdAtMs: uint,
    parts: uint,
    entries: uint,
    rules: uint,
    deltaBytes: uint,
    dryRun: boolean,
    /** False: the content is that of the head, and there is no new version. */
    changed: boolean,
  },
  applied: {
    subscriber: name,
    state: oneOf('applied', 'refused', 'timeout', 'disconnected', 'superseded'),
    version: uint,
    /** From the release to the subscriber's answer. */
    ms: uint,
    /** Sent to it for this release. */
    bytes: uint,
    code: optional(code),
    text: optional(text),
    persisted: optional(boolean),
  },
  head: {
    lineage: hex(LINEAGE_BYTES),
    epoch: uint,
    version: uint,
    hash: hexHash,
    createdAtMs: uint,
    parts: uint,
    entries: uint,
    rules: uint,
    startedAtMs: uint,
    /** What does not work as it should, each a sentence. */
    degraded: listOf(textOf(DEGRADED_TEXT_MAX_BYTES), DEGRADED_MAX),
  },
  part: { kind: code, name: textOf(63), count: uint, digest: hexHash, changedVersion: uint },
  subscriber: {
    name,
    state: oneOf(...SUBSCRIBER_STATES),
    /** What is active there, as it said last. */
    epoch: optional(uint),
    version: optional(uint),
    hash: optional(hexHash),
    /** Whether that is the head. */
    matches: boolean,
    lagVersions: uint,
    /** Age of the oldest release it lacks. */
    lagMs: uint,
    connectedSinceMs: optional(uint),
    lastSeenMs: uint,
    appliedAtMs: optional(uint),
    /** Received to flipped, of the last release it applied. */
    applyMs: optional(uint),
    bytesSent: uint,
    lastError: optional(mapOf({ code, text, atMs: uint })),
    persisted: optional(boolean),
  },
  verdict: {
    subscriber: name,
    ...VERDICT_FIELDS,
    /** What is active there; absent before the first release. */
    version: optional(uint),
    hash: optional(hexHash),
    generation: uint,
  },
} as const satisfies Record<string, Fields>;

type RecordValues = {
  [K in keyof typeof RECORD_FIELDS]: { readonly record: K } & FieldValues<(typeof RECORD_FIELDS)[K]>;
};
export type ControlRecord = RecordValues[keyof RecordValues];
export type ControlRecordOf<K extends ControlRecord['record']> = RecordValues[K];
export type SubscriberState = (typeof SUBSCRIBER_STATES)[number];

/** Any record. */
export const RECORD_SCHEMA: Schema = {
  type: 'object',
  discriminator: { propertyName: 'record' },
  oneOf: Object.entries(RECORD_FIELDS).map(([value, fields]) => schemaOf(fields, { field: 'record', value })),
};
