/** Presets: folders with a configuration and a rule set document, whose examples are replaced by answers. */

import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** From the file that this is bundled into. */
const FOLDER = fileURLToPath(new URL('../../../examples/presets', import.meta.url));
const FRESH = new URL('../../../packaging/publisher.yaml', import.meta.url);
/** The subjects of presets, each of which needs an answer. */
export const SUBJECTS = ['country', 'name', 'qube'] as const;
/** The examples in presets that answers replace. */
const EXAMPLES = { country: 'ru', name: 'deb.debian.org, .qubes-os.org', qube: '10.137.0.5' } as const;
/** The name used in a rule set document's instructions on how to check it. */
const PROOF = 'getent hosts deb.debian.org';

/** A preset, with its examples or with answers in their place. */
export interface Preset {
  readonly name: string;
  /** Its effect, in a sentence. */
  readonly sentence: string;
  readonly configuration: string;
  readonly rules: string;
}

/**
 * Answers in canonical form: codes of two small letters, names, and the addresses of each qube, with a comma
 * between them.
 */
export type Subjects = Readonly<Record<(typeof SUBJECTS)[number], readonly string[]>>;

/** The configuration of the packages. */
export function freshConfiguration(): string {
  return readFileSync(FRESH, 'utf8');
}

/** All presets, by name. */
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
export function needsOf({ rules }: Preset): readonly (keyof Subjects)[] {
  const signs = { ...EXAMPLES, country: countryList(EXAMPLES.country) };
  return SUBJECTS.filter((subject) => rules.includes(signs[subject]));
}

/** A preset once for each qube and country. */
export function presetFor(preset: Preset, { qube, country, name }: Subjects): readonly Preset[] {
  return (qube.length > 0 ? qube : [EXAMPLES.qube]).flatMap((addresses) =>
    (country.length > 0 ? country : [EXAMPLES.country]).map((code) => {
      const fill = (text: string): string => filled(text, addresses.split(','), code, name);
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
  const [first = ''] = addresses;
  return text
    .replaceAll(`[${EXAMPLES.qube}]`, `[${addresses.map(quoted).join(', ')}]`)
    .replaceAll(EXAMPLES.qube, first)
    .replaceAll(inName(EXAMPLES.qube), inName(first))
    .replaceAll(countryList(EXAMPLES.country), countryList(country))
    .replaceAll(`country: ${EXAMPLES.country}`, `country: ${country}`)
    .replaceAll(PROOF, `getent hosts ${(names[0] ?? '').replace(/^\*/, 'www').replace(/^\./, '')}`)
    .replaceAll(`[${EXAMPLES.name}]`, `[${names.map(quoted).join(', ')}]`);
}

function countryList(country: string): string {
  return `country-${country}`;
}

/** An address within the name of a policy or list. */
function inName(address: string): string {
  return address.replace(/[.:]/g, '-');
}

/** A text as an item of YAML, quoted if `*` or `:` would be misread. */
function quoted(text: string): string {
  return /[*:]/.test(text) ? `"${text}"` : text;
}

/** The lines on how to check a preset: the indented lines in comments of its rules. */
export function proofOf({ rules }: Preset): readonly string[] {
  return [...rules.matchAll(/^# {3}(.*)$/gm)].map(([, line = '']) => line);
}
