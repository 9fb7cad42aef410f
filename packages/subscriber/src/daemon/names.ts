/**
 * `--names`: whether `rulecast-dns` judges names here, and by which sockets; also the options of versions up
 * to 0.4, in which each socket has a path of its own. Pure.
 */

import { join } from 'node:path';
import { usageError } from '@rulecast/program';

/** In place of the folder of an option. Their owners are different users. */
const FOLDERS = { names: '/run/rulecast-dns', openings: '/run/rulecast-openings' } as const;
const WORDS = ['auto', 'router', 'off'] as const;

export interface NamesOptions {
  readonly names: string | undefined;
  readonly namesFolder: string | undefined;
  readonly enforce: boolean;
  /** The options before 0.4, in the form of `names` with a path. */
  readonly dnsMode: 'own' | 'router' | 'off' | undefined;
  readonly openings: string | undefined;
}

export interface NamesSettings {
  /** auto: questions are redirected to it; router: it listens at addresses of this host. */
  readonly mode: 'auto' | 'router';
  /** Socket of `rulecast-dns`. */
  readonly socket: string;
  /** Socket of the applier; undefined: nothing opens by name. */
  readonly openings: string | undefined;
  /** The path is an option: what listens there may come later, and is announced at once. */
  readonly isGiven: boolean;
  /** Connecting starts it, so only a release that needs it does. */
  readonly isOnDemand: boolean;
}

/** Undefined: off. Throws ProgramError `usage`. */
export function namesSettings(options: NamesOptions): NamesSettings | undefined {
  const { names = 'off', namesFolder, enforce, dnsMode, openings } = options;
  const path = isPath(names) ? names : undefined;
  const word = path === undefined ? WORDS.find((each) => each === names) : 'router';
  if (word === undefined) throw usageError(`--names ${names}: write auto, router or off`);
  const mode = dnsMode === undefined ? word : modeOf(dnsMode);
  if (openings !== undefined && (mode === 'off' || !enforce))
    throw usageError(`--openings ${openings} goes with --enforce, and --names auto or router`);
  if (mode === 'off' || (mode === 'auto' && !enforce)) return undefined;
  const fixed = join(namesFolder ?? FOLDERS.openings, 'openings.sock');
  return {
    mode,
    socket: path ?? join(namesFolder ?? FOLDERS.names, 'names.sock'),
    openings: enforce ? (openings ?? (path === undefined ? fixed : undefined)) : undefined,
    isGiven: path !== undefined,
    isOnDemand: path === undefined && mode === 'auto', // a router is needed by its hosts all the time
  };
}

/** A sentence for the log about each option that is not written so any more, or does nothing. */
export function namesWarnings({
  names = 'off',
  enforce,
  dnsMode,
  openings,
}: NamesOptions): readonly string[] {
  const until = 'is taken until 0.4';
  const mode = modeOf(dnsMode ?? 'router');
  return [
    ...(isPath(names) ? [`--names ${names} ${until}: write --names ${mode}`] : []),
    ...(dnsMode === undefined ? [] : [`--dns-mode ${dnsMode} ${until}: write --names ${mode}`]),
    ...(openings === undefined
      ? []
      : [`--openings ${openings} ${until}: --names auto or router does without`]),
    ...(names === 'auto' && !enforce ? ['--names auto does nothing without --enforce, which captures'] : []),
  ];
}

function modeOf(dnsMode: 'own' | 'router' | 'off'): (typeof WORDS)[number] {
  return dnsMode === 'own' ? 'auto' : dnsMode;
}

function isPath(names: string): boolean {
  return names.includes('/') || names.endsWith('.sock');
}
