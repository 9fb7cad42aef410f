/** The daemon's settings: the command line over the configuration file over the defaults. */

import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { BindingConfig, ConfigText, FleetConfig, MustReach, PublisherConfig } from '@rulecast/formats';
import { bitsOf, type PrefixSet, parseAddress, parseHostName, prefixOf, prefixSetOf } from '@rulecast/rules';
import { type Binding, Bindings, type OwnSocket } from '@rulecast/sessions';
import {
  type CurveServerKeys,
  curvePeerKeys,
  type Endpoint,
  EndpointError,
  formatEndpoint,
  GROUP_FILE,
  groupId,
  isCurveKey,
  parseEndpoint,
  readCurveKeyPair,
  type UnixEndpoint,
} from '@rulecast/vchan';
import { Operators } from '../admission/operators.ts';
import { dnsResolver } from '../names/resolve.ts';

/** The options of the command line; undefined if absent. */
export interface Flags {
  readonly state: string | undefined;
  readonly listen: readonly string[] | undefined;
  readonly control: readonly string[] | undefined;
  /** The socket of the process that has the signing keys. */
  readonly signer: string | undefined;
  readonly name: string | undefined;
  readonly dnsServer: readonly string[] | undefined;
  /** Zones whose names may resolve to private addresses. */
  readonly privateZone: readonly string[];
  /** NAME=ADDRESS[,ADDRESS] each. */
  readonly resolve: readonly string[];
  /** The file of the secret key that ZeroMQ listeners prove to have. */
  readonly curveKey: string | undefined;
  /** Public keys, or files of them, of the subscribers to admit. */
  readonly curvePeer: readonly string[] | undefined;
  /** Likewise for the keys that may push. */
  readonly curveControlPeer: readonly string[] | undefined;
}

export interface Settings {
  readonly stateDirectory: string;
  readonly identityFile: string;
  readonly name: string;
  readonly listen: readonly Endpoint[];
  /** As they were written, for the log. */
  readonly listenTexts: readonly string[];
  readonly control: readonly Endpoint[];
  readonly controlTexts: readonly string[];
  readonly curve: CurveServerKeys | undefined;
  /** The transport identities that names of subscribers are bound to. */
  readonly bindings: Bindings;
  /** The process that has the signing keys: to start, or where it listens. */
  readonly signer: Endpoint;
  /** The operators of the control endpoints beside their owner. */
  readonly operators: Operators;
  /** Keys of the control endpoints: a key that may subscribe may not therefore push. */
  readonly controlCurve: CurveServerKeys | undefined;
  readonly dnsServers: readonly string[] | undefined;
  readonly privateZones: readonly string[];
  readonly fixedNames: ReadonlyMap<string, PrefixSet>;
  /** As in PublisherOptions. */
  readonly nameAgeMs: number | undefined;
  readonly mustReach: readonly MustReach[];
  /** As in StoreOptions. */
  readonly historyAgeMs: number | undefined;
  /** The listener for reports, and the tokens of reporting names. */
  readonly fleet: FleetSettings | undefined;
  /** Addresses that subscribers reach this publisher by: no fetched list may block them. */
  readonly peers: PrefixSet;
}

export interface FleetSettings extends Omit<FleetConfig, 'reports'> {
  readonly reports: UnixEndpoint;
}

/** A setting that cannot be used; the message names it and says what to write. */
export class SettingsError extends Error {
  readonly code = 'settings';
}

export interface Defaults {
  /** Directory of the identity and the store. */
  readonly state: string;
  readonly subscribers: string;
  readonly control: string;
}

const NAME = 'publisher';
const SIGNER = new URL('../../dist/signer-main.js', import.meta.url);

/** Throws SettingsError. */
export function settingsOf(
  flags: Flags,
  config: PublisherConfig | undefined,
  configFile: string | undefined,
  defaults: Defaults,
): Settings {
  const stateDirectory = flags.state ?? config?.state ?? defaults.state;
  const written = [config?.listen ?? [], config?.control ?? [], config?.signer ?? []].flat();
  const listenTexts = flags.listen ?? valuesOf(config?.listen) ?? [defaults.subscribers];
  const controlTexts = flags.control ?? valuesOf(config?.control) ?? [defaults.control];
  const placeOf = (text: string): string => {
    const found = written.find(({ value }) => value === text);
    return found === undefined || configFile === undefined
      ? ''
      : `${configFile}:${found.line}:${found.column}: `;
  };
  const endpointOf = (text: string): Endpoint => {
    try {
      return parseEndpoint(text);
    } catch (cause) {
      if (!(cause instanceof EndpointError)) throw cause;
      throw new SettingsError(`${placeOf(text)}${cause.message}`, { cause });
    }
  };
  const listen = listenTexts.map(endpointOf);
  const control = controlTexts.map(endpointOf);
  const places = {
    configFile: configFile ?? '',
    listen,
    control,
    hasSecret: (flags.curveKey ?? config?.curve?.secret) !== undefined,
  };
  const [bindings = [], operators = []] = [config?.bindings, config?.operators];
  checkSockets([...bindings, ...operators], places);
  const identityFile = config?.identity ?? join(stateDirectory, 'identity');
  const signer = flags.signer ?? config?.signer?.value;
  return {
    stateDirectory,
    identityFile,
    signer: signer === undefined ? ownSigner(identityFile) : endpointOf(signer),
    name: flags.name ?? config?.name ?? NAME,
    listen,
    listenTexts,
    control,
    controlTexts,
    ...curvesOf(flags, config),
    bindings: new Bindings(bindings.map((one) => bindingOf(one, 'listen', places))),
    operators: new Operators(
      operators.map((one) => ({ ...bindingOf(one, 'control', places), role: one.role })),
    ),
    dnsServers: flags.dnsServer?.map(checkedServer) ?? config?.dns.servers,
    privateZones: [...(config?.dns.privateZones ?? []), ...flags.privateZone.map(checkedZone)],
    fixedNames: new Map([...(config?.dns.fixed ?? []), ...fixedNames(flags.resolve)]),
    nameAgeMs: config?.dns.maxAgeMs,
    mustReach: config?.mustReach ?? [],
    historyAgeMs: config?.historyMs,
    fleet: config?.fleet && fleetIn(config.fleet, configFile ?? ''),
    peers: peersOf(listen),
  };
}

/** Only a Unix socket, which the file system closes to all but the web server. */
function fleetIn(fleet: FleetConfig, configFile: string): FleetSettings {
  const { reports } = fleet;
  try {
    const endpoint = parseEndpoint(reports.value);
    if (endpoint.kind === 'unix') return { ...fleet, reports: endpoint };
  } catch (cause) {
    if (!(cause instanceof EndpointError)) throw cause;
    refuse(configFile, reports, cause.message);
  }
  return refuse(configFile, reports, 'reports: write unix:PATH, where a web server passes them on');
}

/** The process of this program that signs. */
function ownSigner(identityFile: string): Endpoint {
  return { kind: 'exec', command: process.execPath, args: [fileURLToPath(SIGNER), identityFile] };
}

/** Undefined if there are none. */
function valuesOf(said: readonly ConfigText[] = []): readonly string[] | undefined {
  return said.length === 0 ? undefined : said.map(({ value }) => value);
}

function peersOf(listen: readonly Endpoint[]): PrefixSet {
  const addresses = listen.flatMap((endpoint) => {
    const address = endpoint.kind === 'zmq+tcp' ? parseAddress(endpoint.address) : undefined;
    // The unspecified address means all of this host's, which are not known here.
    return address === undefined || address.words.every((word) => word === 0) ? [] : [address];
  });
  return prefixSetOf(addresses.map(({ family, words }) => prefixOf(family, words, bitsOf(family))));
}

/**
 * The keys of both kinds of endpoint, the command line going before the configuration. Throws EndpointError.
 */
function curvesOf(
  flags: Flags,
  config: PublisherConfig | undefined,
): Pick<Settings, 'curve' | 'controlCurve'> {
  const secretFile = flags.curveKey ?? config?.curve?.secret;
  const peers = flags.curvePeer ?? config?.curve?.clients ?? [];
  const keysOf = (bound: readonly BindingConfig[] = []): readonly string[] =>
    bound.flatMap(({ curveKey }) => curveKey?.value ?? []);
  const controlPeers = flags.curveControlPeer ?? config?.curve?.controlClients ?? [];
  if (secretFile === undefined) {
    const option = peers.length > 0 ? '--curve-peer' : '--curve-control-peer';
    if (peers.length + controlPeers.length > 0) {
      throw new SettingsError(`${option} goes with --curve-key FILE, the secret key of this end`);
    }
    return { curve: undefined, controlCurve: undefined };
  }
  const { secretKey } = readCurveKeyPair(secretFile);
  const keysFor = (files: readonly string[], bound: readonly string[]): CurveServerKeys | undefined => {
    const clientKeys = [...new Set([...files.flatMap(curvePeerKeys), ...bound])];
    return clientKeys.length === 0 ? undefined : { secretKey, clientKeys };
  };
  return {
    curve: keysFor(peers, keysOf(config?.bindings)),
    controlCurve: keysFor(controlPeers, keysOf(config?.operators)),
  };
}

interface Places {
  readonly configFile: string;
  readonly listen: readonly Endpoint[];
  readonly control: readonly Endpoint[];
  /** Whether there is a key for ZeroMQ endpoints. */
  readonly hasSecret: boolean;
}

function refuse(configFile: string, { line, column }: ConfigText, reason: string): never {
  throw new SettingsError(`${configFile}:${line}:${column}: ${reason}`);
}

/** Checks that an operator's or subscriber's own socket is no shared endpoint, and has one owner. */
function checkSockets(bound: readonly BindingConfig[], { configFile, listen, control }: Places): void {
  const owners = new Map(
    [...listen, ...control].flatMap((endpoint) =>
      'path' in endpoint ? [[endpoint.path, 'an endpoint for all already']] : [],
    ),
  );
  for (const { name, socket } of bound) {
    if (socket === undefined) continue;
    const { path } = socket;
    const owner = owners.get(path.value);
    if (owner !== undefined) refuse(configFile, path, `socket: ${path.value} is ${owner}: name another`);
    owners.set(path.value, `bound to ${name} already`);
  }
}

/** One configured binding, which must be reachable by an endpoint of its kind; each fault with its place. */
function bindingOf(configured: BindingConfig, endpoints: 'listen' | 'control', places: Places): Binding {
  const { configFile, hasSecret } = places;
  const listens = (...kinds: readonly string[]): boolean =>
    places[endpoints].some(({ kind }) => kinds.includes(kind));
  const socketOf = ({ path, mode, group }: NonNullable<BindingConfig['socket']>): OwnSocket => {
    try {
      parseEndpoint(formatEndpoint({ kind: 'unix', path: path.value }));
    } catch (cause) {
      if (!(cause instanceof EndpointError)) throw cause;
      refuse(configFile, path, cause.message);
    }
    const gid = group === undefined ? undefined : groupId(group.value);
    if (group !== undefined && gid === undefined) {
      refuse(configFile, group, `group: there is no group ${group.value} in ${GROUP_FILE}`);
    }
    return { path: path.value, mode, group: gid };
  };
  const { name, curveKey, qube, socket } = configured;
  if (curveKey !== undefined && !isCurveKey(curveKey.value)) {
    const text = 'curve-key: this is no key: write what rulectl keys new FILE prints, in quotes';
    refuse(configFile, curveKey, text);
  }
  if (curveKey !== undefined && !(hasSecret && listens('zmq+tcp', 'zmq+ipc'))) {
    const text = `curve-key: goes with curve: { secret: FILE } and a zmq endpoint in ${endpoints}:`;
    refuse(configFile, curveKey, text);
  }
  if (qube !== undefined && !listens('qrexec', 'stdio')) {
    const text = `qube: goes with qrexec:PATH, where qrexec connects to, in ${endpoints}:`;
    refuse(configFile, qube, text);
  }
  return {
    name,
    curveKey: curveKey?.value,
    qube: qube?.value,
    socket: socket === undefined ? undefined : socketOf(socket),
  };
}

/** Throws SettingsError for an invalid address of a server. */
function checkedServer(server: string): string {
  try {
    dnsResolver([server]);
    return server;
  } catch (cause) {
    const text = `--dns-server ${server}: write an address, with a port if need be, as in 192.0.2.1, 192.0.2.1:53 or [2001:db8::1]:53`;
    throw new SettingsError(text, { cause });
  }
}

function checkedZone(text: string): string {
  const parsed = parseHostName(text);
  if (parsed.kind === 'name') return parsed.name;
  throw new SettingsError(`--private-zone ${text}: write the name of a zone, such as corp.example`);
}

function fixedNames(options: readonly string[]): ReadonlyMap<string, PrefixSet> {
  const fixed = new Map<string, PrefixSet>();
  for (const option of options) {
    const [nameText = '', addresses = ''] = option.split('=', 2);
    const parsed = parseHostName(nameText);
    if (parsed.kind === 'fault')
      throw new SettingsError(`--resolve ${option}: "${nameText}" is no host name`);
    const prefixes = addresses.split(',').map((text) => {
      const address = parseAddress(text);
      if (address === undefined) throw new SettingsError(`--resolve ${option}: "${text}" is no address`);
      return prefixOf(address.family, address.words, bitsOf(address.family));
    });
    fixed.set(parsed.name, prefixSetOf(prefixes));
  }
  return fixed;
}
