/** Holds what `--json` prints to the schema of its records. */

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { Ajv2020, type ValidateFunction } from 'ajv/dist/2020.js';

export const SCHEMA_FILE = new URL('../../docs/reference/json.schema.json', import.meta.url);

export interface RecordSchema {
  readonly description: string;
  readonly 'x-commands': readonly string[];
  readonly properties: Readonly<Record<string, Readonly<Record<string, unknown>>>>;
  readonly required: readonly string[];
}

export interface JsonSchema {
  readonly $id: string;
  readonly oneOf: readonly { readonly $ref: string }[];
  readonly $defs: Readonly<Record<string, RecordSchema>>;
}

export const jsonSchema: JsonSchema = JSON.parse(readFileSync(SCHEMA_FILE, 'utf8'));
const ajv = new Ajv2020({ strict: true, allowUnionTypes: true, allErrors: true, keywords: ['x-commands'] });
ajv.addSchema(jsonSchema);
const validators = new Map<string, ValidateFunction>();

/** The kinds that the schema has. */
export const KINDS: readonly string[] = jsonSchema.oneOf.map(({ $ref }) =>
  $ref.replace('#/$defs/record-', ''),
);

/** The records of an output; throws AssertionError for one that the schema does not have. */
export function checkedRecords(stdout: string): readonly Readonly<Record<string, unknown>>[] {
  const lines = stdout.split('\n');
  assert.equal(lines.pop(), '', 'the output ends with a line');
  return lines.map((line) => {
    const record: Readonly<Record<string, unknown>> = JSON.parse(line);
    const kind = String(record['kind']);
    assert.ok(KINDS.includes(kind), `no kind of the schema: ${line}`);
    const validate = validators.get(kind) ?? ajv.getSchema(`${jsonSchema.$id}#/$defs/record-${kind}`);
    assert.ok(validate);
    validators.set(kind, validate);
    assert.ok(validate(record), `${line}: ${ajv.errorsText(validate.errors)}`);
    return record;
  });
}

const commandsOf = (kind: string): readonly string[] =>
  jsonSchema.$defs[`record-${kind}`]?.['x-commands'] ?? [];
const COMMANDS = new Set(KINDS.flatMap(commandsOf));

/** Checks a whole output of rulectl: it ends with the exit code, and has kinds of that command. */
export function checkWhole(stdout: string, exit: number | null, words: readonly string[]): void {
  const records = checkedRecords(stdout);
  const { kind: last, exit: told } = records.at(-1) ?? {};
  assert.deepEqual({ last, told }, { last: 'end', told: exit });
  const command = [words.slice(0, 2).join(' '), words[0] ?? ''].find((name) => COMMANDS.has(name));
  if (command === undefined || words.includes('--help')) return;
  for (const kind of new Set(records.map((record) => String(record['kind'])))) {
    const commands = commandsOf(kind);
    assert.ok(commands.includes('all') || commands.includes(command), `${kind} is none of ${command}`);
  }
}
