/**
 * `--json`: docs/reference/json.md is made of docs/reference/json.schema.json, and the schema has what the
 * protocol's records have. `npx vitest run test/json-page.test.ts -u` writes the page anew.
 */

import { describe, expect, it } from 'vitest';
import { COMMANDS } from '../packages/rulectl/src/command.ts';
import { RECORD_FIELDS } from '../protocol/src/wire/control.ts';
import { jsonSchema, KINDS, type RecordSchema } from './kit/json-records.ts';

const PAGE = '../docs/reference/json.md';
const PROGRAMS = ['rulecast-doctor', 'rulecast-names'];
/** Records that have a bar on a terminal, and no record of `--json`. */
const NOT_PRINTED = new Set(['progress']);

function recordSchema(kind: string): RecordSchema {
  const found = jsonSchema.$defs[`record-${kind}`];
  if (found === undefined) throw new Error(`no ${kind}`);
  return found;
}

describe('the schema', () => {
  const wire = Object.entries(RECORD_FIELDS).filter(([record]) => !NOT_PRINTED.has(record));
  it.each(wire)('has the fields of the record %s', (record, fields) => {
    const { properties } = recordSchema(record === 'end' ? 'end-of-snapshot' : record);
    const names = Object.keys(fields).map((name) => (name === 'kind' ? 'type' : name));
    expect(Object.keys(properties)).toEqual(expect.arrayContaining(['kind', ...names]));
  });

  it('names commands that there are', () => {
    const known = new Set(['all', 'help', ...COMMANDS.keys(), ...PROGRAMS]);
    for (const kind of KINDS)
      expect([...recordSchema(kind)['x-commands']].filter((name) => !known.has(name))).toEqual([]);
  });
});

type Type = Readonly<Record<string, unknown>>;

/** The type of a field, in a few words. */
function typeText(type: Type): string {
  const { $ref, items, anyOf, additionalProperties, type: plain, enum: words, pattern } = type;
  if (typeof $ref === 'string') return referenceText($ref);
  if (Array.isArray(anyOf)) return anyOf.map((each: Type) => typeText(each)).join(' or ');
  if (Array.isArray(words)) return words.map((word) => `\`${word}\``).join(', ');
  if (plain === 'array') return `list of ${typeText(items as Type)}`;
  if (plain === 'object') return `object, values are ${typeText(additionalProperties as Type)}`;
  if (Array.isArray(plain)) return plain.join(' or ');
  if (pattern !== undefined) return '64 hexadecimal digits';
  return plain === 'integer' ? 'number' : String(plain);
}

function referenceText(reference: string): string {
  const name = reference.replace('#/$defs/', '');
  const { enum: words } = jsonSchema.$defs[name] as unknown as Type;
  return words === undefined ? `[${name}](#${name.toLowerCase()})` : typeText({ enum: words });
}

function fieldsTable({ properties, required }: RecordSchema): readonly string[] {
  const rows = Object.entries(properties)
    .filter(([name]) => name !== 'kind')
    .map(([name, type]) => {
      const absent = required.includes(name) ? '' : '?';
      return `| \`${name}\`${absent} | ${typeText(type)} | ${String(type['description'] ?? '')} |`;
    });
  return rows.length === 0 ? [] : ['', '| field | type | what it is |', '| --- | --- | --- |', ...rows];
}

function wrapped(text: string): readonly string[] {
  return text.replaceAll(/(?=.{101})(.{1,100}) /g, '$1\n').split('\n');
}

function section(title: string, schema: RecordSchema, where: string): readonly string[] {
  return ['', `### ${title}`, '', ...wrapped(`${schema.description}${where}`), ...fieldsTable(schema)];
}

const INTRODUCTION = `<!-- Made of json.schema.json by test/json-page.test.ts: change that. -->

# JSON output

Every command of \`rulectl\` takes \`--json\`, and so do \`rulecast-doctor\` and \`rulecast-names\`.
Standard output is then for programs:

- Each line is a record: a JSON object with a \`kind\`. The kind says which fields it has.
- The last record is always \`end\`. It has the exit code of the command.
- An error is a record \`error\` before the end. So is a wrong command line.
- Text for people on standard error does not change.

A command that prints a document, such as \`rulectl get\`, prints records \`text\`. This prints the
document again: \`rulectl get all --json | jq -j 'select(.kind == "text").text'\`.

[json.schema.json](json.schema.json) is the JSON Schema (draft 2020-12) of a line. Fields and
kinds may be added: ignore what you do not know. [CHANGELOG](../../CHANGELOG.md) names each field
that moves or goes. Exit codes are in [exit-codes.md](exit-codes.md), error codes in
[errors.md](errors.md).

\`\`\`json
{"kind":"error","code":"unreachable","message":"no publisher answers at …"}
{"kind":"end","exit":3,"code":"unreachable"}
\`\`\`

A field with \`?\` may be absent. Times that end with \`Ms\` are milliseconds, those that end with \`S\`
seconds.`;

describe('docs/reference/json.md', () => {
  it('is what the schema says', async () => {
    const commands = [...COMMANDS.keys(), ...PROGRAMS].toSorted().map((command) => {
      const kinds = KINDS.filter((kind) => recordSchema(kind)['x-commands'].includes(command));
      return `| \`${command}\` | ${kinds.map((kind) => `[${kind}](#${kind})`).join(', ')} |`;
    });
    const records = KINDS.flatMap((kind) => {
      const schema = recordSchema(kind);
      const names = schema['x-commands'].map((name) => (name === 'all' ? 'every command' : `\`${name}\``));
      return section(kind, schema, ` Printed by ${names.join(', ')}.`);
    });
    const others = Object.entries(jsonSchema.$defs)
      .filter(([name, { properties }]) => !name.startsWith('record-') && properties !== undefined)
      .flatMap(([name, schema]) => section(name, schema, ''));
    const page = [
      INTRODUCTION,
      '',
      '## Records of each command',
      '',
      'Every command prints `end`, and may print `error`.',
      '',
      '| command | records |',
      '| --- | --- |',
      ...commands,
      '',
      '## Records',
      ...records,
      '',
      '## Objects in records',
      ...others,
      '',
    ];
    await expect(page.join('\n')).toMatchFileSnapshot(PAGE);
  });
});
