/**
 * `npm run package`: packages of both sides for Debian and Fedora, in a folder of their own.
 *
 *   checkout ─bundle─▶ root/ (programs, manual pages, completions, units) ─dpkg-buildpackage, rpmbuild─▶ *.deb, *.rpm
 *
 * What is packed depends on the checkout alone: two runs give the same bytes.
 */

import { execFileSync } from 'node:child_process';
import {
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { bundle } from './bundle.mjs';
import { bashCompletion, fishCompletion, zshCompletion } from './completion.mjs';
import { componentList } from './components.mjs';
import { helpOf } from './help.mjs';
import { manualPages } from './manual.mjs';
import { notices } from './notices.mjs';

const ROOT = fileURLToPath(new URL('..', import.meta.url));
const KINDS = /** @type {const} */ (['deb', 'rpm']);
/** Architectures of Node, as Debian and Fedora call them. */
const ARCHITECTURES = /** @type {const} */ ({
  x64: { deb: 'amd64', rpm: 'x86_64' },
  arm64: { deb: 'arm64', rpm: 'aarch64' },
});
const PROGRAMS = /** @type {const} */ ([
  {
    name: 'rulectl',
    side: 'management',
    section: 1,
    summary: 'check, release and look at firewall rule sets',
  },
  {
    name: 'rulecast-publisher',
    side: 'management',
    section: 8,
    summary: 'keep firewall rule sets and carry them to firewalls',
  },
  {
    name: 'rulecast-relay',
    side: 'management',
    section: 8,
    summary: 'serve firewalls by the files of a depot',
  },
  {
    name: 'rulecast-subscriber',
    side: 'firewall',
    section: 8,
    summary: 'receive firewall rule sets and enforce them',
  },
  {
    name: 'rulecast-dns',
    side: 'firewall',
    section: 8,
    summary: 'answer DNS for qubes, and block names',
  },
  {
    name: 'rulecast-names',
    side: 'firewall',
    section: 8,
    summary: 'list what is open by name',
  },
  {
    name: 'rulecast-dns-net',
    side: 'firewall',
    section: 8,
    summary: 'make the network namespace in which rulecast-dns is asked',
  },
  {
    name: 'rulecast-doctor',
    side: 'firewall',
    section: 8,
    summary: 'say what keeps a firewall from working',
  },
]);

/** What messages and documents send people to, by the same paths. */
const DOCUMENTS = [
  'README.md',
  'CHANGELOG.md',
  'SECURITY.md',
  'docs',
  'examples/mirror',
  'packaging/README.md',
  'packaging/systemd/README.md',
  ...['PROTOCOL', 'WIRE', 'CONTENT', 'MEANING', 'CONTROL', 'DEPOT'].map((name) => `protocol/${name}.md`),
];

const USAGE = `npm run package -- [--out FOLDER] [--only deb|rpm]

Makes packages of this machine's architecture: rulecast, rulecast-firewall and rulecast-zeromq, for Debian 13 and for Fedora 42 and later,
and a CycloneDX list of the libraries in them. Needs debhelper, dpkg-dev and rpm.

  --out FOLDER  where to (packed); packages that are there go
  --only KIND   deb or rpm; both without

Examples:
  npm run package
  npm run package -- --only deb --out /tmp/rulecast
`;
/** Its native code has a package of its own, and so has its notice. */
const ZEROMQ = 'node_modules/zeromq';
/** Packing takes seconds; a compressor that hangs ends. */
const TOOL_MS = 600_000;

const options = readOptions();
const architecture = ARCHITECTURES[/** @type {keyof typeof ARCHITECTURES} */ (process.arch)];
const version = /** @type {string} */ (JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')).version);
const changed = changedAt();
clear(options.out);
const build = join(options.out, 'build');
const tree = join(build, 'root');
await stage();
for (const kind of options.kinds) {
  if (kind === 'deb') buildDebian();
  else buildRpm();
}
rmSync(build, { recursive: true });
for (const name of readdirSync(options.out).sort()) process.stdout.write(`${join(options.out, name)}\n`);

/** Throws nothing: what is not understood ends with 64, and --help with 0. */
function readOptions() {
  const words = process.argv.slice(2);
  if (words.includes('--help') || words.includes('-h')) {
    process.stdout.write(USAGE);
    process.exit(0);
  }
  const given = parsed(words);
  const [out = 'packed', secondOut] = given.out ?? [];
  if (secondOut !== undefined) fail('--out is given twice', 64);
  if (out === '') fail('--out needs a folder', 64);
  if (given.only?.some((kind) => !KINDS.some((known) => known === kind))) fail('--only is deb or rpm', 64);
  if (!(process.arch in ARCHITECTURES))
    fail(`packages are made on x64 and arm64, and this is ${process.arch}`, 1);
  return { out: resolve(out), kinds: KINDS.filter((kind) => given.only?.includes(kind) ?? true) };
}

/** @param {readonly string[]} words */
function parsed(words) {
  try {
    const text = /** @type {const} */ ({ type: 'string', multiple: true });
    return parseArgs({ args: [...words], options: { out: text, only: text } }).values;
  } catch (cause) {
    return fail(`${cause instanceof Error ? cause.message : cause}\n${USAGE}`, 64);
  }
}

/**
 * Makes room for packages: takes away those of before, and nothing else that somebody keeps there.
 * @param {string} folder
 */
function clear(folder) {
  const names = existsSync(folder) ? readdirSync(folder) : [];
  const strange = names.find(
    (name) => !/^rulecast.*\.(deb|rpm|cdx\.json)$/.test(name) && name !== 'maps' && name !== 'build',
  );
  if (strange !== undefined)
    fail(`${folder} holds ${strange}, which is none of ours: say --out and a folder of its own`, 64);
  rmSync(folder, { recursive: true, force: true });
}

/** @param {string} text @param {number} exit @returns {never} */
function fail(text, exit) {
  process.stderr.write(`npm run package: ${text}\n`);
  process.exit(exit);
}

/** When the version was made, by Debian's changelog: the time of everything in the packages. */
function changedAt() {
  const [, said = ''] =
    / -- .*> {2}(.*)$/m.exec(readFileSync(join(ROOT, 'packaging/debian/changelog'), 'utf8')) ?? [];
  const time = new Date(said);
  return { seconds: Math.floor(time.getTime() / 1000), day: time.toISOString().slice(0, 10) };
}

/** Everything that packages are made of, by what it is. */
async function stage() {
  const put = (/** @type {string} */ path, /** @type {string | Uint8Array} */ contents) => {
    mkdirSync(join(tree, path, '..'), { recursive: true });
    writeFileSync(join(tree, path), contents);
  };
  const packed = [ZEROMQ];
  for (const side of /** @type {const} */ (['management', 'firewall'])) {
    const libraries = await bundle(side, {
      folder: join(tree, side),
      maps: join(options.out, 'maps', side),
      version,
    });
    packed.push(...libraries);
    put(
      `notices/${side}/NOTICES`,
      notices(
        ROOT,
        libraries.filter((path) => path !== ZEROMQ),
      ),
    );
  }
  put('zeromq/zeromq.node', readFileSync(zeromqAddon()));
  put('notices/zeromq/NOTICES', notices(ROOT, [ZEROMQ]));
  writeFileSync(
    join(options.out, `rulecast_${version}_${architecture.deb}.cdx.json`),
    componentList(ROOT, { version, libraries: packed, natives: natives() }),
  );
  for (const { name, side, section, summary } of PROGRAMS) {
    const program = helpOf(join(tree, side, `${name}.js`), name);
    const seeAlso = PROGRAMS.filter((other) => other.name !== name).map(
      (other) => `${other.name}(${other.section})`,
    );
    const pages = manualPages(program, {
      section,
      version,
      date: changed.day,
      summary,
      seeAlso,
      documents: `/usr/share/doc/rulecast${side === 'firewall' ? '-firewall' : ''}`,
    });
    for (const [page, text] of pages) put(`man/${page}.${section}`, text);
    put(`completions/bash/${side}/${name}`, bashCompletion(program));
    put(`completions/zsh/${side}/_${name}`, zshCompletion(program));
    put(`completions/fish/${side}/${name}.fish`, fishCompletion(program));
  }
  put('man/rulecast-publisher.yaml.5', configurationPage());
  put('etc/publisher.yaml', readFileSync(join(ROOT, 'packaging/publisher.yaml')));
  for (const path of DOCUMENTS) cpSync(join(ROOT, path), join(tree, 'documents', path), { recursive: true });
  put('LICENSE', readFileSync(join(ROOT, 'LICENSE')));
  put('rulecast.preinst', readFileSync(join(ROOT, 'packaging/debian/rulecast.preinst')));
  for (const folder of ['systemd', 'qubes'])
    cpSync(join(ROOT, 'packaging', folder), join(tree, folder), { recursive: true });
  for (const name of ['rulecast-signer.socket', 'rulecast-signer@.service'])
    put(`examples/${name}`, readFileSync(join(ROOT, 'packaging/systemd', name)));
  for (const name of ['rulecast.rules.yml', 'rulecast-metrics.service', 'rulecast-metrics.timer'])
    put(`examples/${name}`, readFileSync(join(ROOT, 'packaging/prometheus', name)));
  put('examples/rulecast-web.service', readFileSync(join(ROOT, 'packaging/web/rulecast-web.service')));
  for (const name of ['publisher.yaml', 'firewall.yaml'])
    put(`examples/${name}`, readFileSync(join(ROOT, 'examples', name)));
}

/** Native files of others, by where they are installed. @returns {Readonly<Record<string, string>>} */
function natives() {
  const homes = Object.entries({
    management: '/usr/lib/rulecast',
    firewall: '/usr/lib/rulecast-firewall',
    zeromq: '/usr/lib/rulecast-zeromq',
  });
  return Object.fromEntries(
    homes.flatMap(([side, home]) =>
      readdirSync(join(tree, side), { recursive: true, encoding: 'utf8' })
        .filter((name) => name.endsWith('.node'))
        .map((name) => [join(home, name), join(tree, side, name)]),
    ),
  );
}

/** The one that every Node of this architecture loads: it is built for Node-API. */
function zeromqAddon() {
  const folder = join(ROOT, ZEROMQ, 'build/linux', process.arch, 'node');
  const name = ['glibc-115-Release', 'glibc-127-Release'].find((built) =>
    existsSync(join(folder, built, 'addon.node')),
  );
  return name === undefined
    ? fail(`zeromq has no native code for ${process.arch}`, 1)
    : join(folder, name, 'addon.node');
}

function configurationPage() {
  const lines = readFileSync(join(ROOT, 'examples/publisher.yaml'), 'utf8').trimEnd().split('\n');
  const shown = lines.map((line) =>
    line
      .replaceAll('\\', '\\e')
      .replaceAll('-', '\\-')
      .replace(/^(['.])/, '\\&$1'),
  );
  return [
    `.TH RULECAST\\-PUBLISHER.YAML 5 ${changed.day} "Rulecast ${version}"`,
    '.SH NAME',
    'rulecast\\-publisher.yaml \\- configuration of rulecast\\-publisher',
    '.SH DESCRIPTION',
    'One YAML document, which says where the publisher listens, whom it serves, and which lists it keeps fresh from which sources. This one has every key:',
    '.P',
    '.nf',
    ...shown,
    '.fi',
    '.SH SEE ALSO',
    '.BR rulecast\\-publisher (8),',
    '.BR rulectl (1)',
    '',
  ].join('\n');
}

function buildDebian() {
  cpSync(join(ROOT, 'packaging/debian'), join(build, 'debian'), { recursive: true });
  const as = (/** @type {string} */ from, /** @type {string} */ to) =>
    cpSync(join(tree, 'systemd', from), join(build, 'debian', to));
  as('rulecast-publisher.service', 'rulecast.rulecast-publisher.service');
  as('rulecast-relay.service', 'rulecast.rulecast-relay.service');
  as('rulecast-subscriber.service', 'rulecast-firewall.rulecast-subscriber.service');
  as('rulecast-dns.service', 'rulecast-firewall.rulecast-dns.service');
  as('rulecast-dns-names.socket', 'rulecast-firewall.rulecast-dns-names.socket');
  as('rulecast-dns.socket', 'rulecast-firewall.rulecast-dns.socket');
  as('rulecast-dns-net.service', 'rulecast-firewall.rulecast-dns-net.service');
  as('rulecast-boot.service', 'rulecast-firewall.rulecast-boot.service');
  as('management.sysusers', 'rulecast.sysusers');
  as('management.tmpfiles', 'rulecast.tmpfiles');
  as('firewall.sysusers', 'rulecast-firewall.sysusers');
  as('firewall.tmpfiles', 'rulecast-firewall.tmpfiles');
  run(
    'dpkg-buildpackage',
    ['--build=binary', '--unsigned-changes', '--no-check-builddeps', '--no-pre-clean'],
    'apt install debhelper dpkg-dev',
  );
  for (const name of readdirSync(options.out))
    if (/\.(buildinfo|changes)$/.test(name)) rmSync(join(options.out, name));
  rmSync(join(build, 'debian'), { recursive: true });
}

function buildRpm() {
  const top = join(build, 'rpm');
  const define = (/** @type {string} */ name, /** @type {string} */ value) => [
    '--define',
    `${name} ${value}`,
  ];
  run(
    'rpmbuild',
    [
      '-bb',
      '--quiet',
      ...define('_topdir', top),
      ...define('_tmppath', build),
      ...define('rulecast_version', version),
      ...define('rulecast_root', tree),
      ...define('_build_id_links', 'none'),
      ...define('use_source_date_epoch_as_buildtime', '1'),
      ...define('clamp_mtime_to_source_date_epoch', '1'),
      ...define('_buildhost', 'localhost'),
      '--target',
      architecture.rpm,
      join(ROOT, 'packaging/rulecast.spec'),
    ],
    'apt install rpm',
  );
  const made = join(top, 'RPMS', architecture.rpm);
  for (const name of readdirSync(made)) renameSync(join(made, name), join(options.out, name));
}

/** @param {string} program @param {readonly string[]} args @param {string} advice */
function run(program, args, advice) {
  try {
    execFileSync(program, args, {
      cwd: build,
      env: {
        PATH: process.env['PATH'],
        HOME: build,
        LC_ALL: 'C.UTF-8',
        TZ: 'UTC',
        SOURCE_DATE_EPOCH: `${changed.seconds}`,
      },
      stdio: ['ignore', 'pipe', 'pipe'],
      maxBuffer: 1 << 26,
      timeout: TOOL_MS,
      killSignal: 'SIGKILL',
    });
  } catch (cause) {
    const { code, stderr, stdout } = /** @type {{ code?: string, stderr?: Buffer, stdout?: Buffer }} */ (
      cause
    );
    if (code === 'ENOENT') fail(`${program} is not installed: ${advice}; or say --only`, 1);
    fail(`${program} failed:\n${stdout ?? ''}${stderr ?? ''}`, 1);
  }
}
