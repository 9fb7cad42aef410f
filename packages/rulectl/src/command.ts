/** The commands by name, and the options that all of them have. */

import { defaultEndpoints, type WordRules } from '@rulecast/program';
import type { ArgumentsCamelCase, Argv } from 'yargs';
import type { ExitCode } from './terminal/exit.ts';
import { JSON_HELP, type Terminal } from './terminal/terminal.ts';

/** The work of a command line. */
export type Work = () => Promise<ExitCode>;

/** The options of every command. */
export interface GlobalArgs {
  readonly control: string;
  readonly 'no-color': boolean | undefined;
}

/** One command of commands/. */
export interface Command<A> {
  readonly command: string;
  readonly builder: (yargs: Argv<GlobalArgs>) => Argv<A>;
  readonly run: (args: ArgumentsCamelCase<A>, terminal: Terminal) => Promise<ExitCode>;
}
export type Add = <A extends object>(command: Command<A>) => void;

/**
 * The commands by name. A command line loads the one that it begins with: what the others need, such as
 * readers of lists and of YAML, would take longer than `rulectl status` itself.
 */
export const COMMANDS: ReadonlyMap<string, (add: Add) => Promise<void>> = new Map([
  ['status', async (add) => add(await import('./commands/status.ts'))],
  ['test', async (add) => add(await import('./commands/test.ts'))],
  ['log', async (add) => add(await import('./commands/log.ts'))],
  ['which', async (add) => add(await import('./commands/which.ts'))],
  ['history', async (add) => add(await import('./commands/history.ts'))],
  ['diff', async (add) => add(await import('./commands/diff.ts'))],
  ['push', async (add) => add(await import('./commands/push.ts'))],
  ['rollback', async (add) => add(await import('./commands/rollback.ts'))],
  ['block', async (add) => add(await import('./commands/block.ts'))],
  ['allow', async (add) => add(await import('./commands/allow.ts'))],
  ['cut', async (add) => add(await import('./commands/cut.ts'))],
  ['blocks', async (add) => add(await import('./commands/blocks.ts'))],
  ['check', async (add) => add(await import('./commands/check.ts'))],
  ['lists', async (add) => add(await import('./commands/lists.ts'))],
  ['lists show', async (add) => add(await import('./commands/lists-show.ts'))],
  ['lists add', async (add) => add(await import('./commands/lists-add.ts'))],
  ['lists outdated', async (add) => add(await import('./commands/lists-outdated.ts'))],
  ['lists search', async (add) => add(await import('./commands/lists-search.ts'))],
  ['lists try', async (add) => add(await import('./commands/lists-try.ts'))],
  ['lists refresh', async (add) => add(await import('./commands/lists-refresh.ts'))],
  ['init', async (add) => add(await import('./commands/init.ts'))],
  ['import', async (add) => add(await import('./commands/import.ts'))],
  ['doctor', async (add) => add(await import('./commands/doctor.ts'))],
  ['keys', async (add) => add(await import('./commands/keys.ts'))],
  ['names', async (add) => add(await import('./commands/names.ts'))],
  ['get', async (add) => add(await import('./commands/get.ts'))],
  ['export', async (add) => add(await import('./commands/export.ts'))],
  ['forget', async (add) => add(await import('./commands/forget.ts'))],
  ['metrics', async (add) => add(await import('./commands/metrics.ts'))],
  ['web', async (add) => add(await import('./commands/web.ts'))],
]);

/** The overview of commands in `rulectl --help`. */
export const COMMANDS_HELP = `
See:
  rulectl status         whether the firewalls enforce what is released; if not, what to do
  rulectl test           what happens to a packet, or to a name
  rulectl log            what firewalls refused, why, and which line would allow it
  rulectl which          which lists and rules hold an address or a name, and which decides
  rulectl history        what was released, when and why
  rulectl diff           what changed between two versions, or what files would change
  rulectl web            all of this as a page for a browser of this machine

Change:
  rulectl push           release what files say, and wait until the firewalls have it
  rulectl rollback       release an earlier version again
  rulectl block          drop an address, a name or a list now, for all qubes or for one
  rulectl allow          accept one now, for one qube
  rulectl cut            cut a qube off the network
  rulectl blocks         what these three did, and until when; --remove ends it
  rulectl check          check files and configurations, and try packets on them, before a release

Lists:
  rulectl lists          where lists come from, how fresh they are, and what is in them

Set up:
  rulectl init           block ads or a country, or allow some names alone: asks, and writes the
                         first configuration
  rulectl import         make a rule set document of the firewall rules of qubes
  rulectl doctor         what keeps this machine from working, and what to do
  rulectl keys           who may sign releases, how that is changed, and keys for zmq+tcp: endpoints
`;

/** The further commands in `rulectl --help --all`. */
export const SELDOM_HELP = `
Seldom needed:
  rulectl names          which addresses are open by name, on the firewall itself
  rulectl get            a release, a policy or a list as a document that can be pushed
  rulectl export         a policy as rules of qvm-firewall, for firewalls that follow no publisher
  rulectl forget         no longer expect a subscriber that is gone for good
  rulectl metrics        metrics for Prometheus
`;

/** The list of second words in the help of a command that takes one. */
export const SECOND_WORDS_HELP: Readonly<Record<string, string>> = {
  lists: `
Commands:
  rulectl lists show      one list: its source, its content, its changes
  rulectl lists refresh   read lists from their sources now
  rulectl lists search    public feeds that the catalogue knows
  rulectl lists try       a URL, file or feed before it is a list: format, content, cost
  rulectl lists add       a feed of the catalogue, into the configuration of the publisher
  rulectl lists outdated  which lists have moved or ended, as far as the catalogue knows
`,
};

/** Which options a command accepts several times; some, such as `--qube`, only one command. */
export function wordRulesOf(command: string): WordRules {
  const own = command === 'init' ? ['firewall', 'preset', 'qube', 'country', 'name', 'interface'] : [];
  return {
    repeatable: new Set(['require', 'known-list', 'permit', 'test', 'address', 'remove', ...own]),
    mayBeEmpty: new Set(['dns']), // an empty value: no address
    hasOpposites: false, // --no-wait and --no-color are options of their own
  };
}

/** Declares the options that every command has. */
export function withGlobalOptions(
  yargs: Argv<object>,
  environment: Terminal['environment'],
): Argv<GlobalArgs> {
  return yargs
    .option('control', {
      type: 'string',
      requiresArg: true,
      default: defaultEndpoints(environment).control,
      describe: 'where the publisher listens',
    })
    .option('curve-key', {
      type: 'string',
      requiresArg: true,
      describe: 'file of the own secret key, for --control zmq+tcp:… (rulectl keys new makes it)',
    })
    .option('curve-peer', {
      type: 'string',
      requiresArg: true,
      describe: "the publisher's public key, or a file that holds it",
    })
    .option('json', { type: 'boolean', describe: JSON_HELP })
    .option('no-color', { type: 'boolean', describe: 'no colours; NO_COLOR=1 does the same' });
}
