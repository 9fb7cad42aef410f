/**
 * Error codes: packages/rulectl/errors.json has every code that the source can print, and no other;
 * docs/reference/errors.md and exit-codes.md are made of the tables. `npx vitest run
 * test/error-codes.test.ts -u` writes the pages anew.
 */

import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { PERMITS } from '../packages/publisher/src/guards/permits.ts';
import { ERROR_GROUPS, errorPage } from '../packages/rulectl/src/terminal/error-page.ts';
import { EXIT_MEANINGS } from '../packages/rulectl/src/terminal/exit.ts';
import { rulectl } from '../packages/rulectl/test/cli.ts';

const ROOT = fileURLToPath(new URL('..', import.meta.url));
/** Codes of ends that are no errors. */
const NO_ERRORS = ['good', 'same', 'unchanged', 'released'];

/** Where a code stands in the source: a table of codes, an error that is thrown, a record, a reject. */
const TABLES = /const \w*(?:Fault|Code|FAULT\w*|CODES)\b[^=]*= \{([^}]*)\}/g;
const CODES = [
  /new (?:CliError|EndpointError|EndpointInUseError|ChannelConnectError)\(\s*(?:[^'()]*,\s*)?'([a-z0-9-]+)'/g,
  /\bcode: '([a-z0-9-]+)'/g,
  /\breject\w*\([^;]{0,80}?, '([a-z]+(?:-[a-z0-9]+)+)'/g,
  /const \w*FAULT = '([a-z0-9-]+)'/g,
];

const CONSTANT = /const ([A-Z][A-Z_]+)(?:: \w+)? = '([\w-]+)'/g;

function codesOfSource(): ReadonlySet<string> {
  const found = new Set<string>(Object.keys(PERMITS));
  const listed = execFileSync('git', ['ls-files', 'packages/*/src/*.ts', 'protocol/src/error.ts'], {
    cwd: ROOT,
    encoding: 'utf8',
  });
  const files = listed.trim().split('\n');
  const texts = files
    .filter((path) => !path.startsWith('packages/dns/'))
    .map((file) => readFileSync(`${ROOT}/${file}`, 'utf8'));
  const constants = new Map(
    texts.flatMap((text) =>
      Array.from(text.matchAll(CONSTANT), ([, name = '', value = '']) => [name, value] as const),
    ),
  );
  for (const text of texts) {
    for (const [, name = ''] of text.matchAll(/\bcode: ([A-Z][A-Z_]+)\b/g)) {
      const code = constants.get(name) ?? `the value of ${name}`;
      if (!/^E[A-Z_]+$/.test(code)) found.add(code); // Node's, which a code of ours takes the place of
    }
    for (const [, body = ''] of text.matchAll(TABLES))
      for (const [, code = ''] of body.matchAll(/: '([a-z][a-z0-9-]*)'/g)) found.add(code);
    for (const pattern of CODES) for (const [, code = ''] of text.matchAll(pattern)) found.add(code);
  }
  return found;
}

const known = ERROR_GROUPS.flatMap(({ codes }) => Object.keys(codes));

describe('the table of error codes', () => {
  it('has every code of the source, and no other', () => {
    const wanted = [...codesOfSource()].filter((code) => !NO_ERRORS.includes(code));
    expect(wanted.length).toBeGreaterThan(300);
    expect(known.toSorted()).toEqual(wanted.toSorted());
  });

  it('has sentences', () => {
    for (const code of known) expect(errorPage(code)).toMatch(/^\S+: .+\.\n\nWhy: {2}.+\.\nCure: .+\.$/);
  });
});

describe('rulectl help CODE', () => {
  it('prints the page of a code without a publisher', async () => {
    const { stdout, exit } = await rulectl(['help', 'version-moved']);
    expect(stdout).toBe(`${errorPage('version-moved')}\n`);
    expect(exit).toBe(0);
  });

  it('prints it below the help of a command of that name', async () => {
    const { stdout } = await rulectl(['help', 'status']);
    expect(stdout).toContain('rulectl status\n');
    expect(stdout).toContain(`As an error code, ${errorPage('status')}`);
  });

  it('is named by a message that has a code', async () => {
    const { stderr } = await rulectl(['status', '--control', 'unix:/nowhere/x.sock']);
    expect(stderr).toMatch(/^rulectl: no publisher answers .* \(rulectl help unreachable\)\n$/);
  });

  it('refuses what is no code', async () => {
    expect(await rulectl(['help', 'no-such-code'])).toMatchObject({ exit: 64 });
  });
});

const MADE_OF = 'by test/error-codes.test.ts: change that.';

describe('the pages', () => {
  it('of error codes is what the table says', async () => {
    const groups = ERROR_GROUPS.flatMap(({ title, cause, cure, codes }) => [
      ...['', `## ${title}`, '', '| code | what it means | why | what to do |', '| --- | --- | --- | --- |'],
      ...Object.entries(codes).map(
        ([code, entry]) =>
          `| \`${code}\` | ${entry.means} | ${entry.cause ?? cause} | ${entry.cure ?? cure} |`,
      ),
    ]);
    const text = `<!-- Made of packages/rulectl/errors.json ${MADE_OF} -->

# Error codes

Each error has a code, which does not change from version to version. \`rulectl\` names it behind the
message, \`--json\` in the field [\`code\`](json.md#error), and the daemons in their logs. \`rulectl help
CODE\` prints what stands here, without a network. For the exit code of a command see
[exit-codes.md](exit-codes.md).
`;
    await expect(`${text}${groups.join('\n')}\n`).toMatchFileSnapshot('../docs/reference/errors.md');
  });

  it('of exit codes is what the table says', async () => {
    const rows = Object.entries(EXIT_MEANINGS).map(([code, meaning]) => `| ${code} | ${meaning} |`);
    const text = `<!-- Made of packages/rulectl/src/terminal/exit.ts ${MADE_OF} -->

# Exit codes

All programs of Rulecast end with a code of this table. With \`--json\` it is also in the record
[\`end\`](json.md#end).

| code | what it means |
| --- | --- |
${rows.join('\n')}

- Daemons use 0, 1, 64, 70, 74 and 141. Theirs is 1 if they cannot start or go on, and the log says
  why.
- \`rulectl status --check\` has codes of its own, for monitoring: 0 well, 1 degraded, 2 not enforced,
  3 unreachable.
- \`rulectl diff\` ends with 1 if there are differences, as \`diff\` does.

The reason behind a code has a name: see [errors.md](errors.md).
`;
    await expect(text).toMatchFileSnapshot('../docs/reference/exit-codes.md');
  });
});
