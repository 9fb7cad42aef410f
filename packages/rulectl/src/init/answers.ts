/** All that `rulectl init` has to know, of options, answers, the machine and the files of an earlier run. */

import { hostname, networkInterfaces } from 'node:os';
import { join, resolve } from 'node:path';
import { parseConfig } from '@rulecast/formats';
import { qubeTypeOf } from '../doctor/common.ts';
import type { Machine } from '../doctor/finding.ts';
import { CliError, ExitCode, usageError } from '../terminal/exit.ts';
import { interfacesOf, sourcesOf } from './interfaces.ts';
import { HOME, type Site, WHERE } from './places.ts';
import { needsOf, type Preset, SUBJECTS, type Subjects } from './presets.ts';
import { type Ask, type Option, QUESTIONS } from './questions.ts';

/** Answers on the command line. */
export type Given = Readonly<Partial<Record<Option, readonly string[] | undefined>>> & {
  readonly dir?: string | undefined;
};

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
  ask: Ask,
): Promise<Answers> {
  const qubeType = qubeTypeOf(machine);
  if (qubeType === 'TemplateVM') throw new CliError(ExitCode.refused, 'in-template', IN_TEMPLATE);
  const [place] = await ask('where', given.where, {
    usual: qubeType === undefined ? 'host' : 'qubes',
  });
  const where = WHERE.find((one) => one === place) ?? 'host';
  const host = hostname().slice(0, 63); // as the subscriber calls itself
  if (where === 'host') refuse(given, 'firewall', `this host is the firewall, and is called ${host}`);
  if (where === 'qubes') refuse(given, 'interface', 'in Qubes a firewall knows its interfaces');
  const isRoot = process.getuid?.() === 0;
  const folder = resolve(given.dir ?? (isRoot ? HOME : '.'));
  const firewalls = await ask('firewall', where === 'host' ? [host] : given.firewall, {
    usual: firewallsIn(machine, folder) ?? (where === 'qubes' ? 'sys-firewall' : undefined),
  });
  const sentences = [...known.values()].map(({ name, sentence }) => `  ${name}: ${sentence}\n`);
  const names = await ask('preset', given.preset, {
    text: `What should the firewall do?\n${sentences.join('')}${QUESTIONS.preset.text}`,
    choices: [...known.keys()],
    usual: 'ads',
  });
  const presets = [...known.values()].filter(({ name }) => names.includes(name));
  const subjects = await subjectsOf(given, presets, ask);
  const interfaces = where === 'qubes' ? [] : await interfacesFor(where, given.interface, machine, ask);
  const setsInterfaces = where === 'host' && isRoot && folder === HOME;
  const opensNames = where !== 'qubes' && presets.some((preset) => needsOf(preset).includes('name'));
  const sources = opensNames ? sourcesOf(machine, interfaces, subjects.qube) : [];
  const site = { where, firewalls, interfaces, folder, setsInterfaces, sources, host, address: ownAddress() };
  return { site, presets, subjects };
}

/** Throws CliError `usage` for an option that `why` makes useless. */
function refuse(given: Given, option: Option, why: string, remedy = 'leave it out'): void {
  const [word] = given[option] ?? [];
  if (word !== undefined) throw usageError(`--${option} ${word}: ${why}: ${remedy}`);
}

/** Those of the configuration that is there already, with spaces between them. */
function firewallsIn(machine: Machine, folder: string): string | undefined {
  const path = join(folder, 'publisher.yaml');
  const { config } = parseConfig(path, Buffer.from(machine.text(path) ?? ''));
  return config?.subscribers && [...config.subscribers].join(' ');
}

/** What the presets are about; the others need nothing. */
async function subjectsOf(given: Given, presets: readonly Preset[], ask: Ask): Promise<Subjects> {
  const needs = presets.flatMap(needsOf);
  const subjects: Record<keyof Subjects, readonly string[]> = { country: [], name: [], qube: [] };
  for (const subject of SUBJECTS)
    if (needs.includes(subject)) subjects[subject] = await ask(subject, given[subject]);
    else refuse(given, subject, 'the chosen presets do not use it', 'leave it out, or add another --preset');
  return subjects;
}

/** Those that are judged already need no answer. */
async function interfacesFor(
  where: Site['where'],
  given: readonly string[] | undefined,
  machine: Machine,
  ask: Ask,
): Promise<readonly string[]> {
  if (where === 'hosts') return ask('interface', given);
  const here = interfacesOf(machine);
  const judged = here.filter(({ isJudged }) => isJudged).map(({ name }) => name);
  if (given === undefined && judged.length > 0) return judged;
  const choices = here.map(({ name }) => name);
  const [example] = choices;
  if (example !== undefined) return ask('interface', given, { choices, example });
  const text =
    'this host has no interface besides the one that leads to the Internet: none can be judged, and nothing was written';
  throw new CliError(ExitCode.refused, 'no-interface', text);
}

/** By which other hosts reach this one, as far as it knows. */
function ownAddress(): string {
  const all = Object.values(networkInterfaces()).flatMap((addresses) => addresses ?? []);
  return all.find(({ family, internal }) => family === 'IPv4' && !internal)?.address ?? '192.0.2.1';
}
