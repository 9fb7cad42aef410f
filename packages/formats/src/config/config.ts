/**
 * The publisher's configuration: one YAML document with its endpoints, its subscribers, and its lists with
 * their sources. All faults are reported in one pass, each with its place and a remedy;
 * examples/publisher.yaml shows every key.
 */

import { posix } from 'node:path';
import { isPartName, type Packet, type PrefixSet, parseHostName } from '@rulecast/rules';
import type { MappingNode, TextNode } from '../document/node.ts';
import { parsePacketText } from '../document/packet.ts';
import { checkShape } from '../document/shape.ts';
import { parseTree } from '../document/tree.ts';
import { quote } from '../text/bytes.ts';
import { PART_NAME_ADVICE, partNameReason } from '../text/entry.ts';
import { FORMAT_LIMITS } from '../text/limits.ts';
import { type DocumentReject, RejectLog } from '../text/reject.ts';
import { BUILT_IN_TABLES } from './built-in.ts';
import {
  atStart,
  type Filled,
  filled,
  flag,
  type Keys,
  mapping,
  named,
  otherwise,
  type Parse,
  path,
  place,
  prefixes,
  readKeys,
  scalar,
  schemaOf,
  startTexts,
  TEXT_OR_TEXTS,
  texts,
  type Values,
} from './key.ts';
import { type ListConfig, readList } from './list.ts';
import { LIST_KEYS, SHARED_KEYS } from './list-keys.ts';
import { OPERAND_KEYS, withOperandLists } from './operand.ts';
import { OPERATOR_KEYS, readOperators } from './operators.ts';
import { ConfigFault, ConfigReader, type ConfigText, textsOf } from './reader.ts';
import { type BindingConfig, readBindings, readSubscribers, SUBSCRIBER_KEYS } from './subscribers.ts';
import { readTable, TABLE_KEYS, type TableConfig } from './table.ts';
import { fault, readCount, readDuration, readSize, type ValueResult } from './value.ts';

export interface MustReach {
  /** Its original text. */
  readonly text: string;
  /** Without a sender: from every qube. */
  readonly packet: Packet;
}

/** Our choice: each list is watched or fetched by itself. A release has room for more. */
export const LISTS_MAX = 960;
const FETCHES_MAX = 64;
/** A limit on the disk space of downloads. */
const DOWNLOADS_MAX_BYTES = 64 * 2 ** 30;
const NAME_AGE_MIN_MS = 60_000; // less than the shortest times to live in use would drop names between two queries
const NAME_AGE_MAX_MS = 366 * 86_400_000;
const HISTORY_MIN_MS = 3_600_000;
const HISTORY_MAX_MS = 3660 * 86_400_000;
const DAY_MS = 86_400_000;
/** Each is judged for every policy at each release. */
export const MUST_REACH_MAX = 64;
const INGRESS_WORD = 'ingress ';
/** Prefix of the lists that the publisher makes for `rulectl block` and `allow`. */
const ROWS_PREFIX = 'rulectl.';

const count =
  (most: number): Parse<number> =>
  (text) =>
    readCount(text, 1, most);
const bytes: Parse<number> = (text) => readSize(text, FORMAT_LIMITS.inputBytes);
const downloads: Parse<number> = (text) => readSize(text, DOWNLOADS_MAX_BYTES);
const between =
  (minMs: number, maxMs: number): Parse<number> =>
  (text) =>
    readDuration(text, minMs, maxMs);
const nameAge = between(NAME_AGE_MIN_MS, NAME_AGE_MAX_MS);
const history = between(HISTORY_MIN_MS, HISTORY_MAX_MS);
const files = (sentence: string) =>
  otherwise(
    [],
    texts((nodes, _key, reader) => nodes.map(({ value }) => reader.pathOf(value)), sentence),
  );

/** Standard values are our choice. */
const LIMIT_KEYS = {
  // Four times the million that docs/explain/design.md counts with.
  entries: scalar(count(FORMAT_LIMITS.entries), 'most entries of a list', '4,194,304'),
  // The largest feed in use has 20 MB.
  bytes: scalar(bytes, 'most bytes of a file or download, and of all that comes out of an archive', '128MiB'),
  // Two of the largest.
  downloads: scalar(
    downloads,
    'most bytes of all downloads at once; each is on disk beyond 1 MiB, and others wait',
    '256MiB',
  ),
  // "Thousands of files".
  archiveMembers: scalar(count(1_000_000), 'most files of an archive, and of a directory', '4,096'),
  // A feed's server and a small qube's memory bear that.
  ...atStart({
    fetches: scalar(count(FETCHES_MAX), 'downloads at once, and up to four times as many slow ones', '4'),
  }),
} as const satisfies Keys;

/** The limits on the cost of sources. */
export type SourceLimits = Filled<typeof LIMIT_KEYS>;

/** The default limits on the cost of sources. */
export const SOURCE_LIMITS: SourceLimits = filled(LIMIT_KEYS);

const CURVE_KEYS = {
  secret: path("the file of the publisher's secret key, which `rulectl keys new` makes"),
  clients: files('files of the public keys of the subscribers to admit'),
  controlClients: files('files of the public keys of those who may use a control endpoint'),
} as const satisfies Keys;

const DEPOT_KEYS = {
  directory: path('the directory of the files, for a web server, or to be copied elsewhere'),
  // Twice within the five minutes after which a reader takes a head for one that stands still.
  signEveryMs: scalar(between(10_000, 120_000), 'how often the head is signed anew', '1m'),
  expiresMs: scalar(between(240_000, DAY_MS), 'how long a head is good', '5m'),
  keepMs: scalar(between(7_200_000, 30 * DAY_MS), 'how long a file stays that no head names any more', '2h'),
} as const satisfies Keys;

const FLEET_KEYS = {
  reports: place('the Unix socket to which a web server passes the reports'),
  secret: path('the file of the secret of their tokens, which `rulectl keys fleet` makes'),
  everyMs: scalar(
    between(60_000, DAY_MS),
    'how often firewalls report; one that is not heard for twice as long is silent',
    '5m',
  ),
} as const satisfies Keys;

const DNS_KEYS = {
  servers: texts(readServers, 'addresses of the servers to ask; without it, those of resolv.conf'),
  fixed: otherwise(
    new Map<string, PrefixSet>(),
    named(TEXT_OR_TEXTS, readFixedNames, 'names that are answered without DNS, `NAME: ADDRESSES`'),
  ),
  maxAgeMs: scalar(nameAge, 'how long accept rules keep the addresses of a name that does not resolve'),
  privateZones: otherwise([], texts(readZones, 'zones whose names may stand for private addresses')),
} as const satisfies Keys;

const NEVER_BLOCK_KEYS = {
  add: prefixes('addresses, CIDRs and ranges that no list of `purpose: block` may hold'),
  defaults: flag(
    "whether Qubes' DNS, private, loopback, link-local and multicast addresses are among them",
    true,
  ),
} as const satisfies Keys;

/** Addresses and names that downloaded lists of purpose `block` must not contain. */
export type NeverBlockConfig = Filled<typeof NEVER_BLOCK_KEYS>;

/** Releases as files: where, and for how long. */
export type DepotConfig = Filled<typeof DEPOT_KEYS> & { readonly directory: string };

/** The socket for reports, and the tokens of reporting names. */
export type FleetConfig = Filled<typeof FLEET_KEYS> & {
  readonly reports: ConfigText;
  readonly secret: string;
};

export const CONFIG_KEYS = {
  ...atStart({
    name: scalar(readName, 'what subscribers see'),
    state: path('the directory of the identity, the store and downloads'),
    identity: path('the file of the signing keys and roots; it is made if there is none'),
    signer: place('the endpoint of the process with the signing keys; without it, the publisher starts one'),
    listen: texts(placesOf, 'endpoints where subscribers connect'),
    control: texts(placesOf, 'endpoints where `rulectl` connects'),
    operators: otherwise(
      [],
      named(
        { ...schemaOf(OPERATOR_KEYS), required: ['role'], description: 'write role: status, push or admin' },
        readOperators,
        'who uses `rulectl` beside the owner of the control endpoints, by name',
      ),
    ),
    proxy: scalar(
      readProxy,
      '`environment`, `none`, `qubes` (the update proxy) or a URL, for downloads',
      'environment',
    ),
    curve: mapping(CURVE_KEYS, 'keys for zmq endpoints', {
      required: ['secret'],
      description: 'curve: takes secret: FILE, and clients: FILE or [FILE, …]',
    }),
  }),
  subscribers: {
    ...named(schemaOf(SUBSCRIBER_KEYS), subscribersOf, 'firewalls expected to apply each release, by name', {
      description: 'write a mapping by name: subscribers: { sys-firewall: {} }',
    }),
    keysOfEach: SUBSCRIBER_KEYS,
  },
  rules: path(
    'the file of rules: a rule set document that is released when it changes, within the guards of the role `push`',
  ),
  mustReach: otherwise(
    [],
    texts(readMustReach, 'packets that no release may drop, as for `rulectl test`', 'sequence'),
  ),
  ...atStart({
    historyMs: scalar(
      history,
      'how long a replaced release stays for `rulectl rollback`; at most 4,096 releases and 256 MiB',
      '30d',
    ),
    depot: mapping(DEPOT_KEYS, 'releases as files, for firewalls that fetch them', {
      required: ['directory'],
      description: 'depot: takes directory: DIRECTORY, and sign-every:, expires: and keep:',
    }),
    fleet: mapping(FLEET_KEYS, 'reports of firewalls that fetch releases: what they have in force', {
      required: ['reports', 'secret'],
      description: 'fleet: takes reports: unix:PATH, secret: FILE, and every:',
    }),
    dns: mapping(DNS_KEYS, 'how names are resolved'),
  }),
  neverBlock: mapping(NEVER_BLOCK_KEYS, 'what is taken out of lists that block'),
  limits: mapping(LIMIT_KEYS, 'what sources may cost'),
  defaults: mapping(SHARED_KEYS, 'what holds for every list that does not say otherwise'),
  tables: named(
    { ...schemaOf(TABLE_KEYS), required: ['of'], description: 'write of: country or of: asn' },
    asItIs,
    'tables that lists are cut from, by name',
  ),
  lists: named(schemaOf(LIST_KEYS), asItIs, 'the lists that are kept fresh, by name'),
} as const satisfies Keys;

/** The keys whose value needs no other key. */
type PlainKey = Exclude<
  keyof typeof CONFIG_KEYS,
  | 'curve'
  | 'subscribers'
  | 'depot'
  | 'fleet'
  | 'dns'
  | 'neverBlock'
  | 'limits'
  | 'defaults'
  | 'tables'
  | 'lists'
>;

/**
 * The configuration of the publisher. A missing key leaves its option, or the default, in force. A key that
 * is not there leaves its option, or the default, in force. Paths are absolute; endpoints are checked when
 * they are opened.
 */
export interface PublisherConfig extends Pick<Filled<typeof CONFIG_KEYS>, PlainKey> {
  readonly curve: Filled<typeof CURVE_KEYS> | undefined;
  /** Names of the subscribers that are expected to apply what is released; undefined: all that ever did. */
  readonly subscribers: ReadonlySet<string> | undefined;
  /** The bindings of subscribers' names to transport identities. */
  readonly bindings: readonly BindingConfig[];
  readonly depot: DepotConfig | undefined;
  readonly fleet: FleetConfig | undefined;
  readonly dns: Filled<typeof DNS_KEYS>;
  readonly neverBlock: NeverBlockConfig;
  readonly limits: SourceLimits;
  readonly tables: ReadonlyMap<string, TableConfig>;
  readonly lists: ReadonlyMap<string, ListConfig>;
  /** Whether there is a key `lists:`, so that having none is meant; half a file may have lost it. */
  readonly saysLists: boolean;
  /** Settings that take effect at the next start only, as text, by key; equal if they mean the same. */
  readonly startTexts: ReadonlyMap<string, string>;
}

export const CONFIG_SCHEMA = {
  $schema: 'http://json-schema.org/draft-07/schema#',
  title: 'Rulecast publisher configuration',
  ...schemaOf(CONFIG_KEYS),
};

/** Keys of rule set documents, which people look for here. */
const RULES_SCHEMAS = Object.fromEntries(
  ['first', 'common', 'policies', 'unmatched'].map((key) => {
    const description = `${key}: is in the file of the rules: write rules: rules.yaml here, and ${key}: there`;
    return [key, { not: {}, description }];
  }),
);
const CHECKED_SCHEMA = {
  ...CONFIG_SCHEMA,
  properties: { ...Object(schemaOf(CONFIG_KEYS)['properties']), ...RULES_SCHEMAS },
};

export interface ConfigDocument {
  /** Only without faults. */
  readonly config: PublisherConfig | undefined;
  /** The first rejects. */
  readonly rejects: readonly DocumentReject[];
  readonly rejectCount: number;
}

/**
 * Reads a configuration. `fileName` appears in faults, and relative paths start at its folder. Never throws
 * on account of the bytes. An empty document is a configuration that says nothing.
 */
export function parseConfig(fileName: string, bytes: Uint8Array): ConfigDocument {
  const tree = parseTree(bytes, FORMAT_LIMITS);
  const rejects = new RejectLog<DocumentReject>(FORMAT_LIMITS.rejectsKept);
  const tell = (found: readonly Omit<DocumentReject, 'file'>[], count: number): void => {
    rejects.addAll(
      found.map((reject) => ({ file: fileName, ...reject })),
      count,
    );
  };
  tell(tree.rejects, tree.rejectCount);
  const reader = new ConfigReader(fileName, tree.place, rejects);
  const { root } = tree;
  if (root !== undefined && root.kind !== 'mapping') {
    const reason = 'a configuration is a mapping: write lists: and what else it needs';
    reader.fault(root.offset, ConfigFault.value, reason);
  } else if (root !== undefined) {
    const shape = checkShape(root, CHECKED_SCHEMA, FORMAT_LIMITS.rejectsKept);
    tell(
      shape.faults.map(({ offset, code, reason }) => ({ ...tree.place(offset), code, reason })),
      shape.count,
    );
  }
  const config = readConfig(root?.kind === 'mapping' ? root : undefined, reader);
  if (config.rules === posix.resolve(fileName)) {
    const offset = root?.kind === 'mapping' ? (root.entries.get('rules')?.keyOffset ?? 0) : 0;
    reader.fault(
      offset,
      ConfigFault.value,
      'rules: is this file: write a rule set document into another one',
    );
  }
  return {
    config: rejects.count === 0 ? config : undefined,
    rejects: rejects.kept.toSorted((a, b) => a.line - b.line || a.column - b.column),
    rejectCount: rejects.count,
  };
}

function readConfig(root: MappingNode | undefined, reader: ConfigReader): PublisherConfig {
  const values = readKeys(CONFIG_KEYS, root, reader);
  const own = readTables(values.tables, reader);
  const lists = readLists(values.lists, values.defaults, reader, own);
  return {
    ...filled(CONFIG_KEYS, values),
    curve: values.curve && filled(CURVE_KEYS, values.curve),
    subscribers: values.subscribers?.expected,
    bindings: values.subscribers?.bindings ?? [],
    depot: depotOf(values.depot),
    fleet: fleetOf(values.fleet),
    dns: filled(DNS_KEYS, values.dns ?? {}),
    neverBlock: filled(NEVER_BLOCK_KEYS, values.neverBlock ?? {}),
    limits: filled(LIMIT_KEYS, values.limits ?? {}),
    tables: withBuiltIn(own, lists),
    lists,
    saysLists: root?.entries.has('lists') === true,
    startTexts: startTexts(CONFIG_KEYS, root),
  };
}

function depotOf(values: Values<typeof DEPOT_KEYS> | undefined): DepotConfig | undefined {
  const { directory } = values ?? {};
  return directory === undefined ? undefined : { ...filled(DEPOT_KEYS, values ?? {}), directory };
}

function fleetOf(values: Values<typeof FLEET_KEYS> | undefined): FleetConfig | undefined {
  const { reports, secret } = values ?? {};
  if (reports === undefined || secret === undefined) return undefined;
  return { ...filled(FLEET_KEYS, values ?? {}), reports, secret };
}

function readName(text: string): ValueResult<string> {
  return isPartName(text) ? { kind: 'value', value: text } : fault(PART_NAME_ADVICE);
}

function placesOf(nodes: readonly TextNode[], _key: string, reader: ConfigReader): readonly ConfigText[] {
  return nodes.map((node) => reader.textOf(node));
}

function asItIs(node: MappingNode): MappingNode {
  return node;
}

function subscribersOf(
  node: MappingNode,
  reader: ConfigReader,
): { readonly expected: PublisherConfig['subscribers']; readonly bindings: readonly BindingConfig[] } {
  return { expected: readSubscribers(node, reader), bindings: readBindings(node, reader) };
}

function readMustReach(nodes: readonly TextNode[], key: string, reader: ConfigReader): readonly MustReach[] {
  const extra = nodes[MUST_REACH_MAX];
  if (extra !== undefined) reader.fault(extra.offset, ConfigFault.limit, `at most ${MUST_REACH_MAX} packets`);
  return nodes.flatMap(({ value: text, offset }) => {
    const isIngress = text.startsWith(INGRESS_WORD);
    const result = isIngress
      ? parsePacketText(text.slice(INGRESS_WORD.length), 'ingress')
      : parsePacketText(text);
    if (result.kind === 'packet') return [{ text, packet: result.packet }];
    const reason = `${key}: ${quote(text)}: ${result.reason}; [ingress] [SRC >] DST [PROTO[/PORT]], as for rulectl test`;
    reader.fault(offset, ConfigFault.value, reason);
    return [];
  });
}

function readServers(nodes: readonly TextNode[], _key: string, reader: ConfigReader): readonly string[] {
  for (const { value, offset } of nodes) {
    if (
      /^(?:\d+(?:\.\d+){3}(?::\d+)?|\[[0-9A-Fa-f:.]+\](?::\d+)?|[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*)$/.test(value)
    )
      continue;
    const reason = `${quote(value)} is no DNS server: write an address, and a port as 192.0.2.1:53 or [2001:db8::1]:53`;
    reader.fault(offset, ConfigFault.value, reason);
  }
  return nodes.map(({ value }) => value);
}

function readZones(nodes: readonly TextNode[], _key: string, reader: ConfigReader): readonly string[] {
  return nodes.flatMap(({ value, offset }) => {
    const name = parseHostName(value);
    if (name.kind === 'name') return [name.name];
    reader.fault(offset, name.fault, `${quote(value)} is no zone: write its name, such as corp.example`);
    return [];
  });
}

function readFixedNames(node: MappingNode, reader: ConfigReader): ReadonlyMap<string, PrefixSet> {
  const fixed = new Map<string, PrefixSet>();
  for (const [key, { keyOffset, value }] of node.entries) {
    const name = parseHostName(key);
    if (name.kind === 'name') fixed.set(name.name, reader.prefixes(textsOf(value)));
    else reader.fault(keyOffset, name.fault, `${quote(key)} is no host name`);
  }
  return fixed;
}

function readProxy(text: string): ValueResult<string> {
  const isUrl = URL.canParse(text) && /^https?:$/.test(new URL(text).protocol);
  if (isUrl || ['environment', 'none', 'qubes'].includes(text)) return { kind: 'value', value: text };
  return fault('write environment, none, qubes, or the http: URL of a proxy');
}

function readTables(node: MappingNode | undefined, reader: ConfigReader): ReadonlyMap<string, TableConfig> {
  const tables = new Map<string, TableConfig>();
  for (const [name, { keyOffset, value }] of node?.entries ?? []) {
    if (!isNamed(name, keyOffset, 'table', reader) || value.kind !== 'mapping') continue;
    const table = readTable(name, keyOffset, value, reader);
    if (table !== undefined) tables.set(name, table);
  }
  return tables;
}

/** The configured tables, and the built-in ones that lists use. */
function withBuiltIn(
  own: ReadonlyMap<string, TableConfig>,
  lists: ReadonlyMap<string, ListConfig>,
): ReadonlyMap<string, TableConfig> {
  const asked = new Set([...lists.values()].map(({ source }) => source.kind === 'table' && source.table));
  const builtIn = Object.entries(BUILT_IN_TABLES).filter(([name]) => asked.has(name));
  return new Map([...builtIn, ...own]);
}

function readLists(
  node: MappingNode | undefined,
  defaults: Values<typeof SHARED_KEYS> | undefined,
  reader: ConfigReader,
  tables: ReadonlyMap<string, TableConfig>,
): ReadonlyMap<string, ListConfig> {
  const lists = new Map<string, ListConfig>();
  const named = node === undefined ? undefined : withOperandLists(node, reader);
  for (const [name, { keyOffset, value }] of named?.entries ?? []) {
    const isOwn = node?.entries.has(name) === true;
    if ((isOwn && !isNamed(name, keyOffset, 'list', reader)) || value.kind !== 'mapping') continue;
    if (isOwn && name.startsWith(ROWS_PREFIX)) {
      const reason = `lists: names that begin with ${ROWS_PREFIX} are reserved for rulectl block and allow: use another name`;
      reader.fault(keyOffset, ConfigFault.name, reason);
    }
    if (lists.size === LISTS_MAX) {
      reader.fault(
        keyOffset,
        ConfigFault.limit,
        `at most ${LISTS_MAX} lists: join some, as several URLs of one list`,
      );
      break;
    }
    const list = readList(name, keyOffset, value, { reader, defaults: defaults ?? {}, tables, lists: named });
    if (list !== undefined) lists.set(name, list);
  }
  checkOperands(named, lists, reader);
  return lists;
}

function isNamed(name: string, keyOffset: number, what: string, reader: ConfigReader): boolean {
  if (isPartName(name)) return true;
  reader.fault(keyOffset, ConfigFault.name, partNameReason(name, what));
  return false;
}

/** Operands of expressions are lists of this configuration, and no list is made from itself. */
function checkOperands(
  node: MappingNode | undefined,
  lists: ReadonlyMap<string, ListConfig>,
  reader: ConfigReader,
): void {
  for (const [name, { keyOffset, value }] of node?.entries ?? []) {
    if (value.kind !== 'mapping') continue;
    for (const key of OPERAND_KEYS) {
      const entry = value.entries.get(key);
      for (const operand of entry === undefined ? [] : textsOf(entry.value)) {
        if (node?.entries.get(operand.value)?.value.kind === 'mapping') continue;
        const reason = `${key}: there is no list ${quote(operand.value)} in this configuration`;
        reader.fault(operand.offset, ConfigFault.unknownList, reason);
      }
    }
    const circle = circleFrom(name, lists);
    if (circle === undefined) continue;
    reader.fault(keyOffset, ConfigFault.cycle, `list ${name} is made from itself: ${circle.join(' ← ')}`);
  }
}

/** The cycle by which a list is made from itself, or undefined. */
function circleFrom(name: string, lists: ReadonlyMap<string, ListConfig>): readonly string[] | undefined {
  const seen = new Set<string>();
  const paths: (readonly string[])[] = [[name]];
  for (let path = paths.pop(); path !== undefined; path = paths.pop()) {
    for (const operand of operandsOf(lists.get(path.at(-1) ?? ''))) {
      if (operand === name) return [...path, name];
      if (seen.has(operand)) continue;
      seen.add(operand);
      paths.push([...path, operand]);
    }
  }
  return undefined;
}

/** The lists that a list is made from. */
export function operandsOf(list: ListConfig | undefined): readonly string[] {
  return list?.source.kind === 'expression' ? [...list.source.operands, ...list.source.minus] : [];
}
