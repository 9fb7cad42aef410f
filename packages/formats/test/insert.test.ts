/** Lines put into a document: nothing else of it changes. */

import { describe, expect, it } from 'vitest';
import { insertLines, mergeDocument, parseConfig } from '../src/index.ts';

const LINES = ['# why', 'x:', '  entries: [192.0.2.1]'];

describe('lines put into lists:', () => {
  it.each([
    ['an empty file', '', 'lists:\n  # why\n  x:\n    entries: [192.0.2.1]\n'],
    ['a comment alone', '# mine\n', '# mine\nlists:\n  # why\n  x:\n    entries: [192.0.2.1]\n'],
    [
      'no such key',
      'state: s\n# end\n',
      'state: s\n# end\n\nlists:\n  # why\n  x:\n    entries: [192.0.2.1]\n',
    ],
    ['no end of the last line', 'state: s', 'state: s\n\nlists:\n  # why\n  x:\n    entries: [192.0.2.1]\n'],
    [
      'empty braces, and what follows them',
      'lists: {} # none\nrules: r\n',
      'lists: # none\n  # why\n  x:\n    entries: [192.0.2.1]\nrules: r\n',
    ],
    ['nothing', 'lists:\nrules: r\n', 'lists:\n  # why\n  x:\n    entries: [192.0.2.1]\nrules: r\n'],
    [
      'its own indent, comments and blank lines',
      'lists:   # mine\n\n    a: { file:   a.txt }   # b\n    # of the lists\n\n# of the rules\nrules:  r\n',
      'lists:   # mine\n\n    a: { file:   a.txt }   # b\n    # of the lists\n    # why\n    x:\n      entries: [192.0.2.1]\n\n# of the rules\nrules:  r\n',
    ],
    [
      'the last place, a block of text before it',
      'lists:\n  a:\n    file: >-\n      a\n\n      b\n',
      'lists:\n  a:\n    file: >-\n      a\n\n      b\n  # why\n  x:\n    entries: [192.0.2.1]\n',
    ],
    [
      'ends of lines of Windows',
      'lists:\r\n  a: { file: a }\r\n',
      'lists:\r\n  a: { file: a }\r\n  # why\r\n  x:\r\n    entries: [192.0.2.1]\r\n',
    ],
    [
      'a mark of Windows before it',
      '\uFEFF# a\nlists:\n  a: { file: a }\nrules: r\n',
      '\uFEFF# a\nlists:\n  a: { file: a }\n  # why\n  x:\n    entries: [192.0.2.1]\nrules: r\n',
    ],
  ])('of %s leave every other byte', (_what, before, after) => {
    const text = insertLines(before, 'lists', LINES);
    expect(text).toBe(after);
  });

  it.each([
    ['in braces', 'lists: { a: { file: a.txt } }\n'],
    ['in braces on lines of their own', 'lists: {\n  a: { file: a.txt },\n}\n'],
    ['of a document in braces', '{ lists: {} }\n'],
    ['of JSON', '{"state": "s"}'],
    ['that are a text', 'lists: none\n'],
    ['that are an empty text', 'lists: ""\n'],
    ['that are a sequence', 'lists: [a]\n'],
    ['of a broken document', 'lists: [\n'],
    ['of two documents', 'state: s\n---\nstate: t\n'],
  ])('%s: there is no line to put them', (_what, text) => {
    expect(insertLines(text, 'lists', LINES)).toBeUndefined();
  });

  it('mean what merging means', () => {
    const before = 'state: s\nlists:\n  a: { entries: [192.0.2.9] }\nrules: r.yaml\n';
    const merged =
      mergeDocument(before, `lists:\n  x:\n    entries: [192.0.2.1]\n`, new Set(['lists'])) ?? '';
    const of = (text: string) => {
      const { config, rejects } = parseConfig('publisher.yaml', Buffer.from(text));
      expect(rejects).toEqual([]);
      return [...(config?.lists ?? [])].map(([name, { source, guard }]) => ({ name, source, guard }));
    };
    expect(of(insertLines(before, 'lists', LINES) ?? '')).toEqual(of(merged));
  });
});
