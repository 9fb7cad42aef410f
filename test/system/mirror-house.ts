/** A publisher with a depot, web servers that show copies of it, and firewalls that read these. */

import { cpSync, existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import {
  type DepotPage,
  decodeDepotPage,
  type ObjectReference,
  objectPath,
  readDepotHead,
} from '@rulecast/protocol';
import { expect } from 'vitest';
import { makeCertificate, type Nginx, startOrigin } from '../kit/nginx.mjs';
import { type Daemon, type LogLine, rulectl, rulectlOffline, startSubscriberOf } from '../processes.mjs';
import { releaseOf } from './control-client.ts';
import { Scene } from './scene.ts';

/** The rest of the world may read sockets of its group alone. */
const GROUP = process.getuid?.() === 0 ? '?group=www-data' : '';

/** A copy of the depot, and the web server that shows it; the publisher's reports are behind each. */
export interface Mirror {
  readonly directory: string;
  nginx: Nginx;
}

export class MirrorHouse {
  readonly scene = new Scene();
  readonly depot = this.scene.path('depot');
  readonly tls = makeCertificate(this.scene.directory);
  readonly #config = this.scene.path('publisher.yaml');
  readonly #secret = this.scene.path('fleet.key');
  #hosts = 0;

  async publisher(): Promise<Daemon> {
    if (!existsSync(this.#config)) {
      await this.scene.trustLine();
      await succeeded(rulectlOffline(['keys', 'fleet', this.#secret]));
      const reports = `unix:${this.reports}${GROUP}`;
      const fleet = `fleet: { reports: "${reports}", secret: ${this.#secret} }`;
      writeFileSync(this.#config, `depot: { directory: ${this.depot} }\n${fleet}\n`);
    }
    return this.scene.publisher(['--config', this.#config]);
  }

  get reports(): string {
    return this.scene.path('reports.sock');
  }

  /** A web server beside the publisher. */
  async origin(port?: number): Promise<Nginx> {
    const options = { depot: this.depot, reports: this.reports, tls: this.tls, ...(port && { port }) };
    return this.keep(await startOrigin(this.scene.path('origin'), options));
  }

  async mirror(name: string): Promise<Mirror> {
    const directory = this.scene.path(name);
    mkdirSync(directory);
    const options = { depot: directory, reports: this.reports, tls: this.tls };
    return { directory, nginx: this.keep(await startOrigin(this.scene.path(`${name}-nginx`), options)) };
  }

  keep(nginx: Nginx): Nginx {
    this.scene.onClose(() => nginx.stop());
    return nginx;
  }

  /**
   * Copies the depot: objects first, then the head; `between`, if given, is done before the head is there.
   */
  copyTo({ directory }: Mirror, between?: () => void): void {
    cpSync(join(this.depot, 'head'), join(directory, 'head.new'), { preserveTimestamps: true });
    cpSync(join(this.depot, 'o'), join(directory, 'o'), { recursive: true, preserveTimestamps: true });
    between?.();
    renameSync(join(directory, 'head.new'), join(directory, 'head'));
  }

  /** Pushes another list; resolves to its version once the depot has it with all deltas. */
  async push(): Promise<number> {
    this.#hosts += 1;
    const text = Array.from({ length: 300 + this.#hosts }, (_, i) => `198.51.${i >> 8}.${i & 255}`).join(
      '\n',
    );
    const { version } = releaseOf(await this.scene.control.push({ list: 'blocked', text, wait: 'released' }));
    await expect
      .poll(() => this.page().deltas.length, { interval: 20 })
      .toBeGreaterThanOrEqual(Math.min(version - 1, 4));
    expect(readDepotHead(this.file('head')).head.version).toBe(version);
    return version;
  }

  /** The page of the newest release. */
  page(): DepotPage {
    return decodeDepotPage(this.object(readDepotHead(this.file('head')).head.page));
  }

  file(path: string): Uint8Array {
    return readFileSync(join(this.depot, path));
  }

  object(reference: ObjectReference): Uint8Array {
    return this.file(objectPath(reference));
  }

  /** The file of a name's token; `kind`: `--relay` for that of a relay. */
  async token(name: string, ...kind: readonly string[]): Promise<string> {
    const file = this.scene.path(`${name}.token`);
    if (existsSync(file)) return file;
    const identity = ['--identity', this.scene.path('publisher', 'identity')];
    const { stdout } = await succeeded(
      rulectlOffline(['keys', 'token', name, ...kind, '--secret', this.#secret, ...identity]),
    );
    writeFileSync(file, stdout, { mode: 0o600 });
    return file;
  }

  /** A firewall with a token and a state of its own, which asks each second. */
  async firewall(name: string, ...mirrors: readonly { readonly url: string }[]): Promise<Daemon> {
    const [first = '', ...others] = mirrors.map(({ url }) => url);
    const more = others.flatMap((url) => ['--connect', url]);
    const reporting = ['--report-token', await this.token(name), '--state', this.scene.path(name)];
    const args = [...more, '--ca', this.tls.certificate, '--poll', '1', ...reporting];
    return this.scene.keep(await startSubscriberOf(await this.scene.trustLine(), first, name, args));
  }

  /** Gives a publisher that is stopped other keys for releases and freshness. */
  async rotate(): Promise<void> {
    await succeeded(
      rulectlOffline(['keys', 'rotate', '--identity', this.scene.path('publisher', 'identity')]),
    );
  }

  /** How many names that report are so. */
  async counts(): Promise<Readonly<Record<string, number>>> {
    const records = (await this.rulectl('status', '--json')).trim().split('\n');
    const found = records.map((line) => JSON.parse(line)).find(({ kind }) => kind === 'fleet');
    return found ?? expect.fail(records.join('\n'));
  }

  async rulectl(...args: readonly string[]): Promise<string> {
    return (await succeeded(rulectl(this.scene.directory, args))).stdout;
  }
}

/** A release came into force. */
export function isApplied(version: number): (line: LogLine) => boolean {
  return (line) => line['msg'] === 'applied' && line['version'] === version;
}

/** A line of the log says both. */
export function says(...texts: readonly string[]): (line: LogLine) => boolean {
  return (line) => texts.every((text) => JSON.stringify(line).includes(text));
}

type Outcome = Awaited<ReturnType<typeof rulectlOffline>>;

async function succeeded(running: Promise<Outcome>): Promise<Outcome> {
  const outcome = await running;
  expect(outcome.code, outcome.stderr).toBe(0);
  return outcome;
}
