/** Presets: folders of a configuration and a rule set document, whose examples answers take the place of. */

import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** From the file that this is bundled into. */
const FOLDER = fileURLToPath(new URL('../../../examples/presets', import.meta.url));
const FRESH = new URL('../../../packaging/publisher.yaml', import.meta.url);
/** What stands in presets as an example, and means that an answer is needed. */
const EXAMPLES = { qube: '10.137.0.5', country: 'ru', names: 'deb.debian.org, .qubes-os.org' } as const;
/** The first of the names, where a rule set document says how it is proved. */
const PROOF = 'getent hosts deb.debian.org';

/** A preset as it stands, or with answers in the place of its examples. */
export interface Preset {
  readonly name: string;
  /** What it does, a sentence. */
  readonly sentence: string;
  readonly configuration: string;
  readonly rules: string;
}

/** What presets are about; only what they need is looked at. */
export interface Subjects {
  /** Each with its addresses, in canonical form. */
  readonly qubes: readonly (readonly string[])[];
  /** Codes of two small letters. */
  readonly countries: readonly string[];
  readonly names: readonly string[];
}

/** The configuration of the packages. */
export function freshConfiguration(): string {
  return readFileSync(FRESH, 'utf8');
}

/** Those that there are, by name. */
export function readPresets(): ReadonlyMap<string, Preset> {
  const folders = readdirSync(FOLDER, { withFileTypes: true }).filter((entry) => entry.isDirectory());
  return new Map(folders.map(({ name }) => [name, readPreset(name)]));
}

function readPreset(name: string): Preset {
  const text = (file: string): string => readFileSync(join(FOLDER, name, file), 'utf8');
  const configuration = text('publisher.yaml');
  const sentence = /^# (.*?)\. /.exec(configuration)?.[1] ?? name;
  return { name, sentence, configuration, rules: text('rules.yaml') };
}

/** Which answers a preset needs. */
export function needsOf({ rules }: Preset): Readonly<Record<keyof typeof EXAMPLES, boolean>> {
  return {
    qube: rules.includes(EXAMPLES.qube),
    country: rules.includes(countryList(EXAMPLES.country)),
    names: rules.includes(EXAMPLES.names),
  };
}

/** A preset once for each of its qubes and countries. */
export function presetFor(preset: Preset, { qubes, countries, names }: Subjects): readonly Preset[] {
  const needs = needsOf(preset);
  const wantedQubes = needs.qube ? qubes : [[EXAMPLES.qube]];
  const wantedCountries = needs.country ? countries : [EXAMPLES.country];
  return wantedQubes.flatMap((addresses) =>
    wantedCountries.map((country) => {
      const fill = (text: string): string => filled(text, addresses, country, names);
      return { ...preset, configuration: fill(preset.configuration), rules: fill(preset.rules) };
    }),
  );
}

function filled(
  text: string,
  addresses: readonly string[],
  country: string,
  names: readonly string[],
): string {
  const [first = EXAMPLES.qube] = addresses;
  return text
    .replaceAll(`[${EXAMPLES.qube}]`, `[${addresses.map(quoted).join(', ')}]`)
    .replaceAll(EXAMPLES.qube, first)
    .replaceAll(inName(EXAMPLES.qube), inName(first))
    .replaceAll(countryList(EXAMPLES.country), countryList(country))
    .replaceAll(`country: ${EXAMPLES.country}`, `country: ${country}`)
    .replaceAll(PROOF, `getent hosts ${(names[0] ?? '').replace(/^\*/, 'www').replace(/^\./, '')}`)
    .replaceAll(`[${EXAMPLES.names}]`, `[${names.map(quoted).join(', ')}]`);
}

function countryList(country: string): string {
  return `country-${country}`;
}

/** An address within the name of a policy or list. */
function inName(address: string): string {
  return address.replace(/[.:]/g, '-');
}

/** A text as an item of YAML: a `*` or `:` would mean something else. */
function quoted(text: string): string {
  return /[*:]/.test(text) ? `"${text}"` : text;
}

/** The lines that say how a preset is proved: those of its rules that are indented in a comment. */
export function proofOf({ rules }: Preset): readonly string[] {
  return [...rules.matchAll(/^# {3}(.*)$/gm)].map(([, line = '']) => line);
}
