/**
 * What docs/explain/failures.md says is what system suites try: each line of its table has its
 * tests, and each of them is there.
 */

import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';

/**
 * The lines of the table in their order, each with the tests that try it: the suite
 * test/system/enforce-SUITE.test.ts, and their title.
 */
const FAILURES: readonly (readonly [line: string, ...tests: (readonly [suite: string, title: string])[]])[] =
  [
    [
      'no release came yet',
      ['trouble', 'lets nothing through before the first release, from before forwarding is on'],
      ['trouble', 'lets everything through before the first release with --boot open'],
      ['trouble', 'is not ready before its boot mode is in the kernel'],
    ],
    [
      'no table can be put into the kernel at the start',
      ['rights', 'ends with a sentence where its table belongs to another program'],
    ],
    [
      'a release has neither policies nor `unmatched`, such as one of lists alone',
      ['trouble', 'takes a release that has lists alone for none'],
    ],
    [
      'the kernel has no nftables, or refuses a release',
      ['applier', 'say what the kernel says where they may not change it'],
      [
        'trouble',
        'refuses a release that the kernel does not take, keeps the last good one in kernel, table and state',
      ],
      ['trouble', 'takes a refused release by itself once the kernel takes it'],
    ],
    [
      'the subscriber or the applier is killed',
      [
        'trouble',
        'keeps its rules in the kernel when its applier or itself is killed, and goes on afterwards',
      ],
    ],
    [
      'the applier hangs',
      ['trouble', 'has another applier adopt its rules where the one hangs'],
      ['trouble', 'ends soon although its applier hangs'],
    ],
    [
      'somebody calls `nft flush ruleset`, or tries to delete or change our tables',
      ['applier', 'are not moved by what others do to owned tables, and leave them to the next applier'],
    ],
    ['the same without owned tables', ['trouble', 'repairs its table when it is %s']],
    [
      'the same just after an applier was killed',
      ['trouble', 'lets nothing pass soon after its applier is killed and its tables are flushed%s'],
    ],
    [
      'somebody changes elements of sets, without owned tables',
      ['applier', 'look at elements every five minutes, unasked, and repair what is lacking'],
      ['applier', 'repair a set that is too large to be listed when it was emptied'],
      ['applier', 'repair a class map that is too large to be listed when it was emptied'],
    ],
    [
      'the subscriber starts',
      ['trouble', 'puts right at its start what was changed while it was away, without a publisher'],
      ['applier', 'start again while what was in force stays, and load it anew whatever was done to it'],
    ],
    [
      'nobody knows whether the release is enforced: the applier is silent, or its tables were taken away and cannot be loaded',
      [
        'trouble',
        'lets nothing pass and says that it does not enforce while its table can be neither kept nor loaded',
      ],
    ],
    [
      'a release would take more kernel memory than `--kernel-mib` (512)',
      ['bounds', 'does not give more kernel memory for %s'],
    ],
    [
      'refused packets cannot be logged, as another program reads the group',
      ['daemon', 'enforces as ever where another program reads the log, and says so to who asks'],
    ],
    [
      "Qubes' own tables are made anew",
      ['trouble', 'leaves the tables of Qubes alone, and stays when they are made anew'],
    ],
    [
      'the publisher is gone',
      ['trouble', 'puts right at its start what was changed while it was away, without a publisher'],
    ],
  ];

const PAGE = read('docs/explain/failures.md');

describe('the failures that docs/explain/failures.md lists', () => {
  it('are those that are tried', () => {
    const [, section = ''] = PAGE.split('## When something goes wrong\n');
    const [page = ''] = section.split('\n## ');
    const lines = [...page.matchAll(/^\| (.+?) \|/gm)].map(([, line]) => line).slice(2); // after its head
    expect(lines).toEqual(FAILURES.map(([line]) => line));
  });

  it.each(FAILURES)('%s', (_, ...tests) => {
    for (const [suite, title] of tests)
      expect(read(`test/system/enforce-${suite}.test.ts`)).toContain(`'${title}'`);
  });
});

function read(path: string): string {
  return readFileSync(new URL(`../${path}`, import.meta.url), 'utf8');
}
