/**
 * The package in OCaml (ocaml/), built in a directory of its own: with dune and its libraries it is run,
 * without them it is not and that is printed; under `CI=true` they have to be there.
 */

import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { cpSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { onTestFinished } from 'vitest';
import { blockText, ROOT } from '../docs/blocks.ts';

const LIBRARIES = ['digestif.ocaml', 'mirage-crypto-ec', 'yojson', 'lwt.unix'];

interface Ended {
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

export function run(command: string, args: readonly string[], cwd?: string): Ended {
  const env = { ...process.env, DUNE_CACHE: 'disabled' };
  const { status, stdout, stderr } = spawnSync(command, args, {
    encoding: 'utf8',
    env,
    cwd,
    timeout: 120_000,
    maxBuffer: 2 ** 28,
  });
  return { status, stdout: stdout ?? '', stderr: stderr ?? '' };
}

function isThere(): boolean {
  if (run('dune', ['--version']).status === 0 && run('ocamlfind', ['query', ...LIBRARIES]).status === 0)
    return true;
  const reason = 'dune and the libraries of ocaml/ are not installed: what is in OCaml is not run';
  if (process.env['CI'] === 'true') throw new Error(reason);
  process.stderr.write(`${reason}\n`);
  return false;
}

/** What README says to do once the packages are installed and the folder is entered. */
export function commands(): readonly string[] {
  const lines = blockText('ocaml/README.md#Rulecast in OCaml').trim().split('\n');
  return lines.slice(lines.indexOf('cd ocaml') + 1);
}

export const ocaml = {
  isThere: isThere(),
  /** Builds it by README's command in a directory, with `ocaml` and `protocol/vectors` as in the checkout. */
  build(tree: string, options = ''): { readonly built: string; readonly ended: Ended } {
    const isSource = (path: string): boolean => !path.endsWith('/_build');
    for (const folder of ['ocaml', 'protocol/vectors'])
      cpSync(join(ROOT, folder), join(tree, folder), { recursive: true, filter: isSource });
    const ended = run('sh', ['-c', `${commands()[0]} ${options}`], join(tree, 'ocaml'));
    return { built: join(tree, 'ocaml/_build/default'), ended };
  },
};

/** A line that `rulecast-firewall-ocaml` writes. */
export interface FirewallEvent {
  readonly event: string;
  readonly text?: string;
  readonly version?: number;
  readonly heapTop?: number;
}

/** A running `rulecast-firewall-ocaml`, killed with the test. */
export class OcamlFirewall {
  readonly process: ChildProcess;
  readonly events: FirewallEvent[] = [];
  readonly #ended: Promise<number | null>;

  constructor(built: string, args: readonly string[]) {
    const program = join(built, 'unix/rulecast_firewall_ocaml.exe');
    this.process = spawn(program, args, { stdio: ['ignore', 'pipe', 'inherit'] });
    onTestFinished(() => this.kill());
    const { stdout } = this.process;
    if (stdout === null) throw new Error('no standard output');
    createInterface({ input: stdout }).on('line', (line) => this.events.push(JSON.parse(line)));
    this.#ended = new Promise((resolve) => {
      this.process.once('close', resolve);
    });
  }

  /** The version that is active. */
  get version(): number | undefined {
    return this.events.findLast(({ event }) => event === 'active')?.version;
  }

  /** What it told people, one line each. */
  get told(): string {
    return this.events.flatMap(({ text }) => text ?? []).join('\n');
  }

  stop(): Promise<number | null> {
    this.process.kill('SIGTERM');
    return this.#ended;
  }

  async kill(): Promise<void> {
    this.process.kill('SIGKILL');
    await this.#ended;
  }
}
