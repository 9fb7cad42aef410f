/**
 * A machine of its own as far as systemd can tell, to install and start things on: its disk is a
 * copy-on-write view of this one's, and it is gone with its first process.
 */

import { spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { childrenOf, eventually } from '../enforce/enforcer.ts';
import { enforcementGap } from './namespaces.ts';
import type { Scene } from './scene.ts';

const ROOT = fileURLToPath(new URL('../../', import.meta.url));
const BOOT = fileURLToPath(new URL('systemd-boot.sh', import.meta.url));
/** The machine's own programs: npx has put the checkout's before them. */
const PATH = '/usr/sbin:/usr/bin:/sbin:/bin';
const NAMESPACES = ['--mount', '--pid', '--net', '--uts', '--ipc', '--cgroup', '--fork', '--kill-child'];

/**
 * Why systemd cannot be tested here, printed; undefined where it can. Throws instead where CI=true and it is
 * not installed; that a container may not mount what systemd needs is nothing that an installation could
 * mend.
 */
export function systemdGap(): string | undefined {
  const gap = enforcementGap();
  if (gap !== undefined) return gap;
  const installed = existsSync('/lib/systemd/systemd');
  if (!installed && process.env['CI'] === 'true')
    throw new Error('what runs under systemd cannot be tested: it is not installed');
  const missing = installed ? bootGap() : 'systemd is not installed';
  if (missing !== undefined) console.log(`tests under a systemd are skipped: ${missing}`);
  return missing;
}

function bootGap(): string | undefined {
  const probe = `mount --make-rprivate / && mount -t tmpfs tmpfs /run && cd /run && mkdir a b c d &&
    mount -t overlay overlay -o lowerdir=/,upperdir=a,workdir=b c && mount -t cgroup2 cgroup2 d`;
  const { status, stderr } = spawnSync('unshare', [...NAMESPACES, 'sh', '-ec', probe], { encoding: 'utf8' });
  return status === 0 ? undefined : `it cannot be booted in namespaces here: ${stderr.trim()}`;
}

export class Machine {
  readonly #pid: number;

  private constructor(pid: number) {
    this.#pid = pid;
  }

  /** Boots with the checkout at /opt/rulecast and the directory of `scene` at /srv. */
  static async boot(scene: Scene): Promise<Machine> {
    const work = scene.path('machine');
    mkdirSync(work);
    const args = [...NAMESPACES, BOOT, work, ROOT, scene.directory, process.execPath];
    const boot = spawn('unshare', args, { stdio: ['ignore', 'ignore', 'inherit'] });
    let machine: Machine | undefined;
    await eventually(async () => {
      const [pid] = childrenOf(boot.pid);
      if (pid === undefined) return false;
      machine = new Machine(pid);
      return isSystemd(pid) && machine.attempt('systemctl is-active basic.target').status === 0;
    });
    if (machine === undefined) throw new Error('systemd did not start');
    return machine;
  }

  /** The output of shell commands that all must succeed. */
  run(commands: string): string {
    const { status, stdout, stderr } = this.attempt(commands);
    if (status !== 0) throw new Error(`${commands}\nended with ${status}: ${stdout}${stderr}`);
    return stdout;
  }

  attempt(commands: string) {
    const inside = [
      '-t',
      String(this.#pid),
      '-m',
      '-p',
      '-n',
      '-u',
      '-i',
      '-C',
      '-r',
      '-w',
      'sh',
      '-ec',
      commands,
    ];
    return spawnSync('nsenter', inside, { encoding: 'utf8', timeout: 60_000, env: { PATH } });
  }

  rules(): string {
    return this.run('nft list ruleset');
  }

  kill(): void {
    process.kill(this.#pid, 'SIGKILL');
  }
}

function isSystemd(pid: number): boolean {
  return readFileSync(`/proc/${pid}/comm`, 'utf8').trim() === 'systemd';
}
