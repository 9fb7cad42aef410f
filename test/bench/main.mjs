/**
 * `npm run bench -- NAME [options]`: the benches, from the built packages. Without a name, the list of them.
 * With `--write` what is measured goes to docs/measurements, and from there to docs/explain/performance.md.
 */

import { readFileSync, writeFileSync } from 'node:fs';
import { openRun } from '../run/run.mjs';
import { measure, measurements } from './measurements.mjs';
import { filled, plots } from './performance-page.mjs';

const DOCS = new URL('../../docs/', import.meta.url);
const PAGE = new URL('explain/performance.md', DOCS);

const BENCHES = {
  bystanders: 'from a commit to APPLIED of five subscribers, beside a stopped, a slow and an attacking one',
  channels: 'bytes a second through a vchan by its library, which is a stub, beside a Unix socket',
  dns: 'questions a second, latency and memory of rulecast-dns, beside dnsmasq and unbound; as root',
  elements: 'how long until the kernel has an address that a qube was told, beside nft; as root',
  'end-to-end': 'a push from text to a table in force, stage by stage, and through three processes',
  enforce:
    'from a push to the first dropped packet, and forwarding rates, beside bare nft and ipset; as root',
  fleet: 'from a commit to APPLIED of a thousand subscribers, and what they cost the publisher',
  formats:
    'bytes a second of each list importer, on real lists and a million lines, beside ipaddr.js and cidr-tools',
  hostile:
    'what dead and hostile servers can hold up: silent DNS, trickling feeds, bombs, names that change on and on',
  log: 'packets refused in a second with and without --log, CPU of who reads, and what is seen of a neighbour; as root',
  matcher: 'names a second that the matcher of DNS judges, and what it takes to build, hold and change',
  memory:
    'what publisher and subscriber keep in memory over 100 pushes of a million, and 1,000 changes of it, or of 2^18 rules',
  merge: '1k + 1k merged into ten million hosts: columns, table, flip',
  metrics:
    'what rulectl metrics costs with 200 firewalls, 960 lists and 100 policies, and how long it stalls',
  mirror:
    'from a head in place to 500 readers of it, at an origin and through the cache of a site, beside arithmetic',
  names: 'bytes and time of lists of names, whole, as deltas and imported, beside xz and zstd',
  reports: 'what a report costs a publisher to which 100,000 names report, their status, a start, and stalls',
  rules:
    '2^18 rules, and 1,000 policies, whole and one changed: stage by stage, commit to APPLIED, CPU, memory',
  sources: 'how long the publisher stalls on a refresh of a million entries, and its memory',
  start: 'what a start costs: of `rulectl status`, and of a firewall that has nothing on its disk; sizes',
  stalls: 'how long the event loops of both daemons stall during a push',
  table:
    'lookups a second, building, deltas and memory of the table, beside its twin, BlockList, maxmind, cidr-matcher and DPDK',
  web: 'what a page of rulectl web costs with 200 firewalls and 1,000 lists: bytes, time, and how long it stalls',
  wire: 'bytes of a change, of catching up and of a cut snapshot; an entry beside other encodings, and times',
};

const isWritten = process.argv.includes('--write');
const [name, ...args] = process.argv.slice(2).filter((arg) => arg !== '--write');
if (name === undefined ? !isWritten : !(name in BENCHES)) {
  process.stdout.write(
    `npm run bench -- NAME [--runs N] [--write]

--write keeps the result in docs/measurements and shows it in docs/explain/performance.md; without NAME it
fills that page anew from the results that are there.

`,
  );
  for (const [bench, what] of Object.entries(BENCHES))
    process.stdout.write(`  ${bench.padEnd(12)} ${what}\n`);
  process.exit(name === undefined || name === '--help' ? 0 : 64);
}
if (name !== undefined) {
  openRun();
  const { run } = await import(`./${name}.mjs`);
  await (isWritten ? measure(name, args, run) : run(args));
}
if (isWritten) {
  const all = measurements();
  writeFileSync(PAGE, filled(readFileSync(PAGE, 'utf8'), all));
  for (const [file, plot] of plots(all)) writeFileSync(new URL(`plots/${file}`, DOCS), plot);
}
