/** All that `rulectl init` has to know; each answer is checked where it is given. */

import { hostname, networkInterfaces } from 'node:os';
import { join, resolve } from 'node:path';
import { parseConfig } from '@rulecast/formats';
import {
  formatAddress,
  isPartName,
  isWildcard,
  parseAddress,
  parseHostName,
  suggestion,
} from '@rulecast/rules';
import { qubeTypeOf } from '../doctor/common.ts';
import type { Machine } from '../doctor/finding.ts';
import { CliError, ExitCode, usageError } from '../terminal/exit.ts';
import { interfacesOf, readInterface, sourcesOf } from './interfaces.ts';
import { HOME, type Site, WHERE, type Where } from './places.ts';
import { needsOf, type Preset, type Subjects } from './presets.ts';
import type { Questions } from './questions.ts';

/** Answers on the command line. */
export interface Given {
  readonly where: Where | undefined;
  readonly firewall: readonly string[] | undefined;
  readonly preset: readonly string[] | undefined;
  readonly qube: readonly string[] | undefined;
  readonly country: readonly string[] | undefined;
  readonly name: readonly string[] | undefined;
  readonly interface: readonly string[] | undefined;
  readonly dir: string | undefined;
}

export interface Answers {
  readonly site: Site;
  readonly presets: readonly Preset[];
  readonly subjects: Subjects;
}

/** Files of a template would reach every qube that is made of it. */
const IN_TEMPLATE =
  'this is a template, and nothing was written: install the packages here, and run rulectl init in the management qube';

/** Throws CliError: `usage` for a wrong or missing answer, `refused` in a template. */
export async function answersOf(
  given: Given,
  known: ReadonlyMap<string, Preset>,
  machine: Machine,
  questions: Questions,
): Promise<Answers> {
  const qubeType = qubeTypeOf(machine);
  if (qubeType === 'TemplateVM') throw new CliError(ExitCode.refused, 'in-template', IN_TEMPLATE);
  const [where = 'host'] = await questions.ask(
    {
      option: 'where',
      text: 'Where is the firewall? qubes: it is a qube; host: it is this host; hosts: it is another host',
      example: 'host',
      usual: qubeType === undefined ? 'host' : 'qubes',
      read: (word) => oneOf('where', WHERE, word),
    },
    given.where && [given.where],
  );
  const host = hostname().slice(0, 63); // as the subscriber calls itself
  if (where === 'host' && given.firewall !== undefined)
    throw usageError(
      `--firewall ${given.firewall[0]}: this host is the firewall, and is called ${host}: leave it out`,
    );
  const isRoot = process.getuid?.() === 0;
  const folder = resolve(given.dir ?? (isRoot ? HOME : '.'));
  const firewalls = await questions.ask(
    {
      option: 'firewall',
      text: 'Which firewalls are there? Their names',
      example: 'sys-firewall',
      usual: firewallsIn(machine, folder) ?? (where === 'qubes' ? 'sys-firewall' : undefined),
      read: readFirewall,
    },
    where === 'host' ? [host] : given.firewall,
  );
  const sentences = [...known.values()].map(({ name, sentence }) => `  ${name}: ${sentence}\n`);
  const presets = await questions.ask(
    {
      option: 'preset',
      text: `What is to be done?\n${sentences.join('')}One of these, or several`,
      example: 'ads country',
      usual: 'ads',
      read: (word) => oneOf('preset', [...known.keys()], word),
    },
    given.preset,
  );
  const chosen = [...known.values()].filter(({ name }) => presets.includes(name));
  const subjects = await subjectsOf(given, chosen, questions);
  if (where === 'qubes' && given.interface !== undefined)
    throw usageError(`--interface ${given.interface[0]}: Qubes says by itself which these are: leave it out`);
  const interfaces = where === 'qubes' ? [] : await interfacesFor(where, given.interface, machine, questions);
  const setsInterfaces = where === 'host' && isRoot && folder === HOME;
  const opensNames = chosen.some((preset) => needsOf(preset).names) && where !== 'qubes';
  const sources = opensNames ? sourcesOf(machine, interfaces, subjects.qubes) : [];
  const address = ownAddress();
  const site = { where, firewalls, interfaces, folder, setsInterfaces, sources, host, address };
  return { site, presets: chosen, subjects };
}

/** Those of the configuration that is there already, with spaces between them. */
function firewallsIn(machine: Machine, folder: string): string | undefined {
  const path = join(folder, 'publisher.yaml');
  const { config } = parseConfig(path, Buffer.from(machine.text(path) ?? ''));
  return config?.subscribers && [...config.subscribers].join(' ');
}

/** What the presets are about, of which the others need nothing. */
async function subjectsOf(given: Given, presets: readonly Preset[], questions: Questions): Promise<Subjects> {
  const needs = presets.map(needsOf);
  const ask = async <T>(
    need: keyof ReturnType<typeof needsOf>,
    question: { readonly text: string; readonly example: string; readonly read: (word: string) => T },
    words: readonly string[] | undefined,
  ): Promise<readonly T[]> => {
    const option = need === 'names' ? 'name' : need;
    if (needs.some((each) => each[need]))
      return questions.ask({ option, usual: undefined, ...question }, words);
    if (words === undefined) return [];
    throw usageError(
      `--${option} ${words[0]}: none of these presets is about that: add --preset, as in --preset ${need === 'country' ? need : 'only-names'}`,
    );
  };
  return {
    countries: await ask(
      'country',
      { text: 'Which country? Its code of two letters', example: 'ru', read: readCountry },
      given.country,
    ),
    names: await ask(
      'names',
      {
        text: 'Which names? With a dot before it, all below it as well',
        example: 'deb.debian.org .qubes-os.org',
        read: readName,
      },
      given.name,
    ),
    qubes: await ask(
      'qube',
      {
        text: 'For which qube, or host? Its address, or those of both families',
        example: '10.137.0.5,fd09::a89:5',
        read: readQube,
      },
      given.qube,
    ),
  };
}

/** Those that are judged already need no answer. */
async function interfacesFor(
  where: Where,
  given: readonly string[] | undefined,
  machine: Machine,
  questions: Questions,
): Promise<readonly string[]> {
  const here = where === 'host' ? interfacesOf(machine) : undefined;
  const judged = here?.filter(({ isJudged }) => isJudged).map(({ name }) => name) ?? [];
  if (given === undefined && judged.length > 0) return judged;
  const names = here?.map(({ name }) => name) ?? [];
  const example = names[0] ?? 'eth1';
  const choice = names.length === 0 ? '' : ` (${names.join(', ')})`;
  const whose = where === 'host' ? 'this host' : 'the firewall';
  return questions.ask(
    {
      option: 'interface',
      text: `Which interface of ${whose} leads to those that it is to judge?${choice}`,
      example,
      usual: undefined,
      read: (word) => {
        const name = readInterface(word);
        if (here === undefined || names.includes(name)) return name;
        throw usageError(
          `--interface ${name}: hosts cannot be behind it, or it is not there: write ${names.join(', ') || 'one that ip link shows, besides that to the Internet'}`,
        );
      },
    },
    given,
  );
}

function oneOf<T extends string>(option: string, words: readonly T[], word: string): T {
  const found = words.find((one) => one === word);
  if (found !== undefined) return found;
  throw usageError(
    `--${option} ${JSON.stringify(word)}: write one of ${words.join(', ')}${suggestion(word, words)}`,
  );
}

function readFirewall(word: string): string {
  if (isPartName(word)) return word;
  throw usageError(
    `--firewall ${JSON.stringify(word)}: write a name as in sys-firewall: letters, digits, dots, - and _`,
  );
}

function readCountry(word: string): string {
  if (/^[A-Za-z]{2}$/.test(word)) return word.toLowerCase();
  throw usageError(`--country ${JSON.stringify(word)}: write the code of two letters, as in ru for Russia`);
}

function readName(word: string): string {
  if (isWildcard(word) || parseHostName(word).kind === 'name') return word.toLowerCase();
  throw usageError(
    `--name ${JSON.stringify(word)}: write a name as in deb.debian.org, or .qubes-os.org for all below it as well`,
  );
}

function readQube(word: string): readonly string[] {
  return word.split(',').map((part) => {
    const address = parseAddress(part);
    if (address !== undefined) return formatAddress(address);
    throw usageError(
      `--qube ${JSON.stringify(word)}: write its address as in 10.137.0.5, or 10.137.0.5,fd09::a89:5 (qvm-ls --network in dom0 has it)`,
    );
  });
}

/** By which other hosts reach this one, as far as it knows. */
function ownAddress(): string {
  const all = Object.values(networkInterfaces()).flatMap((addresses) => addresses ?? []);
  return all.find(({ family, internal }) => family === 'IPv4' && !internal)?.address ?? '192.0.2.1';
}
