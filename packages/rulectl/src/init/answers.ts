/** The input of `rulectl init`: from options, answers, the machine and the files of an earlier run. */

import { hostname, type NetworkInterfaceInfo, networkInterfaces } from 'node:os';
import { join, resolve } from 'node:path';
import { type PublisherConfig, parseConfig } from '@rulecast/formats';
import { qubeTypeOf } from '../doctor/common.ts';
import type { Machine } from '../doctor/finding.ts';
import { CliError, ExitCode, usageError } from '../terminal/exit.ts';
import { interfacesOf, sourcesOf } from './interfaces.ts';
import { HOME, PORT, PUBLISHER, type Site, WHERE } from './places.ts';
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

const EVERY_ADDRESS = /:(?:0\.0\.0\.0|\[::\]):/;
const LINK_LOCAL = /^(?:169\.254\.|fe[89ab])/i;
const WITHOUT_ADDRESS =
  'this host has no address by which firewalls could reach it, and nothing was written: connect it to their network, and run this again';

/** Throws CliError: `usage` for a wrong or missing answer, `refused` in a template or without an address. */
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
  const before = configIn(machine, folder);
  const firewalls = await ask('firewall', where === 'host' ? [host] : given.firewall, {
    usual: firewallsOf(before) ?? (where === 'qubes' ? 'sys-firewall' : undefined),
  });
  if (where === 'hosts' && firewalls.includes(PUBLISHER))
    throw usageError(`--firewall ${PUBLISHER}: its key would be that of the publisher: give it another name`);
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
  const endpoints = where === 'hosts' ? endpointsOf(before?.listen?.map(({ value }) => value)) : undefined;
  const site = { where, firewalls, interfaces, folder, setsInterfaces, sources, host, endpoints };
  return { site, presets, subjects };
}

/** Throws CliError `usage` for an option that `why` makes useless. */
function refuse(given: Given, option: Option, why: string, remedy = 'leave it out'): void {
  const [word] = given[option] ?? [];
  if (word !== undefined) throw usageError(`--${option} ${word}: ${why}: ${remedy}`);
}

/** The configuration that is there already, as far as it can be read. */
function configIn(machine: Machine, folder: string): PublisherConfig | undefined {
  const path = join(folder, 'publisher.yaml');
  return parseConfig(path, Buffer.from(machine.text(path) ?? '')).config;
}

/** With spaces between them. */
function firewallsOf(config: PublisherConfig | undefined): string | undefined {
  return config?.subscribers && [...config.subscribers].join(' ');
}

/** The subjects that the presets need. */
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

/**
 * The publisher's endpoint for firewalls on other hosts, and the address they connect to: the configured one,
 * else the first address of this host that others may reach. Throws CliError `refused` without one.
 */
export function endpointsOf(
  listen: readonly string[] = [],
  interfaces: Readonly<Record<string, readonly NetworkInterfaceInfo[] | undefined>> = networkInterfaces(),
): NonNullable<Site['endpoints']> {
  const configured = listen.find((endpoint) => endpoint.startsWith('zmq+tcp:'));
  const connect = configured?.replace(/\?.*/, '');
  if (connect !== undefined && !EVERY_ADDRESS.test(connect))
    return { listen: configured ?? connect, connect };
  const addresses = Object.values(interfaces)
    .flatMap((some) => some ?? [])
    .filter(({ address, internal }) => !internal && !LINK_LOCAL.test(address))
    .map(({ address }) => (address.includes(':') ? `[${address}]` : address));
  const own = addresses.find((address) => !address.startsWith('[')) ?? addresses[0];
  if (own === undefined) throw new CliError(ExitCode.refused, 'no-address', WITHOUT_ADDRESS);
  const reached = connect?.replace(EVERY_ADDRESS, `:${own}:`) ?? `zmq+tcp:${own}:${PORT}`;
  return { listen: configured ?? reached, connect: reached };
}
