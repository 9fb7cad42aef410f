/** Reference pages that are written by hand have all that the code takes, and nothing else. */

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Direction, parseRule } from '@rulecast/rules';
import { parseEndpoint } from '@rulecast/vchan';
import { describe, expect, it } from 'vitest';
import { DOCUMENT_SCHEMA } from '../packages/formats/src/document/schema.ts';
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
