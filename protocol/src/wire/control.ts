/**
 * Control messages between `rulectl` and the publisher, CONTROL.md "Control". A control connection is one
 * request, its answers, and the end: DONE or FAIL.
 *
 * ```
 *   rulectl                                   publisher
 *   PUSH, (FILE, CHUNK…, END)…       ─▶
 *                                    ◀─       RECORD…, then DONE or FAIL
 *   any other request                ─▶
 *                                    ◀─       RECORD…, then DONE or FAIL (STATUS with watch, LOG with follow: RECORD…,
 *                                             without an end)
 * ```
 */

import { HOST_NAME_MAX_BYTES } from '@rulecast/rules';
import {
  BINDING_TEXT_MAX_BYTES,
  BINDINGS_MAX,
  BLOCK_COMMENT_MAX_BYTES,
  BLOCK_MAX_SECONDS,
  BLOCK_TARGET_MAX_BYTES,
  CHANGED_PARTS_SHOWN_MAX,
  COUNTERS_MAX,
  DEGRADED_MAX,
  DEGRADED_TEXT_MAX_BYTES,
  EDIT_LINES_MAX,
  ENTRY_TEXT_MAX_BYTES,
  FILE_NAME_MAX_BYTES,
  FLEET_CODES_MAX,
  HOLDING_ENTRIES_MAX,
  LEFT_OUT_SHOWN_MAX,
  LINEAGE_BYTES,
  LIST_FORMATS_SHOWN_MAX,
  MESSAGE_MAX_BYTES,
  METRIC_LABELS_MAX,
  PEER_NAME_MAX_BYTES,
  PERMITS_MAX,
  PROTECTED_SHOWN_MAX,
  PUSH_FILES_MAX,
  REFRESH_LISTS_MAX,
  REQUIRE_MAX,
  RULE_TEXT_MAX_BYTES,
  SAMPLES_MAX,
  UNBLOCK_ROWS_MAX,
  WAIT_MAX_MS,
} from '../limits.ts';
import {
  boolean,
  capabilities,
  code,
  countersOf,
  duration,
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
  prefixText,
  protocolVersion,
  text,
  textOf,
  uint,
} from './field.ts';
import {
  PACKET_FIELDS,
  QUESTION_FIELDS,
  REFUSED_FIELDS,
  REFUSED_QUERY_FIELDS,
  TOLD_FIELDS,
  VERDICT_FIELDS,
} from './query.ts';

/** The actions of one-line requests: for all qubes or one; `cut` takes a qube off the network. */
export const BLOCK_VERBS = ['block', 'allow', 'cut'] as const;
export type BlockVerb = (typeof BLOCK_VERBS)[number];

/** The states of a reporting name; CONTROL.md "record fleet" defines them. */
export const FLEET_STATES = ['synced', 'behind', 'refused', 'silent', 'unknown'] as const;
export type FleetState = (typeof FLEET_STATES)[number];

const fileName = textOf(FILE_NAME_MAX_BYTES);
const message = textOf(MESSAGE_MAX_BYTES);
/** The fields of PUSH and ROLLBACK about the release to make. */
const releasing = {
  /** Refuse with `version-moved` unless the head has this version. */
  ifVersion: optional(uint),
  /** Only report the changes; release nothing. */
  dryRun: boolean,
  /** Release it in a new epoch, above all that was ever released; absent: no. */
  asNewEpoch: optional(boolean),
  /** When DONE comes: when the release is stored, or when every subscriber connected at the time answered. */
  wait: oneOf('released', 'applied'),
  timeoutMs: integer(0, WAIT_MAX_MS),
  /** The subscribers expected to apply it; empty: none. Absent: those that the publisher expects. */
  require: optional(listOf(name, REQUIRE_MAX)),
  /** For `applied`: also until so many percent of the names that report have it. */
  share: optional(integer(1, 100)),
  /** The reason, in the caller's words; HISTORY shows it. */
  message: optional(message),
} as const;

/** Codes of refusals that are permitted. */
const permits = optional(listOf(code, PERMITS_MAX));
/** Permitted refusals of guards for a push or a rollback. Absent: none. */
const permitting = {
  '+permit': permits,
  /** As 0.2 permits, until 0.4; only `true` opens. */
  allowEmpty: optional(boolean),
  allowShrink: optional(boolean),
  allowGrowth: optional(boolean),
  allowCoverage: optional(boolean),
  allowAll: optional(boolean),
  allowKind: optional(boolean),
  allowWider: optional(boolean),
  allowAcceptAll: optional(boolean),
  allowDropAll: optional(boolean),
  allowNoPolicy: optional(boolean),
  allowUnreachable: optional(boolean),
  allowUnresolved: optional(boolean),
  '+allowUnsupported': optional(boolean),
} as const;

/** The DONE codes that may end each request. */
export const DONE_CODES = {
  push: ['released', 'unchanged', 'planned'],
  rollback: ['released', 'unchanged', 'planned'],
  refresh: ['refreshed', 'failing'],
  diff: ['same', 'different'],
  forget: ['forgotten'],
  block: ['released', 'unchanged', 'planned'],
  unblock: ['released', 'unchanged', 'planned'],
  blocks: ['ok'],
  status: ['ok'],
  test: ['ok'],
  which: ['ok'],
  history: ['ok'],
  lists: ['ok'],
  list: ['ok'],
  log: ['ok'],
  top: ['ok'],
  metrics: ['ok'],
} as const;
export type DoneCode = (typeof DONE_CODES)[keyof typeof DONE_CODES][number];

/** Requests and their ends, rulectl and publisher. */
export const CONTROL_FIELDS = {
  push: {
    action: oneOf('replace', 'merge', 'withdraw'),
    /**
     * The list or policy that pushed files of entries, or of bare rules, are for; else each file's own name,
     * or the policy `default`.
     */
    list: optional(name),
    policy: optional(name),
    /**
     * The format of the pushed files, which all are lists then; without it the content of each decides. A
     * name of the publisher's formats.
     */
    format: optional(code),
    /** Options for lists of names in them; documents have their own. */
    resolve: optional(oneOf('publisher', 'firewall')),
    subdomains: optional(boolean),
    allowPublicSuffixes: optional(boolean),
    /** Also remove the lists and policies that the files do not name. */
    replaceAll: boolean,
    /** With withdraw: a missing part is no reason to refuse. */
    ifPresent: optional(boolean),
    ...releasing,
    /**
     * With `dryRun`: answer as DIFF does, about the release that would be made; from the head without a
     * version.
     */
    compare: optional(
      mapOf({ from: optional(uint), list: optional(name), policy: optional(name), stats: boolean }),
    ),
    /** The number of FILEs that follow. */
    files: integer(0, PUSH_FILES_MAX),
    ...permitting,
  },
  file: {
    name: fileName,
    role: oneOf('pushed', 'referenced'),
    /** Length of the bytes in the CHUNKs up to END. */
    bytes: uint,
  },
  status: {
    watch: boolean,
    /** Ask the subscribers for their counters too; not with `watch`. Without it: no. */
    counters: optional(boolean),
    /** All names that report and are in this state, and only those. */
    state: optional(oneOf(...FLEET_STATES)),
  },
  test: {
    packet: optional(mapOf(PACKET_FIELDS)),
    question: optional(mapOf(QUESTION_FIELDS)),
    /** The policy of the packet's source, in place of an address. */
    policy: optional(name),
    /** Ask this subscriber only; all connected ones without it. */
    subscriber: optional(name),
  },
  which: {
    /** The subject: an address, a prefix or a name. */
    what: textOf(BLOCK_TARGET_MAX_BYTES),
    /** The sender: the address of a qube, or the name of a policy. */
    qube: optional(textOf(PEER_NAME_MAX_BYTES)),
  },
  rollback: {
    /** The version whose content is restored. */
    version: uint,
    /** Only this list, or only this policy; else all of them. */
    list: optional(name),
    policy: optional(name),
    ...releasing,
    ...permitting,
  },
  history: {
    /** The newest so many releases. */
    most: uint,
    /** Only releases from then on; and those that changed this list, or this policy. */
    sinceMs: optional(uint),
    list: optional(name),
    policy: optional(name),
  },
  diff: {
    from: uint,
    /** The head without it. */
    to: optional(uint),
    /** Only this list, or only this policy; else everything. */
    list: optional(name),
    policy: optional(name),
    /** Counts only. */
    stats: boolean,
    /** Only pushed parts; the head's rows come as records `block` before them. */
    pushed: optional(boolean),
  },
  lists: {
    /** Leave out lists without a source. */
    sourcesOnly: boolean,
  },
  list: {
    name,
    /** Its entries too. */
    content: boolean,
  },
  refresh: {
    /** Empty: all of them. */
    lists: listOf(name, REFRESH_LISTS_MAX),
    '+permit': permits,
    /** As 0.2 permits, until 0.4; only `true` opens. */
    allowShrink: boolean,
    force: boolean,
    allowGrowth: optional(boolean),
    allowCoverage: optional(boolean),
    allowAll: optional(boolean),
    allowKind: optional(boolean),
    allowWider: optional(boolean),
  },
  forget: { name },
  log: {
    qube: REFUSED_QUERY_FIELDS.qube,
    sinceS: REFUSED_QUERY_FIELDS.sinceS,
    /** Continue with later refusals. */
    follow: boolean,
  },
  top: {
    of: oneOf('lists', 'rules'),
    /** Drops in the last so many milliseconds; absent: in all hours kept. */
    sinceMs: optional(duration),
  },
  block: {
    verb: oneOf(...BLOCK_VERBS),
    /** An address, a prefix, a name with all below it, or `@` and a list; not with `cut`. */
    target: optional(textOf(BLOCK_TARGET_MAX_BYTES)),
    /** Its address, or the name of a policy of that address alone. */
    qube: optional(textOf(PEER_NAME_MAX_BYTES)),
    /** The duration; absent: until it is removed. */
    seconds: optional(integer(1, BLOCK_MAX_SECONDS)),
    comment: optional(textOf(BLOCK_COMMENT_MAX_BYTES)),
    ...releasing,
    '+permit': permits,
  },
  unblock: {
    /** Numbers of rows, as in BLOCKS; empty with `all`. */
    rows: listOf(uint, UNBLOCK_ROWS_MAX),
    all: optional(boolean),
    ...releasing,
    '+permit': permits,
  },
  blocks: {},
  /** Metrics for monitoring. */
  metrics: {},
  /** Versions and capabilities of a side, before the request and before its answers. */
  greet: { protocolMin: protocolVersion, protocolMax: protocolVersion, capabilities },

  done: { code, text },
  fail: {
    code,
    text,
    file: optional(fileName),
    /** Both from 1. */
    line: optional(uint),
    column: optional(uint),
    part: optional(partText),
    /** The head, for `version-moved`; the oldest release still kept, for `unknown-release`. */
    version: optional(uint),
    /** The first refusal, for `guard-refused` by a guard of pushes. */
    guard: optional(code),
    permit: optional(code),
    before: optional(uint),
    after: optional(uint),
  },
} as const satisfies Record<string, Fields>;

/** The causes of a release; `unknown` if the publisher's note of it is lost. */
export const RELEASE_CAUSES = [
  'push',
  'rules',
  'rollback',
  'source',
  'names',
  'epoch',
  'root',
  'blocks',
  'unknown',
] as const;

/** The sources of a list; `push`: only pushes. */
export const LIST_SOURCES = [
  'push',
  'file',
  'dir',
  'url',
  'table',
  'names',
  'entries',
  'expression',
] as const;
/**
 * `waiting`: nothing good was read yet; `failing`: the last good content stays; `expired`: it was too old,
 * and the list is empty.
 */
export const LIST_STATES = ['ok', 'waiting', 'loading', 'failing', 'expired'] as const;

/** How an entry contains the subject: all of it, a part, only names below it, or as an exception. */
const HOLDING_WORDS = ['all', 'part', 'below', 'excepted'] as const;

/** The aspects of a part in a difference. */
export const EDIT_ASPECTS = [
  'entries',
  'exceptions',
  'egress',
  'ingress',
  'egress-exceptions',
  'ingress-exceptions',
  'prefixes',
  'default',
  'resolve',
  'addresses',
  'unmatched',
] as const;

export const SUBSCRIBER_STATES = [
  'synced',
  'behind',
  'receiving',
  'refused',
  'diverged',
  'disconnected',
] as const;

/** The fields of RECORD, by the value of its field `record`. */
export const RECORD_FIELDS = {
  /** The progress of a push: `done` of `total` units (bytes or files) of a stage. */
  progress: { stage: code, done: uint, total: uint },
  /** A line that was refused. */
  reject: { file: fileName, line: uint, column: uint, code, reason: text },
  /** A guard's refusal of a release. */
  refusal: { guard: code, part: partText, permit: optional(code), before: uint, after: uint, reason: text },
  warning: { code, part: partText, reason: text },
  /** The change of one part by a push. */
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
    /** False: the content equals the head's, and there is no new version. */
    changed: boolean,
    /** Warnings about parts that the request did not touch, which STATUS tells. */
    otherWarnings: uint,
  },
  applied: {
    subscriber: name,
    state: oneOf('applied', 'refused', 'timeout', 'disconnected', 'superseded', 'absent'),
    /** Whether the release is in force as it should be only with this one. */
    expected: boolean,
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
    /** Troubles, each a sentence. */
    degraded: listOf(textOf(DEGRADED_TEXT_MAX_BYTES), DEGRADED_MAX),
    /** The rule set's action for qubes outside all policies; absent if it has none. */
    unmatched: optional(oneOf('accept', 'drop')),
    /** The key that signs roots lies beside those of the publisher, where it had better not be. */
    hasRootKey: optional(boolean),
  },
  part: { kind: code, name: textOf(63), count: uint, digest: hexHash, changedVersion: uint },
  subscriber: {
    name,
    state: oneOf(...SUBSCRIBER_STATES),
    /** Whether it must apply releases. */
    expected: boolean,
    /** The active release there, as last reported. */
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
    /** Why it refuses the head for good. */
    refusal: optional(mapOf({ code, text, atMs: uint })),
    persisted: optional(boolean),
    /** Identities bound to this subscriber; absent: none, and any client may claim its name. */
    bound: optional(listOf(textOf(BINDING_TEXT_MAX_BYTES), BINDINGS_MAX)),
  },
  /** The number of reporting names in each state. */
  fleet: {
    /** The interval of each name's reports. */
    everyMs: uint,
    /** The head that they are compared with. */
    version: uint,
    synced: uint,
    behind: uint,
    refused: uint,
    silent: uint,
    unknown: uint,
    /** The refusals by code, the most frequent first. */
    refusedBy: listOf(mapOf({ code, count: uint }), FLEET_CODES_MAX),
  },
  /** One reporting name, by its last report. */
  member: {
    name,
    state: oneOf(...FLEET_STATES),
    /** The relay that vouches for the report. */
    via: optional(name),
    /** The active release there. */
    epoch: optional(uint),
    version: optional(uint),
    hash: optional(hexHash),
    applyMs: optional(uint),
    persisted: optional(boolean),
    /** The release that it will not take, and why. */
    refusal: optional(mapOf({ hash: hexHash, code })),
    heardAtMs: optional(uint),
  },
  /** The counters of a subscriber, as it answers the question `stats`. */
  counters: { subscriber: name, counters: countersOf(COUNTERS_MAX) },
  /** Samples of one family of metrics; more of it may follow. */
  samples: {
    family: code,
    /** The labels of each value, one after another. */
    labels: listOf(textOf(63), SAMPLES_MAX * METRIC_LABELS_MAX),
    values: listOf(uint, SAMPLES_MAX),
  },
  /** The end of a batch: one status of a watched one, or one turn of a continuous log. */
  end: {},
  /** One kept release. */
  history: {
    epoch: uint,
    version: uint,
    hash: hexHash,
    createdAtMs: uint,
    cause: oneOf(...RELEASE_CAUSES),
    /** More about the cause: files, a version, the name of a source. */
    detail: text,
    parts: uint,
    entries: uint,
    rules: uint,
    /** The changes from the release before; the first parts by name. */
    changedParts: listOf(partText, CHANGED_PARTS_SHOWN_MAX),
    changedCount: uint,
    added: uint,
    removed: uint,
    deltaBytes: uint,
    /** The caller; absent: none. */
    by: optional(text),
    /** The reason, in the caller's words; for a side that listed `requests`. */
    message: optional(message),
  },
  /** One row made by a BLOCK. */
  block: {
    row: uint,
    verb: oneOf(...BLOCK_VERBS),
    target: optional(textOf(BLOCK_TARGET_MAX_BYTES)),
    qube: optional(prefixText),
    /** When it was asked for last, and when it ends; absent: when it is removed. */
    atMs: uint,
    untilMs: optional(uint),
    /** The caller. */
    by: text,
    comment: optional(textOf(BLOCK_COMMENT_MAX_BYTES)),
  },
  /** Lines that one release has and the other has not. */
  edit: {
    op: oneOf('added', 'removed'),
    kind: code,
    name: textOf(63),
    aspect: oneOf(...EDIT_ASPECTS),
    /** For rules: the index of the first whole line, from 0, in the release that has it. */
    index: optional(uint),
    /** A line that begins with a space continues the one before it, which may be in the record before. */
    lines: listOf(textOf(RULE_TEXT_MAX_BYTES), EDIT_LINES_MAX),
  },
  /** A list: its source, its freshness, its troubles. */
  list: {
    name,
    source: oneOf(...LIST_SOURCES),
    /** The source's place, for people. */
    origin: text,
    state: oneOf(...LIST_STATES),
    holds: optional(oneOf('prefixes', 'names')),
    count: uint,
    /** For a list of names that has some. */
    exceptions: optional(uint),
    /** Whether releases contain it; otherwise it is only an operand of others. */
    published: boolean,
    fetchedAtMs: optional(uint),
    nextAtMs: optional(uint),
    changedAtMs: optional(uint),
    /** By the last change. */
    added: uint,
    removed: uint,
    /** Why it is not as fresh as it should be. */
    error: optional(mapOf({ code, text, atMs: uint })),
    /** Formats that its bytes were found to have. */
    formats: listOf(code, LIST_FORMATS_SHOWN_MAX),
    /** Unusable lines of its source, and the first of them. */
    rejects: uint,
    reject: optional(text),
    /** Skipped lines of its source, by kind. */
    leftOut: optional(listOf(mapOf({ code, count: uint }), LEFT_OUT_SHOWN_MAX)),
    /** Entries that contained addresses which must never be blocked, and some of those addresses. */
    protected: uint,
    protectedPrefixes: listOf(prefixText, PROTECTED_SHOWN_MAX),
    /** Suffix entries of which only the name itself is used, as the list's settings say. */
    suffixes: optional(uint),
  },
  /** Entries of a list, in their order. */
  entries: { lines: listOf(textOf(ENTRY_TEXT_MAX_BYTES), EDIT_LINES_MAX) },
  /** The exceptions of a list of names, likewise. */
  exceptions: { lines: listOf(textOf(ENTRY_TEXT_MAX_BYTES), EDIT_LINES_MAX) },
  /** A list that contains the subject. */
  holder: {
    name,
    how: oneOf(...HOLDING_WORDS),
    /**
     * The entries that contain all of it, or except it; or the first of those that contain a part, or are
     * below it.
     */
    entries: listOf(text, HOLDING_ENTRIES_MAX),
    /** Whether there are more. */
    more: boolean,
    /** Whether a rule names the list, and whether releases carry it. */
    used: boolean,
    published: boolean,
    /** The list's source, and its place for people. */
    source: oneOf(...LIST_SOURCES),
    origin: text,
  },
  /** The verdict on packets of some qubes to it, or on its name. */
  decision: {
    /** That judges them; absent: none does. */
    policy: optional(name),
    direction: oneOf('egress', 'ingress'),
    /** The verdict on the rest, after rules that decide some ports or a part of it. */
    action: oneOf('accept', 'drop', 'none'),
    by: oneOf('rule', 'default', 'unmatched', 'unlisted', 'nobody'),
    /** Rules that hold it. */
    rules: uint,
  },
  /** One of those rules, in the order in which they are judged. */
  step: {
    policy: optional(name),
    direction: oneOf('egress', 'ingress'),
    rulePolicy: name,
    block: oneOf('exceptions', 'common', 'own'),
    rule: textOf(RULE_TEXT_MAX_BYTES),
    /** From 0. */
    ruleIndex: uint,
    how: oneOf(...HOLDING_WORDS),
    entry: optional(text),
    /** What this rule decides of the part that no rule before it has decided. */
    decides: oneOf('rest', 'some', 'nothing'),
  },
  verdict: {
    subscriber: name,
    ...VERDICT_FIELDS,
    /** The address that was taken for a policy. */
    source: optional(prefixText),
    /** To a question: how it is answered. */
    answer: optional(oneOf('answer', 'nxdomain', 'refused', 'null')),
    /** The name that matched. */
    name: optional(textOf(HOST_NAME_MAX_BYTES)),
    /** For a packet accepted by a list of names. */
    told: optional(mapOf(TOLD_FIELDS)),
    /** The active release there; absent before the first. */
    version: optional(uint),
    hash: optional(hexHash),
    generation: uint,
  },
  /**
   * Refused packets or names at a subscriber; a later record of the same has another count, or its verdict.
   */
  refused: {
    subscriber: name,
    ...REFUSED_FIELDS,
    qube: prefixText,
    remote: optional(prefixText),
    /** The name or address that `allow` could open for this qube alone; absent: nothing like that could. */
    allow: optional(textOf(HOST_NAME_MAX_BYTES)),
  },
  /** The number of refusals that a subscriber could not keep, since its log began. */
  lost: { subscriber: name, count: uint },
  /** Drops by a list or a rule, at all firewalls. */
  dropped: {
    packets: uint,
    list: optional(name),
    /** For a rule: its place; without `ruleIndex` all rules that are counted together. */
    policy: optional(name),
    direction: optional(oneOf('egress', 'ingress')),
    block: optional(oneOf('exceptions', 'own')),
    rule: optional(textOf(RULE_TEXT_MAX_BYTES)),
    ruleIndex: optional(uint),
    /** When the sum begins. */
    fromMs: uint,
  },
} as const satisfies Record<string, Fields>;

type RecordValues = {
  [K in keyof typeof RECORD_FIELDS]: { readonly record: K } & FieldValues<(typeof RECORD_FIELDS)[K]>;
};
export type ControlRecord = RecordValues[keyof RecordValues];
export type ControlRecordOf<K extends ControlRecord['record']> = RecordValues[K];
export type ReleaseCause = (typeof RELEASE_CAUSES)[number];
export type EditAspect = (typeof EDIT_ASPECTS)[number];
export type SubscriberState = (typeof SUBSCRIBER_STATES)[number];
