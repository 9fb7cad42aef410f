/**
 * Options that programs had. Until 0.4 a program accepts and ignores them, with a message at its start on
 * what to do instead: with an exit 64, a firewall whose unit has one would not start after an upgrade.
 */

import type { Argv } from 'yargs';

interface GoneOption {
  /** Its former form: a switch, or an option with any value. */
  readonly type: 'boolean' | 'string';
  /** Its replacement, as the end of a sentence. */
  readonly instead: string;
}

const HISTORY = 'write history: in the configuration, such as history: 30d';

/** By program, and by option. */
export const GONE_OPTIONS: Readonly<Record<string, Readonly<Record<string, GoneOption>>>> = {
  'rulecast-publisher': {
    'auto-epoch': {
      type: 'boolean',
      instead: 'after a loss of the store, run rulectl push or rollback --as-new-epoch',
    },
    'archive-days': { type: 'string', instead: HISTORY },
    'archive-releases': { type: 'string', instead: HISTORY },
    'archive-mib': { type: 'string', instead: HISTORY },
    'wire-history-mib': { type: 'string', instead: 'up to 64 MiB of deltas are kept for subscribers' },
  },
  'rulecast-subscriber': {
    'check-minutes': { type: 'string', instead: 'the kernel is checked every 5 minutes' },
    'sources-checked': {
      type: 'boolean',
      instead: 'names open to addresses of --source, or of Qubes',
    },
    'stale-seconds': { type: 'string', instead: 'a release is stale after 2 minutes' },
    unowned: { type: 'boolean', instead: 'the kernel is asked whether it has tables with an owner' },
  },
};

/** Declares the options that a program had. They are in no help. */
export function declareGone(program: string, cli: Argv<unknown>): void {
  for (const [option, { type }] of Object.entries(GONE_OPTIONS[program] ?? {}))
    cli.option(option, { type, requiresArg: type === 'string', hidden: true });
}

/** A sentence for the log about each option among the values of a program that it does not have any more. */
export function goneOptions(program: string, values: Readonly<Record<string, unknown>>): readonly string[] {
  return Object.entries(GONE_OPTIONS[program] ?? {}).flatMap(([option, { instead }]) =>
    values[option] === undefined ? [] : [`--${option} does nothing any more: ${instead}`],
  );
}
