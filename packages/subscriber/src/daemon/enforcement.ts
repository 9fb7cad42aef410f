/**
 * Enforcement by the daemon. It starts the applier while it has privileges, with CAP_NET_ADMIN alone. Then
 * the daemon, which talks to the network and parses its input, gives up all of its own.
 */

import { spawnSync } from 'node:child_process';
import { chownSync, readFileSync } from 'node:fs';
import type { AskPlans, NftSink, NftSinkOptions, SinkLogger } from '@rulecast/nftables';
import { makeDirectory } from '@rulecast/program/directory';
import { type PacketLog, RefusedLog } from '../refused/refused-log.ts';

export interface EnforcementOptions {
  readonly downstreamGroup: number;
  readonly answer: 'reject' | 'silent';
  readonly flowMarks: boolean;
  /** The limit of kernel memory for the tables. */
  readonly kernelMib: number;
  /** Socket at which `rulecast-dns` has addresses opened; undefined: none are. */
  readonly openings: string | undefined;
  /** Addresses by interface, beside those that Qubes configures: `eth1=10.0.0.5,fd00::5` each. */
  readonly sources: readonly string[];
  /** Group of NFLOG to which what is refused is logged; undefined: it is not. */
  readonly logGroup: number | undefined;
  /** Whether DNS of qubes is taken to `rulecast-dns`. */
  readonly capturesDns: boolean;
  /** Becomes this user once the applier runs; undefined: stays who it is. */
  readonly user: string | undefined;
  /** Whom the applier runs as; undefined: root, with one capability. Only with `user`. */
  readonly applierUser: string | undefined;
  /** Given to the user, so that it can write there. */
  readonly stateDirectory: string | undefined;
  readonly logger: SinkLogger;
  /** Asks the thread with the rule sets for plans. */
  readonly askPlans: AskPlans;
  /** Receives the applier's standard error. */
  readonly onText: (text: string) => void;
  /** Called when nothing can be enforced any more until this process restarts. */
  readonly onLost: (text: string) => void;
}

/** A user of /etc/passwd. */
interface Account {
  readonly name: string;
  readonly uid: number;
  readonly gid: number;
}

/** Enforcement is impossible for this user, or on this machine. */
export class EnforcementError extends Error {}

const ACCOUNTS_FILE = '/etc/passwd';
const GROUPS_FILE = '/etc/group';
const STATUS_FILE = '/proc/self/status';
const CAP_NET_ADMIN = 12n;
const ONLY_NET_ADMIN = [
  '--inh-caps=-all,+net_admin',
  '--ambient-caps=-all,+net_admin',
  '--bounding-set=-all,+net_admin',
  '--no-new-privs',
];

export interface Enforcement {
  readonly sink: NftSink;
  /** Undefined: nothing is logged. */
  readonly refused: RefusedLog | undefined;
}

/** Starts the applier, then becomes `user` if there is one. Throws EnforcementError. */
export async function startEnforcement(options: EnforcementOptions): Promise<Enforcement> {
  const { createNftSink, applierCommand, openDropLog, parseSources } = await import('@rulecast/nftables');
  for (const each of options.sources)
    if (parseSources(each) === undefined)
      throw new EnforcementError(
        `--source ${each}: write an interface and its addresses, eth1=10.0.0.5,fd00::5`,
      );
  if (!mayChangeNetwork())
    throw new EnforcementError(
      'nothing can be enforced here: it takes CAP_NET_ADMIN: start this as root, with --user NAME, or with that capability',
    );
  const { user, applierUser, downstreamGroup, openings } = options;
  const numbers = ['--group', String(downstreamGroup), '--kernel-mib', String(options.kernelMib)];
  const account = user === undefined ? undefined : accountOf(user);
  if (account !== undefined && process.getuid?.() !== 0) {
    throw new EnforcementError('--user needs to be started as root: it gives the privileges up');
  }
  const { logGroup, refused } = openRefused(options, openDropLog);
  const args = [
    ...numbers,
    ...(logGroup === undefined ? [] : ['--log-group', String(logGroup)]),
    ...(openings === undefined ? [] : ['--openings', openings]),
    ...(options.sources.length > 0 ? ['--sources', options.sources.join(' ')] : []),
  ];
  const { answer, flowMarks, capturesDns, logger, onText, onLost, askPlans } = options;
  const opensNames = openings !== undefined;
  const sinkOptions: NftSinkOptions = {
    downstreamGroup,
    answer,
    logGroup,
    flowMarks,
    logger,
    onText,
    onLost,
    opensNames,
    capturesDns,
    askPlans,
  };
  if (account === undefined)
    return { sink: createNftSink({ ...sinkOptions, applier: applierCommand(args) }), refused };
  const plain = applierCommand(['--supervise', ...args]);
  const identity = applierUser === undefined ? [] : identityOf(accountOf(applierUser));
  const applier = {
    program: 'setpriv',
    args: [...identity, ...ONLY_NET_ADMIN, plain.program, ...plain.args],
  };
  const sink = createNftSink({ ...sinkOptions, applier });
  await giveUpPrivileges(account, options.stateDirectory);
  return { sink, refused };
}

/** Opens the log of refused packets. A failure is reported, and enforcement goes on without it. */
function openRefused(
  { logGroup, downstreamGroup, logger }: EnforcementOptions,
  open: (group: number, downstreamGroup: number) => PacketLog,
): { readonly logGroup: number | undefined; readonly refused: RefusedLog | undefined } {
  if (logGroup === undefined) return { logGroup, refused: undefined };
  try {
    return { logGroup, refused: new RefusedLog(open(logGroup, downstreamGroup)) };
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    const text = `refused packets are not logged: ${why}: does another program read it? --log-group names another`;
    logger.warn({ err: error }, text);
    return { logGroup: undefined, refused: new RefusedLog(undefined, text) };
  }
}

/** Whether this process has CAP_NET_ADMIN, be it for the network of a user namespace. */
function mayChangeNetwork(): boolean {
  const [, effective = '0'] = /^CapEff:\s*(\w+)$/m.exec(readFileSync(STATUS_FILE, 'utf8')) ?? [];
  return ((BigInt(`0x${effective}`) >> CAP_NET_ADMIN) & 1n) === 1n;
}

/** Deletes everything of ours from the kernel. Rejects with EnforcementError. */
export async function removeEnforcement(): Promise<void> {
  const { applierCommand } = await import('@rulecast/nftables');
  const { program, args } = applierCommand(['--remove']);
  const { status, stderr } = spawnSync(program, args, { encoding: 'utf8' });
  if (status !== 0) throw new EnforcementError(stderr.trim());
}

function identityOf({ uid, gid }: Account): readonly string[] {
  return [`--reuid=${uid}`, `--regid=${gid}`, '--clear-groups'];
}

/** For good. Throws EnforcementError. */
async function giveUpPrivileges(
  { name, uid, gid }: Account,
  stateDirectory: string | undefined,
): Promise<void> {
  if (stateDirectory !== undefined) {
    makeDirectory(stateDirectory);
    chownSync(stateDirectory, uid, gid);
  }
  const { becomeForGood } = await import('./privileges.ts'); // loads koffi
  const groups = [gid, ...groupsOf(name)]; // groups such as qubes, whose members may use Xen's devices
  try {
    becomeForGood({ uid, gid, groups });
  } catch (cause) {
    throw new EnforcementError(`cannot become ${name}: ${(cause as Error).message}`, { cause });
  }
  process.env['HOME'] = '/';
}

/** Throws EnforcementError if there is no such user. */
export function uidOf(name: string): number {
  return accountOf(name).uid;
}

/** The groups that a user is in beside its own. */
function groupsOf(name: string): readonly number[] {
  return readFileSync(GROUPS_FILE, 'utf8')
    .split('\n')
    .map((line) => line.split(':'))
    .filter(([, , , members = '']) => members.split(',').includes(name))
    .map(([, , gid]) => Number(gid));
}

/** Throws EnforcementError for a user that this machine does not have. */
function accountOf(name: string): Account {
  for (const line of readFileSync(ACCOUNTS_FILE, 'utf8').split('\n')) {
    const [account, , uid, gid] = line.split(':');
    if (account === name && uid !== undefined && gid !== undefined) {
      return { name, uid: Number(uid), gid: Number(gid) };
    }
  }
  throw new EnforcementError(`${ACCOUNTS_FILE} has no user ${name}: make it first, or name another`);
}
