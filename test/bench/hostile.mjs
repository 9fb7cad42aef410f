/**
 * What servers can hold up that mean harm or are dead: a push while nobody answers for 900 names, twenty
 * feeds beside four that trickle, an archive of one name again and again, the end of a publisher that
 * unpacks, and an hour of 10,000 names that change each time they are asked for.
 */

import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { crc32, deflateRawSync, gzipSync } from 'node:zlib';
import { Publisher } from '@rulecast/publisher';
import { parsePrefix, prefixSetOf } from '@rulecast/rules';
import { pino } from 'pino';
import { rulectl, startPublisher } from '../processes.mjs';
import { machineLine, ms, partsOf, table } from './report.mjs';

const PARTS = /** @type {const} */ (['dns', 'trickle', 'zip', 'stop', 'churn']);
const MIB = 2 ** 20;

/** @param {readonly string[]} args */
export async function run(args) {
  const parts = partsOf(args, PARTS);
  process.stdout.write(`${machineLine(1)}\n`);
  const measure = {
    dns: silentDns,
    trickle: trickling,
    zip: repeatedNames,
    stop: stopped,
    churn: changingNames,
  };
  const rows = [];
  for (const part of PARTS) if (parts.includes(part)) rows.push(...(await inDirectory(measure[part])));
  process.stdout.write(table(['what', 'found'], rows));
}

/** @param {(directory: string) => Promise<readonly (readonly string[])[]>} work */
async function inDirectory(work) {
  const directory = mkdtempSync(join(tmpdir(), 'rulecast-hostile-'));
  try {
    return await work(directory);
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

/** @param {string} directory @param {readonly string[]} args */
async function must(directory, args) {
  const result = await rulectl(directory, args);
  if (result.code !== 0 && result.code !== 5)
    throw new Error(`rulectl ${args[0]}: ${result.stdout}${result.stderr}`);
  return result;
}

/** @param {string} directory */
async function silentDns(directory) {
  const socket = createSocket('udp4'); // hears, and answers nothing
  socket.bind(0, '127.0.0.1');
  await once(socket, 'listening');
  const publisher = await startPublisher(directory, ['--dns-server', `127.0.0.1:${socket.address().port}`]);
  const rules = Array.from({ length: 900 }, (_, i) => `accept dsthost=host-${i}.example\n`).join('');
  writeFileSync(join(directory, 'names.rules'), rules);
  const own = await must(directory, ['push', join(directory, 'names.rules'), '--no-wait']);
  const took = [];
  for (let i = 0; i < 10; i++) {
    writeFileSync(join(directory, 'hosts.txt'), `192.0.2.${i}\n`);
    took.push((await must(directory, ['push', join(directory, 'hosts.txt'), '--no-wait'])).ms);
    await new Promise((resolve) => setTimeout(resolve, 1000));
  }
  await publisher.stop();
  socket.close();
  return [
    ['push of 900 names that nobody answers for, ms', ms(own.ms)],
    ['longest of ten other pushes beside it, ms', ms(Math.max(...took))],
  ];
}

/** @param {string} directory */
async function trickling(directory) {
  const servers = [];
  const lists = [];
  for (let i = 1; i <= 24; i++) {
    const isSlow = i <= 4;
    const server = createServer((_, response) => {
      if (!isSlow) return response.end(`192.0.2.${i}\n`);
      response.writeHead(200);
      const timer = setInterval(() => response.write('#'), 500);
      return response.on('close', () => clearInterval(timer));
    });
    const host = `127.0.0.${i}`; // each a host of its own
    server.listen(0, host);
    await once(server, 'listening');
    servers.push(server);
    const address = server.address();
    const port = typeof address === 'object' && address !== null ? address.port : 0;
    lists.push(`  ${isSlow ? 'a-slow' : 'good'}-${i}: { url: "http://${host}:${port}/" }\n`);
  }
  writeFileSync(join(directory, 'publisher.yaml'), `lists:\n${lists.join('')}`);
  const startMs = performance.now();
  const publisher = await startPublisher(directory, ['--config', join(directory, 'publisher.yaml')]);
  await until(async () => {
    const { stdout } = await rulectl(directory, ['lists']);
    return stdout.split('\n').filter((line) => /^good-\d+ .*\bok\b/.test(line)).length === 20;
  });
  const tookMs = performance.now() - startMs;
  await publisher.stop();
  for (const server of servers) server.close();
  return [['twenty good feeds loaded beside four that trickle, from the start, ms', ms(tookMs)]];
}

/** @param {string} directory */
async function repeatedNames(directory) {
  writeFileSync(join(directory, 'bomb.zip'), zipOfOneName(Buffer.alloc(16 * MIB), 1000));
  writeFileSync(join(directory, 'publisher.yaml'), 'lists: { bomb: { file: bomb.zip } }\n');
  const startMs = performance.now();
  const publisher = await startPublisher(directory, ['--config', join(directory, 'publisher.yaml')]);
  await publisher.logged((line) => line['list'] === 'bomb' && line['code'] !== undefined);
  const tookMs = performance.now() - startMs;
  await publisher.stop();
  return [['zip archive of 1,000 members of one name, 16 MiB each, refused after, ms', ms(tookMs)]];
}

/** @param {string} directory */
async function stopped(directory) {
  const bomb = gzipSync(Buffer.alloc(120 * MIB));
  for (let i = 0; i < 64; i++) writeFileSync(join(directory, `bomb-${i}.gz`), bomb);
  const lists = Array.from({ length: 64 }, (_, i) => `  bomb-${i}: { file: bomb-${i}.gz }\n`);
  writeFileSync(join(directory, 'publisher.yaml'), `lists:\n${lists.join('')}`);
  const publisher = await startPublisher(directory, ['--config', join(directory, 'publisher.yaml')]);
  await new Promise((resolve) => setTimeout(resolve, 500));
  const startMs = performance.now();
  const code = await publisher.stop();
  return [
    [
      `SIGTERM while 64 files of 120 MiB are unpacked: ends with ${code} after, ms`,
      ms(performance.now() - startMs),
    ],
  ];
}

/** @param {string} directory */
async function changingNames(directory) {
  const clock = new VirtualClock();
  const answers = Array.from({ length: 128 }, (_, i) => {
    const prefix = parsePrefix(`192.0.2.${i}`);
    if (typeof prefix === 'string') throw new Error(prefix);
    return { ...prefixSetOf([prefix]), ttlMs: 30_000 };
  });
  /** @type {Map<string, number>} */
  const counts = new Map();
  const publisher = new Publisher({
    stateDirectory: directory,
    name: 'bench',
    clock,
    logger: pino({ level: 'silent' }),
    resolve: async (name) => {
      const count = counts.get(name) ?? 0;
      counts.set(name, count + 1);
      return answers[count % answers.length] ?? prefixSetOf([]);
    },
  });
  const rules = Array.from({ length: 10_000 }, (_, i) => `accept dsthost=host-${i}.example\n`).join('');
  const files = [{ name: 'x.rules', role: /** @type {const} */ ('pushed'), bytes: Buffer.from(rules) }];
  const outcome = await publisher.push({
    action: 'replace',
    list: undefined,
    policy: undefined,
    replaceAll: false,
    files,
  });
  if (outcome.kind !== 'released') throw new Error(JSON.stringify(outcome).slice(0, 500));
  for (let passedMs = 0; passedMs < 3_600_000; passedMs += 5000) {
    clock.advance(5000);
    await publisher.idle();
  }
  const asked = [...counts.values()].reduce((sum, count) => sum + count, 0);
  const version = publisher.head?.manifest.version;
  await publisher.close();
  return [[`releases of an hour of 10,000 names of 30 s, asked for ${asked} times`, String(version)]];
}

/** A clock that a bench moves. */
class VirtualClock {
  nowMs = 1_800_000_000_000;
  /** @type {Set<{ readonly atMs: number, readonly work: () => void }>} */
  timers = new Set();

  wallMs() {
    return this.nowMs;
  }

  monotonicMs() {
    return this.nowMs;
  }

  /** @param {number} delayMs @param {() => void} work */
  after(delayMs, work) {
    const timer = { atMs: this.nowMs + Math.max(0, delayMs), work };
    this.timers.add(timer);
    return () => void this.timers.delete(timer);
  }

  /** @param {number} ms */
  advance(ms) {
    const endMs = this.nowMs + ms;
    for (;;) {
      const [next] = [...this.timers].filter(({ atMs }) => atMs <= endMs).sort((a, b) => a.atMs - b.atMs);
      if (next === undefined) break;
      this.timers.delete(next);
      this.nowMs = next.atMs;
      next.work();
    }
    this.nowMs = endMs;
  }
}

/** A zip archive of one member many times over. @param {Buffer} bytes @param {number} count */
function zipOfOneName(bytes, count) {
  const packed = deflateRawSync(bytes);
  const fields = Buffer.alloc(26); // of both headers: version, flags, method, time, date, crc, sizes, lengths
  fields.writeUInt16LE(20, 0);
  fields.writeUInt16LE(8, 4);
  fields.writeUInt32LE(crc32(bytes), 10);
  fields.writeUInt32LE(packed.length, 14);
  fields.writeUInt32LE(bytes.length, 18);
  fields.writeUInt16LE(1, 22);
  const local = Buffer.concat([Buffer.from('PK\x03\x04'), fields, Buffer.from('a'), packed]);
  const entry = Buffer.concat([
    Buffer.from('PK\x01\x02\x14\x03', 'latin1'),
    fields,
    Buffer.alloc(14),
    Buffer.from('a'),
  ]);
  const end = Buffer.alloc(22);
  end.write('PK\x05\x06', 'latin1');
  end.writeUInt16LE(count, 8);
  end.writeUInt16LE(count, 10);
  end.writeUInt32LE(entry.length * count, 12);
  end.writeUInt32LE(local.length, 16);
  return Buffer.concat([local, ...Array.from({ length: count }, () => entry), end]); // all are the same bytes
}

/** @param {() => Promise<boolean>} holds */
async function until(holds) {
  const endMs = performance.now() + 120_000;
  while (!(await holds())) {
    if (performance.now() > endMs) throw new Error('it did not come about within two minutes');
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}
