/** What shells complete of `rulectl`: with a publisher, without one, and with one that does not answer. */

import { spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, existsSync, mkdirSync, mkdtempSync, realpathSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { bashCompletion, fishCompletion, zshCompletion } from '../../packaging/completion.mjs';
import { helpOf } from '../../packaging/help.mjs';
import { ROOT } from '../docs/blocks.ts';
import { type Daemon, rulectl, startPublisher, startSubscriber } from '../processes.mjs';

const RULECTL = join(ROOT, 'packages/rulectl/bin/rulectl.js');
const program = helpOf(RULECTL, 'rulectl');
const home = mkdtempSync(join(realpathSync(tmpdir()), 'rulecast-completions-'));
const at = (path: string): string => join(home, path);
/** Runtime directories, by whether there is a publisher in them. */
const RUNTIME = { here: at('here'), away: at('away'), deaf: at('deaf') };
/** Where `rulectl` prints a name that a shell could run. */
const HOSTILE = at('hostile');
const control = `unix:${RUNTIME.here}/rulecast/control.sock`;
const daemons: Daemon[] = [];
/** Takes connections, and says nothing. */
const deaf = createServer(() => undefined);

/** Types a line on a terminal of zsh, and prints each completion as <it>. */
const ZSH_DRIVER = `
zmodload zsh/zpty
zpty -b shell zsh -f -i
zpty -w shell "PROMPT=; fpath=($1 \\$fpath); autoload -Uz compinit; compinit -u -D"
zpty -w shell 'compadd() {
  if [[ \${@[1,(i)(-|--)]} == *-(O|A|D)\\ * ]]; then builtin compadd "$@"; return; fi
  local -a found; builtin compadd -A found "$@"
  (( $#found )) || return 1
  print -rl -- "<"\${^found}">"
}'
zpty -w shell 'zle -C one complete-word _main_complete'
zpty -w shell 'all() { zle one; print "<""end>"; zle kill-buffer }; zle -N all; bindkey "^X" all; print "<""ready>"'
zpty -r shell screen '*<ready>*'
zpty -w -n shell "$2"$'\\x18'
zpty -r shell screen '*<end>*'
print -r -- $screen
zpty -d shell
`;

beforeAll(async () => {
  for (const folder of ['bin', 'files', 'here/rulecast', 'away', 'deaf/rulecast'])
    mkdirSync(at(folder), { recursive: true });
  writeFileSync(
    at('bin/rulectl'),
    `#!/bin/sh
[ "$XDG_RUNTIME_DIR" != ${HOSTILE} ] || { echo '$(touch ran)'; exit; }
exec ${process.execPath} ${RULECTL} "$@"
`,
  );
  chmodSync(at('bin/rulectl'), 0o755);
  for (const name of ['a.yaml', 'drop.txt']) writeFileSync(at(`files/${name}`), '');
  writeFileSync(at('rulectl.bash'), bashCompletion(program));
  writeFileSync(at('rulectl.fish'), fishCompletion(program));
  writeFileSync(at('_rulectl'), zshCompletion(program));
  writeFileSync(at('ask.zsh'), ZSH_DRIVER);
  await once(deaf.listen(at('deaf/rulecast/control.sock')), 'listening');
  const directory = at('here/rulecast');
  daemons.push(await startPublisher(directory), await startSubscriber(directory, 'sys-firewall'));
  for (const [what, content] of [
    [['--list', 'drop'], '192.0.2.1\n'],
    [['--list', 'drop-more'], '192.0.2.2\n'],
    [
      [],
      'unmatched: drop\npolicies:\n  work:\n    prefixes: [10.137.0.5]\n    egress: [accept dst4=192.0.2.7]\n',
    ],
  ] as const) {
    const { code, stdout, stderr } = await rulectl(directory, ['push', ...what, '-'], content);
    if (code !== 0) throw new Error(stdout + stderr);
  }
});

afterAll(async () => {
  for (const daemon of daemons.reverse()) await daemon.stop();
  deaf.close();
  rmSync(home, { recursive: true, force: true });
});

/** What a shell writes. Throws for anything on standard error. */
function written(command: string, args: readonly string[], runtime: string): string {
  const { stdout, stderr } = spawnSync(command, args, {
    cwd: at('files'),
    encoding: 'utf8',
    env: { HOME: '/', PATH: `${at('bin')}:${process.env['PATH']}`, XDG_RUNTIME_DIR: runtime },
  });
  if (stderr !== '') throw new Error(stdout + stderr);
  return stdout;
}

/** Each shell, by what it completes at the end of a line. */
const SHELLS: Readonly<Record<string, (line: string, runtime: string) => readonly string[]>> = {
  bash: (line, runtime) => {
    // A terminal breaks words at = and :, too.
    const words = Array.from(line.matchAll(/[=:]|[^\s=:]+/g), ([word]) => `'${word}'`);
    if (line.endsWith(' ')) words.push("''");
    const ask = `source ${at('rulectl.bash')}; COMP_LINE='${line}' COMP_WORDS=(${words.join(' ')}); COMP_CWORD=${words.length - 1}; _rulectl; printf '%s\\n' "\${COMPREPLY[@]}"`;
    return written('bash', ['--norc', '-c', ask], runtime).split('\n').filter(Boolean);
  },
  fish: (line, runtime) => {
    const ask = `source ${at('rulectl.fish')}; complete -C '${line}'`;
    return written('fish', ['--no-config', '-c', ask], runtime)
      .split('\n')
      .flatMap((answer) => answer.split('\t')[0] || []);
  },
  zsh: (line, runtime) => {
    const screen = written('zsh', ['-f', at('ask.zsh'), home, line], runtime);
    return Array.from(screen.matchAll(/<([^<>]+)>\r?\n/g), ([, found = '']) => found).slice(0, -1);
  },
};

/** Lines, and what may come. */
const STATIC: readonly (readonly [line: string, answers: readonly string[]])[] = [
  ['pu', ['push']],
  ['status --cou', ['--counters']],
  ['status ', []],
  ['push --dry', ['--dry-run']],
  ['push --nothing-like-it', []],
  ['lists sh', ['show']],
  ['lists --sour', ['--sources']],
  ['lists show --st', ['--stats']],
  ['lists show --sources', []],
  ['lists outd', ['outdated']],
  ['get pol', ['policy']],
  ['push a', ['a.yaml']],
  ['push --message x dr', ['drop.txt']],
  ['log --qube ', []],
  ['which ', []],
  ['test dr', []],
  ['push --wait rel', ['released']],
];
const LIVE: typeof STATIC = [
  ['lists show ', ['drop', 'drop-more']],
  ['lists refresh drop drop-', ['drop-more']],
  [`lists show --control ${control} drop-`, ['drop-more']],
  ['push --list drop-', ['drop-more']],
  ['push --list=drop-', ['drop-more']],
  ['get list ', ['drop', 'drop-more']],
  ['get policy ', ['work']],
  ['which 192.0.2.1 --qube ', ['work']],
  ['block @drop-', ['@drop-more']],
  ['forget ', ['sys-firewall']],
  ['test 192.0.2.1 --subscriber ', ['sys-firewall']],
  ['rollback ', ['1', '2', '3']],
  ['diff ', ['1', '2', '3']],
  ['export qubes ', ['work']],
];

/** A busy machine may miss the deadline, which is to complete nothing. */
const POLL = { timeout: 60_000, interval: 10 };

describe.each(Object.entries(SHELLS).filter(([shell]) => isThere(shell)))('%s', (shell, complete) => {
  it.each(STATIC)('completes rulectl %s', (line, answers) => {
    expect(found(line, RUNTIME.away)).toEqual(answers);
  });

  it.each(LIVE)('completes the names of a publisher: rulectl %s', async (line, answers) => {
    const names = (): readonly string[] => found(line, RUNTIME.here).filter((name) => !isFile(line, name));
    await expect.poll(names, POLL).toEqual(answers);
  });

  it('completes nothing, no file either, where no publisher answers', () => {
    expect(found('lists show dr', RUNTIME.away)).toEqual([]);
    expect(found('push --list dr', RUNTIME.deaf)).toEqual([]);
  });

  // bash expands the words of `compgen -W`: a name of a publisher ran as a command.
  it('runs no name that rulectl prints', () => {
    rmSync(at('files/ran'), { force: true });
    complete('rulectl get list ', HOSTILE);
    expect(existsSync(at('files/ran'))).toBe(false);
  });

  /** In the order of the alphabet, as some shells do; an option with = as its value. */
  function found(line: string, runtime: string): readonly string[] {
    const answers = complete(`rulectl ${line}`, runtime);
    return answers.map((answer) => answer.replace(/^--[a-z-]+=/, '').trimEnd()).sort();
  }

  /** fish has files beside the versions. */
  function isFile(line: string, name: string): boolean {
    return shell === 'fish' && line.startsWith('diff') && /\.(yaml|txt)$/.test(name);
  }
});

it.each(Object.entries(RUNTIME))('takes no more than 250 ms, as a whole process: %s', async (_, runtime) => {
  const tookMs = (): number => {
    const beganMs = performance.now();
    written(at('bin/rulectl'), ['__complete', 'list'], runtime);
    return performance.now() - beganMs;
  };
  await expect.poll(tookMs, POLL).toBeLessThan(250); // a busy machine starts a process late
});

it('knows what the words after each command are', () => {
  const complete = SHELLS['bash'];
  for (const [command, { positionals }] of program.commands) {
    const isOfFiles = positionals.length === 1 && positionals[0]?.name === 'file';
    if (isOfFiles) expect(complete?.(`rulectl ${command} a`, RUNTIME.away), command).toEqual(['a.yaml']);
    if (positionals.length === 0 && command !== 'lists')
      expect(complete?.(`rulectl ${command} a`, RUNTIME.away), command).toEqual([]);
  }
});

/** Whether a shell can be asked. Says so if not, and throws where CI=true. */
function isThere(shell: string): boolean {
  if (spawnSync('which', [shell]).status === 0) return true;
  if (process.env['CI'] === 'true') throw new Error(`${shell} is not installed`);
  console.log(`completions of ${shell} are not tried: it is not installed`);
  return false;
}
