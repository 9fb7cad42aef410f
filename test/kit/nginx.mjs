/**
 * Debian's nginx with the configurations of examples/mirror, on ports of its own: names, paths and
 * certificates are the test's, every other line is as it stands there.
 */

import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer, Socket } from 'node:net';
import { dirname, join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';

const EXAMPLES = fileURLToPath(new URL('../../examples/mirror/', import.meta.url));
const PROGRAM = '/usr/sbin/nginx';
/** What Debian has its workers run as, which therefore has to be able to read a depot. */
const WORKERS = 'www-data';
const LOG_FORMAT = "log_format counted '$request_method $request_uri $status $body_bytes_sent $bytes_sent';";

/** @typedef {{ readonly certificate: string, readonly key: string }} Certificate Paths. */
/** @typedef {{ readonly method: string, readonly path: string, readonly status: number, readonly bodyBytes: number, readonly bytes: number }} Served */

/** Why nginx cannot be had, printed; undefined where it can. Throws instead where CI=true. */
export function nginxGap() {
  if (existsSync(PROGRAM) && spawnSync('openssl', ['version']).status === 0) return undefined;
  const gap = 'web servers are not tried: nginx-light and openssl are not installed';
  if (process.env['CI'] === 'true') throw new Error(gap);
  console.log(gap);
  return gap;
}

/** A TCP port of 127.0.0.1 that nobody uses now. */
export async function freeTcpPort() {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  server.close();
  await once(server, 'close');
  return typeof address === 'object' && address !== null ? address.port : 0;
}

/**
 * A certificate for 127.0.0.1 and rules.example, which is its own authority.
 * @param {string} directory @returns {Certificate}
 */
export function makeCertificate(directory) {
  const [certificate, key] = [join(directory, 'tls.pem'), join(directory, 'tls.key')];
  const names = 'subjectAltName=IP:127.0.0.1,DNS:rules.example,DNS:localhost';
  const kind = ['-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '2'];
  const where = ['-keyout', key, '-out', certificate, '-subj', '/CN=rules.example', '-addext', names];
  const { status, stderr } = spawnSync('openssl', ['req', ...kind, ...where], { encoding: 'utf8' });
  if (status !== 0) throw new Error(stderr);
  return { certificate, key };
}

/**
 * The text of an example with other words in it, each of which has to be there.
 * @param {string} name @param {Readonly<Record<string, string>>} words
 */
function filled(name, words) {
  let text = readFileSync(join(EXAMPLES, name), 'utf8');
  for (const [from, to] of Object.entries(words)) {
    if (!text.includes(from)) throw new Error(`${name} does not say ${from}`);
    text = text.replaceAll(from, to);
  }
  return text;
}

/**
 * An nginx beside the publisher.
 * @param {string} directory Where its own files are made.
 * @param {{ depot: string, reports?: string, tls: Certificate, port?: number }} options `reports`: a socket.
 */
export async function startOrigin(directory, { depot, reports = join(directory, 'none'), tls, port }) {
  const at = port ?? (await freeTcpPort());
  const text = filled('origin.conf', {
    'listen 443 ssl': `listen 127.0.0.1:${at} ssl`,
    '/etc/ssl/rules.example.pem': tls.certificate,
    '/etc/ssl/rules.example.key': tls.key,
    '/var/lib/rulecast/depot': depot,
    '/run/rulecast/reports.sock': reports,
    'access_log off;': `access_log ${join(directory, 'access.log')} counted;`,
  });
  return Nginx.start(directory, text, at);
}

/**
 * An nginx that is a cache in front of an origin.
 * @param {string} directory Where its own files are made.
 * @param {{ origin: number, tls: Certificate, port?: number }} options `origin`: a port.
 */
export async function startSite(directory, { origin, tls, port }) {
  const at = port ?? (await freeTcpPort());
  const text = filled('site.conf', {
    'listen 443 ssl': `listen 127.0.0.1:${at} ssl`,
    '/etc/ssl/rules.site.example.pem': tls.certificate,
    '/etc/ssl/rules.site.example.key': tls.key,
    '/var/cache/nginx/rulecast': join(directory, 'cache'),
    '/etc/ssl/certs/ca-certificates.crt': tls.certificate,
    'server rules.example:443;': `server 127.0.0.1:${origin};`,
    'access_log off;': `access_log ${join(directory, 'access.log')} counted;`,
  });
  return Nginx.start(directory, text, at);
}

export class Nginx {
  /**
   * @param {import('node:child_process').ChildProcess} master
   * @param {string} directory @param {number} port
   */
  constructor(master, directory, port) {
    this.directory = directory;
    this.port = port;
    this.url = `https://127.0.0.1:${port}/`;
    this.master = master;
    this.ended = once(master, 'exit');
  }

  /** @param {string} directory @param {string} site A file of sites-enabled. @param {number} port */
  static async start(directory, site, port) {
    mkdirSync(directory, { recursive: true });
    for (const each of [directory, dirname(directory)]) chmodSync(each, 0o711); // its workers are another user
    const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map(
      (kind) => `${kind}_temp_path ${join(directory, kind)};`,
    );
    const user = process.getuid?.() === 0 ? `user ${WORKERS};` : '';
    const text = `${user} worker_processes 1; pid ${join(directory, 'pid')}; error_log ${join(directory, 'error.log')} warn;
      events { worker_connections 2048; }
      http { ${temporary.join(' ')} ${LOG_FORMAT}\n${site}\n}\n`;
    const file = join(directory, 'nginx.conf');
    writeFileSync(file, text);
    const args = ['-p', directory, '-c', file, '-e', join(directory, 'error.log'), '-g', 'daemon off;'];
    const master = spawn('setpriv', ['--pdeathsig', 'TERM', PROGRAM, ...args], {
      stdio: ['ignore', 'inherit', 'inherit'],
    });
    const nginx = new Nginx(master, directory, port);
    while (!(await isOpen(port))) {
      if (master.exitCode !== null) throw new Error(readFileSync(join(directory, 'error.log'), 'utf8'));
      await pause(10);
    }
    return nginx;
  }

  /** The process that serves. */
  get worker() {
    const pid = this.master.pid ?? 0;
    const children = readFileSync(`/proc/${pid}/task/${pid}/children`, 'latin1').trim().split(' ');
    return Number(children[0]);
  }

  /** What was answered, in turn. @returns {readonly Served[]} */
  served() {
    const lines = readFileSync(join(this.directory, 'access.log'), 'utf8').split('\n').slice(0, -1);
    return lines.map((line) => {
      const [method = '', path = '', ...numbers] = line.split(' ');
      const [status = 0, bodyBytes = 0, bytes = 0] = numbers.map(Number);
      return { method, path, status, bodyBytes, bytes };
    });
  }

  /** Connections are accepted by the kernel, and nobody answers. */
  hang() {
    process.kill(this.worker, 'SIGSTOP');
  }

  goOn() {
    process.kill(this.worker, 'SIGCONT');
  }

  async stop() {
    if (this.master.exitCode === null) {
      if (this.worker > 0) this.goOn();
      this.master.kill('SIGTERM');
    }
    await this.ended;
  }
}

/** @param {number} port @returns {Promise<boolean>} */
function isOpen(port) {
  return new Promise((resolve) => {
    const socket = new Socket();
    socket.once('connect', () => resolve(true)).once('error', () => resolve(false));
    socket.connect(port, '127.0.0.1').once('connect', () => socket.destroy());
  });
}
