/**
 * The applier's own check of requests: the form of names, ranges of numbers, sizes of columns, and that
 * references exist. A request that passes can change our tables and nothing else, whoever sent it.
 */

import type { Family } from '@rulecast/rules';
import { bitsOf, readNames } from '@rulecast/rules/columns';
import {
  CAPTURED_MAX,
  ELEMENTS_MAX,
  FLOW_MARK_MAX,
  LOG_GROUP_MAX,
  NAME_QUBE_NETWORKS_MAX,
  NAMES_LEFT_MAX_BYTES,
  NO_FLOW_MARK,
  RULES_MAX,
} from '../limits.ts';
import type { Change, ColumnInBody, Elements, LeftInBody, NameSet, Tag, Verdicts } from '../plan/change.ts';
import { parseNameSetName } from '../plan/name-set.ts';
import {
  isCounterName,
  type PlanRemote,
  parseChainName,
  parseClassMapName,
  parseMapName,
  parseSetName,
  type Step,
} from '../plan/plan.ts';
import type { Request } from './message.ts';

/** The form of a list's name: `nft` prints it between quotes, unescaped. */
const LIST_NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$/;

/** A request is invalid; none of it was executed. */
export class RequestError extends Error {}

type Fields = Readonly<Record<string, unknown>>;

/** A request, checked wholly. Throws RequestError. */
export function checkRequest(value: unknown, body: Uint8Array): Request {
  const fields = record(value, 'the request');
  switch (fields['kind']) {
    case 'apply':
    case 'stage':
      return { kind: fields['kind'], change: checkChange(fields['change'], body) };
    case 'release':
      return { kind: 'release', tag: tag(fields['tag']) };
    case 'look':
      return {
        kind: 'look',
        sets: list(fields['sets'], RULES_MAX, 'sets').map((each) => named(each, isSetName, 'set')),
        maps: list(fields['maps'], RULES_MAX, 'maps').map((each) => named(each, isMapName, 'map')),
        probes: list(fields['probes'], RULES_MAX, 'probes').map((each) => checkElements(each, body).elements),
        classProbes: list(fields['classProbes'], RULES_MAX, 'classProbes').map((each) =>
          checkVerdicts(each, body),
        ),
      };
    case 'names':
      return { kind: 'names', nameSets: checkNameSets(fields['nameSets'], undefined) };
    case 'told': {
      const qube = fields['qube'];
      const digits = typeof qube === 'string' && qube.length === 32 ? 32 : 8;
      return { kind: 'told', qube: hex(qube, digits), address: hex(fields['address'], digits) };
    }
    case 'capture': {
      const resolvers = fields['resolvers'];
      if (resolvers === null) return { kind: 'capture', resolvers };
      return {
        kind: 'capture',
        resolvers: list(resolvers, CAPTURED_MAX, 'resolvers').map((each) =>
          hex(each, typeof each === 'string' && each.length === 32 ? 32 : 8),
        ),
      };
    }
    case 'clear-marks':
      return { kind: 'clear-marks', kept: list(fields['kept'], FLOW_MARK_MAX, 'kept').map(mark) };
    case 'counters':
    case 'discard':
      return { kind: fields['kind'] };
    default:
      throw new RequestError('no request of that kind');
  }
}

function checkChange(value: unknown, body: Uint8Array): Change {
  const fields = record(value, 'the change');
  const names = (key: string, isName: (name: string) => boolean): readonly string[] =>
    list(fields[key], RULES_MAX, key).map((name) => named(name, isName, key));
  let load = 0;
  const count = (more: number): void => {
    load += more;
    if (load > ELEMENTS_MAX)
      throw new RequestError(`more elements than one transaction can hold: at most ${ELEMENTS_MAX}`);
  };
  const elements = (key: string): readonly Elements[] =>
    list(fields[key], RULES_MAX, key).map((each) => {
      const { load: own, elements: checked } = checkElements(each, body);
      count(own);
      return checked;
    });
  const change: Change = {
    base: fields['base'] === 'fresh' ? 'fresh' : tag(fields['base']),
    tag: tag(fields['tag']),
    downstreamGroup: integer(fields['downstreamGroup'], 0, 0xffffffff, 'downstreamGroup'),
    answer: oneOf(fields['answer'], ['reject', 'silent'] as const, 'answer'),
    ...(fields['logGroup'] !== undefined && {
      logGroup: integer(fields['logGroup'], 1, LOG_GROUP_MAX, 'logGroup'),
    }),
    newCounters: names('newCounters', isCounterName),
    newSets: names('newSets', isAnySetName),
    newMaps: names('newMaps', isMapName),
    newChains: names('newChains', isChainName),
    chains: list(fields['chains'], RULES_MAX, 'chains').map(chain),
    removed: elements('removed'),
    added: elements('added'),
    verdicts: list(fields['verdicts'], RULES_MAX, 'verdicts').map((each) => {
      const checked = checkVerdicts(each, body);
      count(checked.count);
      return checked;
    }),
    keys: list(fields['keys'], ELEMENTS_MAX, 'keys').map(mapKey),
    ...(fields['nameSets'] !== undefined && { nameSets: checkNameSets(fields['nameSets'], body) }),
    oldMaps: names('oldMaps', isMapName),
    oldChains: names('oldChains', isChainName),
    oldSets: names('oldSets', isAnySetName),
    oldCounters: names('oldCounters', isCounterName),
  };
  let rules = 0;
  for (const { steps } of change.chains) rules += steps.length;
  if (rules > RULES_MAX * 64) throw new RequestError(`${rules} rules are too many`);
  return change;
}

function checkElements(
  value: unknown,
  body: Uint8Array,
): { readonly elements: Elements; readonly load: number } {
  const fields = record(value, 'elements');
  const set = named(fields['set'], isSetName, 'set');
  const at = integer(fields['at'], 0, body.length, 'at');
  const count = integer(fields['count'], 1, ELEMENTS_MAX, 'count');
  const above = integer(fields['above'], -1, 127, 'above');
  const name = parseSetName(set);
  const stride = name?.family === 6 ? 4 : 1;
  const lengthsAt = at + count * stride * 4;
  if (at % 4 !== 0 || lengthsAt + count > body.length)
    throw new RequestError(`elements of ${set} lie outside the body`);
  const view = new DataView(body.buffer, body.byteOffset, body.byteLength);
  const tier = name?.tier?.length;
  let load = 0;
  for (let i = 0; i < count; i++) {
    const length = body[lengthsAt + i]!; // the body holds `count` lengths
    if (length > stride * 32 || hasHostBits(view, at + i * stride * 4, stride, length)) {
      throw new RequestError(`element ${i} of ${set} is no network of its length`);
    }
    if (tier === undefined) load++;
    else if (length > above && length <= tier) load += 2 ** (tier - length);
  }
  if (load === 0) throw new RequestError(`no element for ${set}`);
  return { elements: { set, at, count, above }, load };
}

function checkVerdicts(value: unknown, body: Uint8Array): Verdicts {
  const fields = record(value, 'verdicts');
  const map = named(fields['map'], (name) => parseClassMapName(name) !== undefined, 'class map');
  const at = integer(fields['at'], 0, body.length, 'at');
  const count = integer(fields['count'], 1, ELEMENTS_MAX, 'count');
  const chains = list(fields['chains'], RULES_MAX, 'chains').map((each) => named(each, isChainName, 'chain'));
  const { family = 4, tier } = parseClassMapName(map) ?? {};
  const stride = family === 4 ? 1 : 4;
  const verdictsAt = at + count * stride * 4;
  if (at % 4 !== 0 || verdictsAt + count * 4 > body.length)
    throw new RequestError(`elements of ${map} lie outside the body`);
  const view = new DataView(body.buffer, body.byteOffset, body.byteLength);
  for (let i = 0; i < count; i++) {
    if (hasHostBits(view, at + i * stride * 4, stride, tier?.length ?? 0))
      throw new RequestError(`element ${i} of ${map} is no network of its length`);
    if (view.getUint32(verdictsAt + i * 4, true) >= chains.length)
      throw new RequestError(`element ${i} of ${map} has no chain`);
  }
  return { map, at, count, chains };
}

/** One set a list and family, not too many qubes in all, and names where there is a body. */
function checkNameSets(value: unknown, body: Uint8Array | undefined): readonly NameSet[] {
  const column = body && columnsIn(body);
  const seen = new Set<string>();
  let networks = 0;
  return list(value, RULES_MAX, 'nameSets').map((each) => {
    const fields = record(each, 'a name set');
    const set = named(fields['set'], isNameSetName, 'name set');
    const ofList = named(fields['list'], isListName, 'list');
    const { key = '', family = 4 } = parseNameSetName(set) ?? {};
    if (seen.size === seen.add(`${key}_${family}`).size) throw new RequestError(`${set} is not the only one`);
    const qubes = list(fields['qubes'], NAME_QUBE_NETWORKS_MAX, 'qubes').map((one) => network(one, family));
    networks += qubes.length;
    if (networks > NAME_QUBE_NETWORKS_MAX) throw new RequestError('too many networks of qubes');
    const pairs = list(fields['pairs'], NAME_QUBE_NETWORKS_MAX - networks, 'pairs').map((one) => {
      const [four, six] = list(one, 2, 'addresses of a qube');
      return [hex(four, 8), hex(six, 32)] as const;
    });
    networks += pairs.length;
    const isPrivate = flag(fields['isPrivate'], 'isPrivate');
    const checked = { set, list: ofList, isPrivate, qubes, pairs };
    if (column === undefined || fields['left'] === undefined) return checked;
    return { ...checked, left: checkLeft(fields['left'], column) };
  });
}

function checkLeft(value: unknown, column: (value: unknown) => ColumnInBody): LeftInBody {
  const fields = record(value, 'what is left') as Partial<Record<keyof LeftInBody, unknown>>;
  return {
    from: fields.from === null ? null : hex(fields.from, 16),
    isOfGone: flag(fields.isOfGone, 'isOfGone'),
    names: column(fields.names),
    exceptions: column(fields.exceptions),
  };
}

/** Reads columns of names in a body, each once: a list has two sets. */
function columnsIn(body: Uint8Array): (value: unknown) => ColumnInBody {
  const read = new Set<string>();
  let bytes = 0;
  return (value) => {
    const fields = record(value, 'a column of names');
    const at = integer(fields['at'], 0, body.length, 'at');
    const byteCount = integer(fields['byteCount'], 0, body.length - at, 'byteCount');
    if (read.size === read.add(`${at} ${byteCount}`).size) return { at, byteCount };
    bytes += byteCount;
    if (bytes > NAMES_LEFT_MAX_BYTES) throw new RequestError('too many names that are left of lists');
    if ('reason' in readNames(body.subarray(at, at + byteCount)))
      throw new RequestError('no column of names');
    return { at, byteCount };
  };
}

function network(value: unknown, family: Family): NameSet['qubes'][number] {
  const fields = record(value, 'a network');
  const address = hex(fields['address'], family === 4 ? 8 : 32);
  return { address, length: integer(fields['length'], 0, bitsOf(family), 'length') };
}

function hasHostBits(view: DataView, at: number, stride: number, length: number): boolean {
  for (let w = length >> 5; w < stride; w++) {
    const keep = Math.max(0, length - w * 32);
    const host = keep === 0 ? 0xffffffff : 0xffffffff >>> keep;
    if ((view.getUint32(at + w * 4, true) & host) !== 0) return true;
  }
  return false;
}

function chain(value: unknown): Change['chains'][number] {
  const fields = record(value, 'a chain');
  const name = named(fields['name'], isChainName, 'chain');
  const hexDigits = parseChainName(name)?.family === 6 ? 32 : 8;
  return { name, steps: list(fields['steps'], RULES_MAX * 64, 'steps').map((each) => step(each, hexDigits)) };
}

function step(value: unknown, hexDigits: number): Step {
  const fields = record(value, 'a step');
  switch (fields['kind']) {
    case 'rule':
      return {
        kind: 'rule',
        remote: remote(fields['remote'], hexDigits),
        original: fields['original'] === true,
        protocols: protocols(fields['protocols']),
        ports: fields['ports'] === undefined ? undefined : ports(fields['ports']),
        icmpType:
          fields['icmpType'] === undefined ? undefined : integer(fields['icmpType'], 0, 255, 'icmpType'),
        action: oneOf(fields['action'], ['accept', 'drop'] as const, 'action'),
        counter: named(fields['counter'], isCounterName, 'counter'),
      };
    case 'pass':
      return { kind: 'pass' };
    case 'dispatch':
      return {
        kind: 'dispatch',
        map: named(fields['map'], (name) => parseMapName(name) !== undefined, 'map'),
      };
    case 'classify': {
      const isClassMap = (name: string): boolean => parseClassMapName(name) !== undefined;
      return { kind: 'classify', map: named(fields['map'], isClassMap, 'map') };
    }
    case 'goto':
    case 'jump':
      return { kind: fields['kind'], chain: named(fields['chain'], isChainName, 'chain') };
    default:
      throw new RequestError('no step of that kind');
  }
}

function remote(value: unknown, hexDigits: number): PlanRemote {
  const fields = record(value, 'remote');
  switch (fields['kind']) {
    case 'any':
      return { kind: 'any' };
    case 'prefix':
      return {
        kind: 'prefix',
        address: hex(fields['address'], hexDigits),
        length: integer(fields['length'], 0, hexDigits * 4, 'length'),
      };
    case 'told':
      return { kind: 'told', set: named(fields['set'], (name) => isNameSetOf(name, hexDigits), 'name set') };
    case 'set':
      return {
        kind: 'set',
        set: named(fields['set'], isSetName, 'set'),
        except: list(fields['except'], 128, 'except').map((each) => named(each, isSetName, 'except')),
      };
    default:
      throw new RequestError('no remote of that kind');
  }
}

/** None, one, or both of the protocols with ports. */
function protocols(value: unknown): readonly number[] {
  const numbers = list(value, 2, 'protocols').map((each) => integer(each, 0, 255, 'protocol'));
  if (numbers.length === 2 && numbers.join() !== '6,17') throw new RequestError('protocols');
  return numbers;
}

function ports(value: unknown): readonly [number, number] {
  const [first, last] = list(value, 2, 'ports').map((each) => integer(each, 0, 65_535, 'port'));
  if (first === undefined || last === undefined || first > last) throw new RequestError('ports');
  return [first, last];
}

function mapKey(value: unknown): Change['keys'][number] {
  const fields = record(value, 'a key');
  const map = named(fields['map'], (name) => parseMapName(name) !== undefined, 'map');
  const chain = named(fields['chain'], isChainName, 'chain');
  return { map, address: hex(fields['address'], parseMapName(map)?.family === 6 ? 32 : 8), chain };
}

function tag(value: unknown): Tag {
  const fields = record(value, 'a tag');
  return {
    release: hex(fields['release'], 64),
    conditions: hex(fields['conditions'], 16),
    mark: mark(fields['mark']),
  };
}

function mark(value: unknown): number {
  return integer(value, NO_FLOW_MARK, FLOW_MARK_MAX, 'mark');
}

// ── Leaves ─────────────────────────────────────────────────────────────────────────────────────────────────

const isSetName = (name: string): boolean => parseSetName(name) !== undefined;
const isNameSetName = (name: string): boolean => parseNameSetName(name) !== undefined;
const isListName = (name: string): boolean => LIST_NAME.test(name);
const isAnySetName = (name: string): boolean => isSetName(name) || isNameSetName(name);
const isNameSetOf = (name: string, hexDigits: number): boolean =>
  parseNameSetName(name)?.family === (hexDigits === 8 ? 4 : 6);
const isMapName = (name: string): boolean =>
  parseMapName(name) !== undefined || parseClassMapName(name) !== undefined;
const isChainName = (name: string): boolean => parseChainName(name) !== undefined;

function record(value: unknown, what: string): Fields {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw new RequestError(what);
  return value as Fields; // an object with some fields; each is checked where it is used
}

function list(value: unknown, most: number, what: string): readonly unknown[] {
  if (!Array.isArray(value)) throw new RequestError(`${what} is no list`);
  if (value.length > most) throw new RequestError(`${what} has more than ${most} members`);
  return value;
}

function named(value: unknown, isName: (name: string) => boolean, what: string): string {
  if (typeof value !== 'string' || value.length > 64 || !isName(value))
    throw new RequestError(`no name: ${what}`);
  return value;
}

function integer(value: unknown, least: number, most: number, what: string): number {
  if (typeof value !== 'number' || !Number.isInteger(value) || value < least || value > most) {
    throw new RequestError(`${what} must be an integer from ${least} to ${most}`);
  }
  return value;
}

function oneOf<T extends string>(value: unknown, values: readonly T[], what: string): T {
  const found = values.find((each) => each === value);
  if (found === undefined) throw new RequestError(`${what} must be one of ${values.join(', ')}`);
  return found;
}

function flag(value: unknown, what: string): boolean {
  if (typeof value !== 'boolean') throw new RequestError(`${what} must be true or false`);
  return value;
}

function hex(value: unknown, digits: number): string {
  if (typeof value !== 'string' || value.length !== digits || !/^[0-9a-f]*$/.test(value)) {
    throw new RequestError(`must be ${digits} hex digits`);
  }
  return value;
}
