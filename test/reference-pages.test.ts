/** Reference pages that are written by hand have all that the code takes, and nothing else. */

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parsePacketLine } from '@rulecast/formats';
import { COMMENT_MAX_CHARS, type Direction, parseRule, RESOLVED_NAMES_MAX } from '@rulecast/rules';
import { parseEndpoint } from '@rulecast/vchan';
import { describe, expect, it } from 'vitest';
import { LISTS_MAX, MUST_REACH_MAX } from '../packages/formats/src/config/config.ts';
import { URLS_MAX } from '../packages/formats/src/config/fetch.ts';
import { OPERATORS_MAX } from '../packages/formats/src/config/operators.ts';
import { SUBSCRIBERS_MAX } from '../packages/formats/src/config/subscribers.ts';
import { DOCUMENT_SCHEMA } from '../packages/formats/src/document/schema.ts';
import { FORMAT_LIMITS } from '../packages/formats/src/text/limits.ts';
import { ROWS_MAX } from '../packages/publisher/src/blocks/rows.ts';
import { PART_NAME_MAX_BYTES } from '../packages/rules/src/name.ts';
import { RULE_LINE_MAX_CHARS } from '../packages/rules/src/rule-line.ts';
import {
  ENTRIES_MAX,
  MESSAGE_MAX_BYTES,
  PARTS_MAX,
  PUSH_MAX_BYTES,
  TRANSFER_MAX_BYTES,
  SUBSCRIBERS_MAX as UNBOUND_SUBSCRIBERS_MAX,
  UNCOUNTED_MAX,
} from '../protocol/src/limits.ts';
import { ROOT } from './docs/blocks.ts';

/** The rows of the first table below a heading, each as its cells. */
function rowsBelow(page: string, heading: string): readonly (readonly string[])[] {
  const text = readFileSync(join(ROOT, 'docs/reference', page), 'utf8');
  const [, below = ''] = text.split(new RegExp(`^#+ ${heading}\n`, 'm'));
  const [table = ''] = /^\|.*\n\|(?: --- \|)+\n(?:\|.*\n)+/m.exec(below) ?? [];
  const lines = table.trim().split('\n').slice(2);
  return lines.map((line) => line.split(/(?<!\\)\|/).map((cell) => cell.trim()));
}

function codeIn(cell = ''): readonly string[] {
  return Array.from(cell.matchAll(/`([^`]+)`/g), ([, code = '']) => code);
}

describe('docs/reference/documents.md', () => {
  const { properties } = DOCUMENT_SCHEMA;

  it.each([
    ['Keys', properties],
    ['Policies', properties.policies.additionalProperties.properties],
    ['Lists', properties.lists.additionalProperties.properties],
  ])('has below %s each key of a document, with its words', (heading, keys) => {
    const rows = new Map(rowsBelow('documents.md', heading).map(([, key = '', is = '']) => [key, is]));
    expect([...rows.keys()].sort()).toEqual(
      Object.keys(keys)
        .map((key) => `\`${key}\``)
        .sort(),
    );
    for (const [key, schema] of Object.entries(keys)) {
      const words: readonly string[] = 'enum' in schema ? schema.enum : [];
      const told = codeIn(rows.get(`\`${key}\``));
      const isSwitch = words.includes('true') && words.includes('false');
      const wanted = words.filter((word) => !(isSwitch && /^(true|false)$/.test(word)) && word !== 'reject');
      expect(told, key).toEqual(expect.arrayContaining(wanted));
    }
  });
});

it('docs/reference/documents.md has each key of a packet', () => {
  const fault = parsePacketLine('{"nothing-like-it": 1}');
  const known = fault.kind === 'fault' ? (/keys are (.*)$/.exec(fault.reason)?.[1] ?? '') : '';
  const told = rowsBelow('documents.md', 'Test a document').flatMap(([, key]) => codeIn(key));
  expect(told.sort()).toEqual(known.split(', ').sort());
});

describe('docs/reference/rule-language.md', () => {
  const options = rowsBelow('rule-language.md', 'Options').flatMap(([, cell]) => codeIn(cell));
  const NEEDS: Readonly<Record<string, string>> = {
    dstports: 'proto=tcp',
    icmptype: 'proto=icmp',
    private: 'dsthost=www.example',
  };

  it.each(options)('has %s as the parser takes it', (option) => {
    const [key = ''] = option.split('=');
    const isAction = /^(action=)?(accept|drop)$/.test(option);
    const line = isAction ? option : `accept ${NEEDS[key] ?? ''} ${option}`;
    expect(parseRule(line, 'egress', 0)).toMatchObject({ kind: 'rule' });
  });

  it.each<[Direction]>([['egress'], ['ingress']])('has each option of %s', (direction) => {
    const fault = parseRule('nothing=1', direction, 0);
    const known = fault.kind === 'fault' ? (/options are (.*)$/.exec(fault.reason)?.[1] ?? '') : '';
    const page = readFileSync(join(ROOT, 'docs/reference/rule-language.md'), 'utf8');
    expect(known.split(', ').length).toBeGreaterThan(10);
    expect(known.split(', ').filter((option) => !page.includes(`\`${option}=`))).toEqual([]);
  });
});

describe('docs/reference/endpoints.md', () => {
  const forms = rowsBelow('endpoints.md', 'Forms').flatMap(([, cell]) => codeIn(cell));
  const endpoints = forms
    .filter((form) => !form.startsWith('https:'))
    .map((form) => parseEndpoint(form.replace('DOMAIN', '3').replace('PORT', '1')));

  it('has each kind of endpoint, in a form that is read', () => {
    let known = '';
    try {
      parseEndpoint('nothing:');
    } catch (error) {
      known = String(error);
    }
    const kinds = Array.from(known.matchAll(/(?<= )([a-z+]+):/g), ([, kind]) => kind);
    expect([...new Set(endpoints.map(({ kind }) => kind))].sort()).toEqual(
      expect.arrayContaining(kinds.filter((kind) => kind !== 'nothing')),
    );
    expect(kinds.length).toBeGreaterThan(6);
  });
});

describe('docs/reference/limits.md', () => {
  const bytes = (count: number): string => {
    return count < 2 ** 20 ? `${count / 2 ** 10} KiB` : `${count / 2 ** 20} MiB`;
  };

  it.each([
    [
      'What you write',
      [
        bytes(FORMAT_LIMITS.inputBytes),
        bytes(PUSH_MAX_BYTES),
        bytes(FORMAT_LIMITS.documentBytes),
        bytes(FORMAT_LIMITS.lineBytes),
        FORMAT_LIMITS.entries,
        RULE_LINE_MAX_CHARS,
        COMMENT_MAX_CHARS,
        PART_NAME_MAX_BYTES,
        RESOLVED_NAMES_MAX,
        MESSAGE_MAX_BYTES,
        LISTS_MAX,
        URLS_MAX,
        MUST_REACH_MAX,
        SUBSCRIBERS_MAX,
        OPERATORS_MAX,
        ROWS_MAX,
      ],
    ],
    [
      'What a release holds',
      [PARTS_MAX, ENTRIES_MAX, UNCOUNTED_MAX, bytes(TRANSFER_MAX_BYTES), UNBOUND_SUBSCRIBERS_MAX],
    ],
  ])('gives below %s what the code has', (heading, limits) => {
    const told = rowsBelow('limits.md', heading).map(([, , most]) => most);
    expect(told).toEqual(limits.map((limit) => limit.toLocaleString('en-US')));
  });
});
