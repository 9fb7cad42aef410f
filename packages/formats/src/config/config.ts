/**
 * The publisher's configuration: one YAML document that says where it listens, whom it serves, and which lists it keeps fresh from which
 * sources. Everything that is wrong is reported in one pass, each with its place and what to write instead; examples/publisher.yaml shows
 * every key.
 */

import { posix } from 'node:path';
import { isPartName, type Packet, type PrefixSet, parseHostName } from '@rulecast/rules';
import { parsePacketText } from '../document/packet.ts';
import { checkShape } from '../document/shape.ts';
import { type MappingNode, parseTree } from '../document/tree.ts';
import { quote } from '../text/bytes.ts';
import { FORMAT_LIMITS } from '../text/limits.ts';
import { type DocumentReject, RejectLog } from '../text/reject.ts';
import { type ListConfig, readDefaults, readList, readTable, type TableConfig } from './list.ts';
import { ConfigFault, ConfigNodeReader, type ConfigText } from './node.ts';
import { CONFIG_SCHEMA } from './schema.ts';
import { type BindingConfig, readBindings, readSubscribers, type SubscriberConfig } from './subscribers.ts';
import { fault, readCount, readDuration, readSize, type ValueResult } from './value.ts';

/** What the publisher is told by its configuration. A key that is not there leaves its option, or the default, in force. */
export interface PublisherConfig {
  readonly name: string | undefined;
  /** Absolute paths. */
  readonly state: string | undefined;
  readonly identity: string | undefined;
  /** Endpoint URLs; what they mean is checked by who opens them. */
  readonly listen: readonly ConfigText[] | undefined;
  readonly control: ConfigText | undefined;
  readonly curve: CurveConfig | undefined;
  /** The subscribers that are expected to apply what is released, by name; undefined: all that ever did. */
  readonly subscribers: ReadonlyMap<string, SubscriberConfig> | undefined;
  /** What names of subscribers are bound to. */
  readonly bindings: readonly BindingConfig[];
  /** Packets that no release may drop. */
  readonly mustReach: readonly MustReach[];
  readonly dnsServers: readonly string[] | undefined;
  /** How long accept rules keep the addresses of a name that does not resolve. */
  readonly nameAgeMs: number | undefined;
  /** Zones whose names may stand for private addresses. */
  readonly privateZones: readonly string[];
  /** Names that are answered without DNS. */
  readonly fixedNames: ReadonlyMap<string, PrefixSet>;
  /** `environment`, `none`, `qubes`, or the URL of a proxy for every download. */
  readonly proxy: string | undefined;
  readonly neverBlock: NeverBlockConfig;
  readonly limits: SourceLimits;
  readonly tables: ReadonlyMap<string, TableConfig>;
  readonly lists: ReadonlyMap<string, ListConfig>;
  /** Whether there is a key `lists:`, so that having none is meant; half a file may have lost it. */
  readonly saysLists: boolean;
}

export interface MustReach {
  /** As it was written. */
  readonly text: string;
  /** Without a sender: from every qube. */
  readonly packet: Packet;
}

/** Files of Z85 keys, absolute paths, for ZeroMQ endpoints. */
export interface CurveConfig {
  readonly secretFile: string;
  /** Public keys of the subscribers to admit. */
  readonly clientFiles: readonly string[];
  /** Likewise, of those who may use the control endpoint. */
  readonly controlClientFiles: readonly string[];
}

/** What fetched lists of purpose `block` must not hold. */
export interface NeverBlockConfig {
  readonly add: PrefixSet;
  /** Whether the built-in set (private, loopback, link-local, multicast, Qubes' DNS) counts too. */
  readonly defaults: boolean;
}

/** What sources may cost. */
export interface SourceLimits {
  /** Most entries of one list. */
  readonly entries: number;
  /** Most bytes of one file or download, and of all that comes out of an archive. */
  readonly bytes: number;
  /** Most members of one archive, and files of one directory. */
  readonly archiveMembers: number;
  /** Fetches under way at once. */
  readonly fetches: number;
}

/** Our choice. */
export const SOURCE_LIMITS: SourceLimits = {
  entries: 4 * 1024 * 1024, // four times the million that docs/design.md counts with
  bytes: 128 * 1024 * 1024, // the largest feed in use has 20 MB
  archiveMembers: 4096, // "thousands of files"
  fetches: 4, // a feed's server and a small qube's memory bear that
};
/** Fits the 1,024 parts of a release, with room for policies. */
export const LISTS_MAX = 960;
const FETCHES_MAX = 64;
const NAME_AGE_MIN_MS = 60_000; // less than the shortest times to live in use would drop names between two queries
const NAME_AGE_MAX_MS = 366 * 86_400_000;
/** Each is judged for every policy at each release. */
const MUST_REACH_MAX = 64;

export interface ConfigDocument {
  /** Only without faults. */
  readonly config: PublisherConfig | undefined;
  /** The first of them. */
  readonly rejects: readonly DocumentReject[];
  readonly rejectCount: number;
}

/**
 * Reads a configuration. `fileName` appears in faults, and relative paths start at its folder. Never throws on account of the
 * bytes. An empty document is a configuration that says nothing.
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
  const reader = new ConfigNodeReader(fileName, tree.place, rejects);
  const { root } = tree;
  if (root !== undefined && root.kind !== 'mapping') {
    const reason = 'a configuration is a mapping: write lists: and what else it needs';
    reader.fault(root.offset, ConfigFault.value, reason);
  } else if (root !== undefined) {
    const shape = checkShape(root, CONFIG_SCHEMA, FORMAT_LIMITS.rejectsKept);
    tell(
      shape.faults.map(({ offset, code, reason }) => ({ ...tree.place(offset), code, reason })),
      shape.count,
    );
  }
  const mapping = root?.kind === 'mapping' ? root : undefined;
  const config = readConfig(mapping, reader, posix.dirname(posix.resolve(fileName)));
  return {
    config: rejects.count === 0 ? config : undefined,
    rejects: rejects.kept.toSorted((a, b) => a.line - b.line || a.column - b.column),
    rejectCount: rejects.count,
  };
}

function readConfig(
  root: MappingNode | undefined,
  reader: ConfigNodeReader,
  directory: string,
): PublisherConfig {
  const pathOf = (key: string): string | undefined => {
    const node = reader.text(root, key);
    return node === undefined ? undefined : posix.resolve(directory, node.value);
  };
  const control = reader.text(root, 'control');
  const dns = reader.mapping(root, 'dns');
  const neverBlock = reader.mapping(root, 'never-block');
  const tables = readTables(root, reader, directory);
  return {
    name: reader.value(root, 'name', (text) => {
      if (isPartName(text)) return { kind: 'value', value: text };
      return { kind: 'fault', reason: 'write 1 to 63 of A-Z a-z 0-9 . _ -, the first a letter or digit' };
    }),
    state: pathOf('state'),
    identity: pathOf('identity'),
    listen: reader.texts(root, 'listen')?.map((node) => reader.textOf(node)),
    control: control === undefined ? undefined : reader.textOf(control),
    curve: readCurve(reader.mapping(root, 'curve'), reader, directory),
    subscribers: readSubscribers(root, reader),
    bindings: readBindings(root, reader, directory),
    mustReach: readMustReach(root, reader),
    dnsServers: readServers(dns, reader),
    nameAgeMs: reader.value(dns, 'max-age', (text) => readDuration(text, NAME_AGE_MIN_MS, NAME_AGE_MAX_MS)),
    privateZones: readZones(dns, reader),
    fixedNames: readFixedNames(reader.mapping(dns, 'fixed'), reader),
    proxy: reader.value(root, 'proxy', readProxy),
    neverBlock: {
      add: reader.prefixes(reader.texts(neverBlock, 'add') ?? []),
      defaults: reader.flag(neverBlock, 'defaults') ?? true,
    },
    limits: readLimits(reader.mapping(root, 'limits'), reader),
    tables,
    lists: readLists(root, reader, directory, tables),
    saysLists: root?.entries.has('lists') === true,
  };
}

function readCurve(
  node: MappingNode | undefined,
  reader: ConfigNodeReader,
  directory: string,
): CurveConfig | undefined {
  const secret = reader.text(node, 'secret');
  if (secret === undefined) return undefined;
  const filesOf = (key: string): readonly string[] =>
    (reader.texts(node, key) ?? []).map(({ value }) => posix.resolve(directory, value));
  return {
    secretFile: posix.resolve(directory, secret.value),
    clientFiles: filesOf('clients'),
    controlClientFiles: filesOf('control-clients'),
  };
}

const INGRESS_WORD = 'ingress ';

function readMustReach(root: MappingNode | undefined, reader: ConfigNodeReader): readonly MustReach[] {
  const nodes = reader.texts(root, 'must-reach') ?? [];
  const extra = nodes[MUST_REACH_MAX];
  if (extra !== undefined) reader.fault(extra.offset, ConfigFault.limit, `at most ${MUST_REACH_MAX} packets`);
  const read = nodes.map((node) =>
    reader.valueOf(node, 'must-reach', (text): ValueResult<MustReach> => {
      const isIngress = text.startsWith(INGRESS_WORD);
      const result = isIngress
        ? parsePacketText(text.slice(INGRESS_WORD.length), 'ingress')
        : parsePacketText(text);
      if (result.kind === 'packet') return { kind: 'value', value: { text, packet: result.packet } };
      return fault(`${result.reason}; [ingress] [SRC >] DST [PROTO[/PORT]], as for rulectl test`);
    }),
  );
  return read.filter((packet) => packet !== undefined);
}

function readServers(dns: MappingNode | undefined, reader: ConfigNodeReader): readonly string[] | undefined {
  const nodes = reader.texts(dns, 'servers');
  for (const { value, offset } of nodes ?? []) {
    if (
      /^(?:\d+(?:\.\d+){3}(?::\d+)?|\[[0-9A-Fa-f:.]+\](?::\d+)?|[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*)$/.test(value)
    )
      continue;
    const reason = `${quote(value)} is no DNS server: write an address, and a port as 192.0.2.1:53 or [2001:db8::1]:53`;
    reader.fault(offset, ConfigFault.value, reason);
  }
  return nodes?.map(({ value }) => value);
}

function readZones(dns: MappingNode | undefined, reader: ConfigNodeReader): readonly string[] {
  const zones: string[] = [];
  for (const { value, offset } of reader.texts(dns, 'private-zones') ?? []) {
    const name = parseHostName(value);
    if (name.kind === 'name') zones.push(name.name);
    else reader.fault(offset, name.fault, `${quote(value)} is no zone: write its name, such as corp.example`);
  }
  return zones;
}

function readFixedNames(
  node: MappingNode | undefined,
  reader: ConfigNodeReader,
): ReadonlyMap<string, PrefixSet> {
  const fixed = new Map<string, PrefixSet>();
  for (const [key, { keyOffset }] of reader.entries(node)) {
    const name = parseHostName(key);
    if (name.kind === 'name') fixed.set(name.name, reader.prefixes(reader.texts(node, key) ?? []));
    else reader.fault(keyOffset, name.fault, `${quote(key)} is no host name`);
  }
  return fixed;
}

function readProxy(text: string): ValueResult<string> {
  const isUrl = URL.canParse(text) && /^https?:$/.test(new URL(text).protocol);
  if (isUrl || ['environment', 'none', 'qubes'].includes(text)) return { kind: 'value', value: text };
  return fault('write environment, none, qubes, or the http: URL of a proxy');
}

function readLimits(node: MappingNode | undefined, reader: ConfigNodeReader): SourceLimits {
  const count = (key: string, most: number): number | undefined =>
    reader.value(node, key, (text) => readCount(text, 1, most));
  return {
    entries: count('entries', FORMAT_LIMITS.entries) ?? SOURCE_LIMITS.entries,
    bytes:
      reader.value(node, 'bytes', (text) => readSize(text, FORMAT_LIMITS.inputBytes)) ?? SOURCE_LIMITS.bytes,
    archiveMembers: count('archive-members', 1_000_000) ?? SOURCE_LIMITS.archiveMembers,
    fetches: count('fetches', FETCHES_MAX) ?? SOURCE_LIMITS.fetches,
  };
}

function readTables(
  root: MappingNode | undefined,
  reader: ConfigNodeReader,
  directory: string,
): ReadonlyMap<string, TableConfig> {
  const tables = new Map<string, TableConfig>();
  for (const [name, { keyOffset, value }] of reader.entries(reader.mapping(root, 'tables'))) {
    if (!isNamed(name, keyOffset, 'table', reader) || value.kind !== 'mapping') continue;
    const table = readTable(name, keyOffset, value, reader, directory);
    if (table !== undefined) tables.set(name, table);
  }
  return tables;
}

function readLists(
  root: MappingNode | undefined,
  reader: ConfigNodeReader,
  directory: string,
  tables: ReadonlyMap<string, TableConfig>,
): ReadonlyMap<string, ListConfig> {
  const lists = new Map<string, ListConfig>();
  const node = reader.mapping(root, 'lists');
  const defaults = readDefaults(reader.mapping(root, 'defaults'), reader);
  for (const [name, { keyOffset, value }] of reader.entries(node)) {
    if (!isNamed(name, keyOffset, 'list', reader) || value.kind !== 'mapping') continue;
    if (lists.size === LISTS_MAX) {
      reader.fault(keyOffset, ConfigFault.limit, `at most ${LISTS_MAX} lists: a release has 1,024 parts`);
      break;
    }
    const list = readList(name, keyOffset, value, { reader, directory, defaults, tables });
    if (list !== undefined) lists.set(name, list);
  }
  checkOperands(node, lists, reader);
  return lists;
}

function isNamed(name: string, keyOffset: number, what: string, reader: ConfigNodeReader): boolean {
  if (isPartName(name)) return true;
  const reason = `${quote(name)} cannot name a ${what}: write 1 to 63 of A-Z a-z 0-9 . _ -, the first a letter or digit`;
  reader.fault(keyOffset, ConfigFault.name, reason);
  return false;
}

/** Operands of expressions are lists of this configuration, and no list is made from itself. */
function checkOperands(
  node: MappingNode | undefined,
  lists: ReadonlyMap<string, ListConfig>,
  reader: ConfigNodeReader,
): void {
  for (const [name, { keyOffset, value }] of reader.entries(node)) {
    if (value.kind !== 'mapping') continue;
    for (const key of ['union', 'intersect', 'minus']) {
      for (const operand of reader.texts(value, key) ?? []) {
        if (reader.mapping(node, operand.value) !== undefined) continue;
        const reason = `${key}: there is no list ${quote(operand.value)} in this configuration`;
        reader.fault(operand.offset, ConfigFault.unknownList, reason);
      }
    }
    const circle = circleFrom(name, lists);
    if (circle === undefined) continue;
    reader.fault(keyOffset, ConfigFault.cycle, `list ${name} is made from itself: ${circle.join(' ← ')}`);
  }
}

/** How a list comes to be made from itself, or undefined. */
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
