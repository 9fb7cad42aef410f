/**
 * What the documents name is there: paths, links, headings and constants. A move or a rename that forgets
 * them fails here.
 */

import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { ROOMS } from '../rooms.mjs';
import { ROOT } from './docs/blocks.ts';

const FOLDERS = ['packages', 'protocol', 'test', 'docs', 'examples', 'packaging'];
const FILES = FOLDERS.flatMap(filesBelow);
const BASENAMES = new Set(FILES.map((path) => path.slice(path.lastIndexOf('/') + 1)));
const DOCUMENTS = ['README.md', 'ARCHITECTURE.md', 'CONTRIBUTING.md', 'SECURITY.md', ...FILES].filter(
  (path) => path.endsWith('.md') && !path.includes('/fixtures/') && existsSync(join(ROOT, path)),
);

/**
 * The source of each package by the short name that documents use: `publisher` for `packages/publisher/src`.
 */
const SOURCES = new Map(Object.keys(ROOMS).map((home) => [home.replace('packages/', ''), `${home}/src`]));

function filesBelow(folder: string): readonly string[] {
  return readdirSync(join(ROOT, folder), { withFileTypes: true }).flatMap((entry) => {
    const path = `${folder}/${entry.name}`;
    if (entry.isDirectory()) return /^(\.|node_modules$|dist$)/.test(entry.name) ? [] : filesBelow(path);
    return [path];
  });
}

function textOf(document: string): string {
  return readFileSync(join(ROOT, document), 'utf8');
}

/**
 * Files and folders that a text names from the root: `packages/table/src/limits.ts`, `test/run`; `*` stands
 * for any folder.
 */
function pathsFromRoot(text: string): readonly string[] {
  const found = text.matchAll(
    /(?<![\w@./<-])(?:packages|protocol\/(?:src|test|vectors)|test|docs|examples|packaging|\.ci)\/[\w./*-]*[\w*]/g,
  );
  return [...new Set([...found].map(([path]) => path))];
}

/** What a text names as `publisher/session/offers`: a file or a folder of the source of a package. */
function placesInPackages(text: string): readonly string[] {
  const names = [...SOURCES.keys()].join('|');
  const found = text.matchAll(new RegExp(`(?<![\\w@./-])(?:${names})/[a-z][a-z0-9/.-]*[a-z0-9]`, 'g'));
  return [...new Set([...found].map(([place]) => place))].filter(
    (place) => !/^protocol\/(src|test|vectors)\b/.test(place),
  );
}

function isThere(path: string): boolean {
  if (!path.includes('*')) return existsSync(join(ROOT, path));
  const pattern = new RegExp(`^${path.replaceAll('.', '\\.').replaceAll('*', '[^/]+')}(/|$)`);
  return FILES.some((file) => pattern.test(file));
}

function isSource(place: string): boolean {
  const [name = '', ...rest] = place.split('/');
  const path = join(ROOT, SOURCES.get(name) ?? '', ...rest);
  return existsSync(path) || existsSync(`${path}.ts`) || existsSync(join(ROOT, place));
}

/** As GitHub makes the anchor of a heading. */
function anchorsOf(document: string): readonly string[] {
  const headings = textOf(document).matchAll(/^#+ (.+)$/gm);
  return [...headings].map(([, heading = '']) =>
    heading
      .toLowerCase()
      .replace(/[^\p{L}\p{N} _-]/gu, '')
      .replaceAll(' ', '-'),
  );
}

describe.each(DOCUMENTS)('%s', (document) => {
  const text = textOf(document);

  it('has nothing that a merge left open', () => {
    expect(textOf(document)).not.toMatch(/^(<{7}|={7}|>{7})( |$)/m);
  });

  it('names files and folders that are there', () => {
    expect(pathsFromRoot(text).filter((path) => !isThere(path))).toEqual([]);
  });

  it('names places in packages that are there', () => {
    expect(placesInPackages(text).filter((place) => !isSource(place))).toEqual([]);
  });

  it('names source files that are there, where it gives no folder', () => {
    const names = [...text.matchAll(/`([a-z][\w-]*\.(?:test\.)?(?:ts|mjs))`/g)].map(([, name = '']) => name);
    expect(names.filter((name) => !BASENAMES.has(name) && !existsSync(join(ROOT, name)))).toEqual([]);
  });

  it('links to what is there', () => {
    const targets = [...text.matchAll(/\]\(([^)\s]+)\)/g)].map(([, target = '']) => target);
    const broken = targets.filter((target) => {
      if (/^[a-z]+:/.test(target)) return false;
      const [path = '', anchor] = target.split('#');
      const file = path === '' ? document : join(dirname(document), path);
      if (!existsSync(join(ROOT, file))) return true;
      const isHeading = anchor !== undefined && statSync(join(ROOT, file)).isFile();
      return isHeading && !anchorsOf(file).includes(anchor);
    });
    expect(broken).toEqual([]);
  });
});

/**
 * Chapters that a text cites, as `docs/explain/design.md "Limits"` or `WIRE.md "Frames", "Time"`, also where
 * a comment folds or a string of JSON escapes it.
 */
function citationsOf(text: string): readonly { readonly document: string; readonly chapter: string }[] {
  const flat = text.replace(/\n[ \t]*(?:\*|\/\/|#)?[ \t]*/g, ' ').replaceAll('\\"', '"');
  const found = flat.matchAll(
    /(docs\/[\w./-]+\.md|\b(?:PROTOCOL|WIRE|CONTENT|MEANING|CONTROL)\.md)((?:(?:,| and|)\s"[^"]+")+)/g,
  );
  return [...found].flatMap(([, document = '', chapters = '']) =>
    [...chapters.matchAll(/"([^"]+)"/g)].map(([, chapter = '']) => ({
      document: document.startsWith('docs/') ? document : `protocol/${document}`,
      chapter,
    })),
  );
}

describe('chapters that are cited', () => {
  const sources = [
    ...FILES.filter((path) => /\.(ts|mjs|py|ml|json)$/.test(path) && !path.includes('/fixtures/')),
    ...DOCUMENTS,
  ];

  // A page that was never part of the repository was cited in thirteen places.
  it('are there', () => {
    const headings = new Map<string, ReadonlySet<string>>();
    const isHeading = (document: string, chapter: string): boolean => {
      if (!existsSync(join(ROOT, document))) return false;
      const known =
        headings.get(document) ??
        new Set([...textOf(document).matchAll(/^##+ (.+)$/gm)].map(([, heading = '']) => heading));
      headings.set(document, known);
      return known.has(chapter);
    };
    const cited = sources.flatMap((path) =>
      citationsOf(textOf(path)).map((citation) => ({ path, ...citation })),
    );
    expect(cited.length).toBeGreaterThan(150);
    expect(cited.filter(({ document, chapter }) => !isHeading(document, chapter))).toEqual([]);
  });

  it.each([
    [
      `// WIRE.md "Frames" and
       // "Time".`,
      ['Frames', 'Time'],
    ],
    [
      ` * (CONTENT.md "Delta
        * and snapshot", "Budget")`,
      ['Delta and snapshot', 'Budget'],
    ],
    ['"about": "MEANING.md \\"Host names\\""', ['Host names']],
    ['CONTROL.md', []],
  ])('are found in %j', (text, chapters) => {
    expect(citationsOf(text).map(({ chapter }) => chapter)).toEqual(chapters);
  });
});

describe('docs/explain/design.md', () => {
  const rows = [...textOf('docs/explain/design.md').matchAll(/^\| `([A-Z][A-Z0-9_]+)` \| ([\d,]+) \|/gm)];
  const code = FILES.filter((path) => /^(protocol|packages\/[a-z]+)\/src\/.*\.ts$/.test(path)).map(textOf);

  it.each(rows.map(([, name = '', value = '']) => [name, Number(value.replaceAll(',', ''))] as const))(
    'gives %s as the code has it',
    (name, value) => {
      const defined = new RegExp(`const ${name} = ([\\d_]+(?: \\*{1,2} [\\d_]+)*);`);
      const found = code.map((text) => defined.exec(text)?.[1]).filter((one) => one !== undefined);
      expect(found.map(productOf)).toContain(value);
    },
  );

  it('gives limits at all', () => {
    expect(rows.length).toBeGreaterThan(10);
  });
});

describe('docs/explain/how-others-failed.md', () => {
  const flat = textOf('docs/explain/how-others-failed.md').replaceAll('\n', ' ');
  const named = [...flat.matchAll(/\*\*Test:\*\* `([^`]+)`((?:, "[^"]+")+)/g)];
  const tests = named.flatMap(([, path = '', titles = '']) =>
    [...titles.matchAll(/"([^"]+)"/g)].map(([, title = '']) => [path, title] as const),
  );

  it.each(tests)('names a test of %s that is there: %s', (path, title) => {
    expect(textOf(path)).toContain(`'${title}'`);
  });

  it('names a test for each failure', () => {
    expect(named).toHaveLength([...flat.matchAll(/\*\*Here\*\*/g)].length);
  });
});

describe('README.md', () => {
  const text = textOf('README.md');
  const rows = [...text.replace(/^.*?^## Figures$/ms, '').matchAll(/^\| [^|]+\| ([^|]+)\| ([^|]+)\|$/gm)];
  const figures = rows.flatMap(
    ([, ours = '', peer = '']) => `${ours}${peer}`.match(/\d+(?:[.,]\d+)*/g) ?? [],
  );

  it('has at most 900 words outside code', () => {
    const words = text.replace(/^```[\s\S]*?^```$/gm, '').match(/\S+/g);
    expect(words?.length).toBeLessThanOrEqual(900);
  });

  it.each(figures)('gives %s as docs/explain/performance.md does', (figure) => {
    const given = textOf('docs/explain/performance.md').match(/\d+(?:[.,]\d+)*/g);
    expect(given).toContain(figure);
  });

  it('gives figures beside peers', () => {
    expect(rows.length).toBeGreaterThanOrEqual(4);
  });
});

describe('docs/index.md', () => {
  const linked = [...textOf('docs/index.md').matchAll(/\]\(([^)#\s]+)\)/g)].map(([, path = '']) =>
    join('docs', path),
  );
  const pages = DOCUMENTS.filter((path) => /^docs\/(?!index\.md|contribute\/adr\/)/.test(path));

  it.each(pages)('links to %s', (page) => {
    expect(linked).toContain(page);
  });

  it('links to each page once', () => {
    expect(linked.filter((path, index) => linked.indexOf(path) !== index)).toEqual([]);
  });
});

/** `64 * 1024` or `2 ** 21`, as constants are written. */
function productOf(expression: string): number {
  const power = /^([\d_]+) \*\* ([\d_]+)$/.exec(expression);
  const number = (text = ''): number => Number(text.replaceAll('_', ''));
  if (power !== null) return number(power[1]) ** number(power[2]);
  return expression.split(' * ').reduce((product, factor) => product * number(factor), 1);
}

describe('docs/contribute/adr', () => {
  const records = FILES.filter((path) => path.startsWith('docs/contribute/adr/'));

  it('are numbered one after the other', () => {
    const numbers = records.map((path) => Number(/adr\/(\d+)/.exec(path)?.[1]));
    expect(numbers.sort((a, b) => a - b)).toEqual(records.map((_, index) => index + 1));
  });

  it.each(records)('%s has its number, status and decision on top', (path) => {
    const number = Number(/\d+/.exec(path.slice('docs/contribute/adr/'.length))?.[0]);
    expect(textOf(path)).toMatch(
      new RegExp(`^# ${number}\\. .+\\n\\n\\*\\*Status:\\*\\* \\w+.*\\n\\n\\*\\*Decision:\\*\\* \\S`),
    );
  });
});
