/**
 * `rulectl init`: from nothing to presets in force. It asks for missing options, adds the presets to the
 * configuration and the rules of the publisher, and prints what to do in each place, and how to check it.
 *
 *   options, answers ─▶ presets, filled ─merge─▶ files that are there ─check─▶ planned ─all or none─▶ written
 */

import { join } from 'node:path';
import { mergeDocument, parseConfig, parseDocument, type Reject } from '@rulecast/formats';
import { curveKeyText, newCurveKeyPair, readCurveKeyPair } from '@rulecast/vchan';
import type { Argv } from 'yargs';
import type { Machine } from '../doctor/finding.ts';
import { thisMachine } from '../doctor/machine.ts';
import { answersOf } from '../init/answers.ts';
import { attempt, type PlannedFile, planFile, planWhole, textOf, writeFiles } from '../init/files.ts';
import { groupCommand, interfacesOf, resolverHere, udevLine } from '../init/interfaces.ts';
import {
  blocksOf,
  dom0Lines,
  HOME,
  PUBLISHER,
  SERVICE,
  type Site,
  SUBSCRIBER_FILE,
  siteConfiguration,
  UDEV_FILE,
  WHERE,
  type Where,
} from '../init/places.ts';
import { freshConfiguration, type Preset, presetFor, proofOf, readPresets } from '../init/presets.ts';
import { askerOf, type Option, QUESTIONS } from '../init/questions.ts';
import { CliError, ExitCode } from '../terminal/exit.ts';
import { shownName } from '../terminal/input.ts';
import type { JsonRecord } from '../terminal/records.ts';
import type { Terminal } from '../terminal/terminal.ts';

export const command = 'init';

/** Rules before a preset is added. */
const FRESH_RULES =
  '# What the firewalls do: a rule set document, which the publisher reads again when it changes.\n\nunmatched: accept # what no rule is about is left to the other tables of the firewall\n';

type Listed = Exclude<Option, 'where'>;
export interface InitArgs extends Readonly<Record<Listed, readonly string[] | undefined>> {
  readonly where: Where | undefined;
  readonly dir: string | undefined;
  readonly yes: boolean | undefined;
}

export function builder(yargs: Argv<object>): Argv<InitArgs> {
  const several = (option: Listed) =>
    ({ type: 'string', array: true, requiresArg: true, describe: QUESTIONS[option].describe }) as const;
  return yargs
    .usage(
      '$0 init\n\nWrites the configuration and the rules of a publisher, and prints what to do then. It asks for what no option gives. A second run adds to the files, and leaves a file alone that a person has changed.',
    )
    .option('where', { choices: WHERE, requiresArg: true, describe: QUESTIONS.where.describe })
    .option('firewall', several('firewall'))
    .option('preset', {
      ...several('preset'),
      describe: `what to do: ${[...readPresets().keys()].join(', ')}; may be repeated`,
    })
    .option('qube', several('qube'))
    .option('country', several('country'))
    .option('name', several('name'))
    .option('interface', several('interface'))
    .option('dir', {
      type: 'string',
      requiresArg: true,
      describe: 'where the files go',
      defaultDescription: `${HOME} for root, else here`,
    })
    .option('yes', { type: 'boolean', describe: 'ask nothing: take the usual answers' })
    .example([
      ['$0 init', 'asks'],
      ['$0 init --preset ads --yes', 'ads and trackers, for all qubes'],
      ['$0 init --preset country --country ru --qube 10.137.0.5 --yes', 'a country, for one qube'],
      [
        '$0 init --preset only-names --name deb.debian.org --qube 10.137.0.5 --yes',
        'a name, and nothing else',
      ],
    ]);
}

export async function run(args: InitArgs, terminal: Terminal): Promise<ExitCode> {
  const machine = thisMachine(terminal.nowMs());
  const ask = askerOf(terminal, args.yes === true);
  const given = { ...args, where: args.where && [args.where] };
  const { site, presets, subjects } = await answersOf(given, readPresets(), machine, ask);
  if (site.where === 'qubes' && site.folder === HOME && machine.state(SERVICE) === undefined)
    throw new CliError(
      ExitCode.refused,
      'not-kept',
      `this qube would lose ${HOME} when it stops, as dom0 has not made it the management qube; nothing was written. In dom0, read the script before you run it:\n\n${dom0Lines(site)}\n\nThen restart this qube, and run this again.`,
    );
  const filled = presets.flatMap((preset) => presetFor(preset, subjects));
  const { keys, publicKeys } = plannedKeys(site);
  const files = [
    ...plannedDocuments(site, filled, publicKeys),
    ...(site.setsInterfaces ? plannedSettings(site) : []),
    ...keys, // the last is written first: a configuration never names a key that is not there
  ];
  writeFiles(files);
  const joined = site.setsInterfaces ? site.interfaces.filter((name) => joinGroup(machine, name)) : [];
  const say = (record: JsonRecord, line: string): void =>
    terminal.isJson ? terminal.record(record) : terminal.out.line(line);
  for (const { path, state } of files) say({ kind: 'file', path, state }, `${state}: ${shownName(path)}`);
  for (const name of joined)
    say({ kind: 'interface', name }, `joined: ${name} is in link group 2 now: hosts behind it are judged`);
  const warnings = [...familyWarnings(subjects.qube), ...resolverWarnings(machine, site, filled)];
  for (const text of warnings) say({ kind: 'warning', reason: text }, `warning: ${text}`);
  const changed = joined.length > 0 || files.some(({ state }) => state !== 'unchanged');
  const [todo, proof] = [blocksOf(site), [...new Set(filled.flatMap(proofOf))]];
  const lines = [
    ...(changed ? [] : ['Nothing was changed: the files have all of this.']),
    todo,
    '# behind the firewall, once rulectl status says that it is enforced, as a proof:',
    ...proof,
  ];
  say({ kind: 'instructions', changed, todo, proof }, lines.join('\n'));
  return ExitCode.ok;
}

/** Warnings about qubes with an address of one family only: their packets of the other are not judged. */
function familyWarnings(qubes: readonly string[]): readonly string[] {
  return qubes.flatMap((addresses) => {
    const [hasIpv4, hasIpv6] = [addresses.includes('.'), addresses.includes(':')];
    if (hasIpv4 && hasIpv6) return [];
    const both = hasIpv4 ? `${addresses},fd09::a89:5` : `10.137.0.5,${addresses}`;
    return `what ${addresses} sends over ${hasIpv4 ? 'IPv6' : 'IPv4'} is not judged: if it has such an address, add it: --qube ${both}`;
  });
}

/** Warns of a resolver on this host: hosts that ask it get answers without `rulecast-dns`. */
function resolverWarnings(machine: Machine, { where }: Site, presets: readonly Preset[]): readonly string[] {
  const hasNames = presets.some(({ configuration, rules }) =>
    `${configuration}${rules}`.includes('resolve: firewall'),
  );
  const address = where === 'host' && hasNames ? resolverHere(machine) : undefined;
  if (address === undefined) return [];
  return [
    `something on this host answers DNS at ${address}: names are not blocked for hosts that ask it. --names router of rulecast-subscriber has rulecast-dns answer there: docs/reference/dns.md`,
  ];
}

/** The configuration and the rules, each with what the presets add, and checked as the publisher does. */
function plannedDocuments(
  site: Site,
  presets: readonly Preset[],
  publicKeys: Keys['publicKeys'],
): readonly PlannedFile[] {
  const configuration = join(site.folder, 'publisher.yaml');
  const own = siteConfiguration(site, publicKeys);
  const planned = planFile(configuration, freshConfiguration(), (text) =>
    added(
      configuration,
      text,
      [own, ...presets.map((preset) => preset.configuration)],
      ['lists', 'tables'],
      parseConfig,
    ),
  );
  const stranger = site.firewalls.find((name) => !planned.text.includes(publicKeys.get(name) ?? ''));
  if (stranger !== undefined)
    throw new CliError(ExitCode.refused, 'other-key', otherKeyText(site, configuration, stranger));
  const rules =
    parseConfig(configuration, Buffer.from(planned.text)).config?.rules ?? join(site.folder, 'rules.yaml');
  const parseRules: Parse = (file, bytes) => parseDocument(file, bytes, 0, () => undefined);
  const ofRules = presets.map((preset) => preset.rules);
  return [planned, planFile(rules, FRESH_RULES, (text) => added(rules, text, ofRules, [], parseRules))];
}

type Parse = (file: string, bytes: Uint8Array) => { readonly rejects: readonly Reject[] };

/** A document merged with others, or undefined if it has all of them already. Throws CliError `refused`. */
function added(
  file: string,
  before: string,
  more: readonly string[],
  whole: readonly string[],
  parse: Parse,
): string | undefined {
  check(file, before, parse);
  let text: string | undefined;
  for (const each of more) text = mergeDocument(text ?? before, each, new Set(whole)) ?? text;
  if (text !== undefined) check(file, text, parse);
  return text;
}

function check(file: string, text: string, parse: Parse): void {
  const [reject] = parse(file, Buffer.from(text)).rejects;
  if (reject === undefined) return;
  const { line, column, code, reason } = reject;
  throw new CliError(ExitCode.refused, code, `${file}:${line}:${column}: ${reason}: nothing was written`);
}

interface Keys {
  readonly keys: readonly PlannedFile[];
  /** The keys of the firewalls, by name; empty if they need none. */
  readonly publicKeys: ReadonlyMap<string, string>;
}

/** The keys of the publisher and of firewalls on other hosts: those that are there, or new ones. */
function plannedKeys({ where, folder, firewalls }: Site): Keys {
  if (where !== 'hosts') return { keys: [], publicKeys: new Map() };
  const [keys, publicKeys]: [PlannedFile[], Map<string, string>] = [[], new Map()];
  for (const name of [PUBLISHER, ...firewalls]) {
    const path = keyFile(folder, name);
    const text = textOf(path);
    const pair = text === undefined ? newCurveKeyPair() : attempt('read', path, () => readCurveKeyPair(path));
    keys.push(planWhole(path, text ?? curveKeyText(pair), true));
    if (name === PUBLISHER)
      keys.push(planWhole(join(folder, 'keys/publisher.pub'), `${pair.publicKey}\n`, false));
    else publicKeys.set(name, pair.publicKey);
  }
  return { keys, publicKeys };
}

function keyFile(folder: string, name: string): string {
  return join(folder, 'keys', `${name}.key`);
}

function otherKeyText({ folder }: Site, configuration: string, name: string): string {
  const file = shownName(keyFile(folder, name));
  return `${configuration} names another curve-key of ${name} than that of ${file}; nothing was written: bring the file back that it was made with, or take the line of ${name} out and run this again`;
}

/** Settings of this host for udev and the subscriber. */
function plannedSettings({ interfaces, sources }: Site): readonly PlannedFile[] {
  const udev = planFile(UDEV_FILE, '', (text) => {
    const missing = interfaces.map(udevLine).filter((line) => !text.split('\n').includes(line));
    return missing.length === 0 ? undefined : `${text}${missing.join('\n')}\n`;
  });
  if (sources.length === 0) return [udev];
  const subscriber = planFile(SUBSCRIBER_FILE, '', (text) => {
    const [line = '', options = ''] = /^RULECAST_OPTIONS=(.*)\n/m.exec(text) ?? [];
    const missing = sources.filter((source) => !` ${options} `.includes(` ${source} `));
    if (missing.length === 0) return undefined;
    return `${text.replace(line, '')}RULECAST_OPTIONS=${[options, ...missing].join(' ').trim()}\n`;
  });
  return [udev, subscriber];
}

/** Puts an interface into the group now; false: it was in it. Throws CliError `refused`. */
function joinGroup(machine: Machine, name: string): boolean {
  if (interfacesOf(machine).some((one) => one.name === name && one.isJudged)) return false;
  const { status } = machine.run(...groupCommand(name));
  if (status === 0) return true;
  throw new CliError(
    ExitCode.refused,
    'not-joined',
    `the files are written, and this failed: ${groupCommand(name).join(' ')}`,
  );
}
