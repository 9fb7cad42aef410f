/**
 * Known design errors, each as a change of one place of the sources: what would be easy to write, and wrong.
 * Each has to be seen by the simulator or by the suites that are named for it.
 */

/**
 * @typedef {{
 *   readonly name: string,
 *   readonly path: string,
 *   readonly find: string,
 *   readonly replace: string,
 *   readonly suites: readonly string[],
 * }} Mutant `find` stands once in the file; `suites` are files of tests.
 */

const ACTIVATOR = 'packages/subscriber/src/apply/activator.ts';
const OFFERING = 'packages/sessions/src/session/offering.ts';
const RELEASE_INDEX = 'packages/publisher/src/store/release-index.ts';
const SUBSCRIBER = ['packages/subscriber/test/release.test.ts', 'packages/subscriber/test/restart.test.ts'];
const FRESHNESS = ['packages/subscriber/test/freshness.test.ts'];
const SESSION = ['packages/publisher/test/session.test.ts', 'packages/sessions/test/machine.test.ts'];

/** @type {readonly Mutant[]} */
export const MUTANTS = [
  {
    name: 'a release is acknowledged when it is sent',
    path: OFFERING,
    find: '...(isWhole ? [] : [ABORT]));',
    replace:
      "{ kind: 'note', note: { held: { hash: offer.release.hash, epoch: offer.release.manifest.epoch, version: offer.release.manifest.version } } }, ...(isWhole ? [] : [ABORT]));",
    suites: SESSION,
  },
  {
    name: 'a release is offered before it is on disk',
    path: 'packages/publisher/src/release/commit.ts',
    find: '    await store.commit(release, delta, notesOf(draft, origin), snapshot, origin);\n',
    replace:
      '    const late = (...all: Parameters<typeof store.commit>) => setTimeout(() => void store.commit(...all).catch(() => undefined), 500);\n    late(release, delta, notesOf(draft, origin), snapshot, origin);\n',
    suites: ['packages/publisher/test/commit.test.ts', 'packages/publisher/test/publisher.test.ts'],
  },
  {
    name: 'a release is put in force in place, before it is on disk',
    path: ACTIVATOR,
    find: '    return compiled.value;\n',
    replace: '    flipTable(content.handle, compiled.value);\n    return compiled.value;\n',
    suites: SUBSCRIBER,
  },
  {
    name: 'a history that does not reach back is an empty difference',
    path: RELEASE_INDEX,
    find: '    if (from < 0) return undefined;\n',
    replace: '    if (from < 0) return [];\n',
    suites: ['packages/publisher/test/store.test.ts'],
  },
  {
    name: 'what deltas make is not compared with what was signed',
    path: 'packages/subscriber/src/verify/verify.ts',
    find: '  verifyRuleSet(manifest, ruleSet, base);\n',
    replace: '  if (base.policies.size === 0) verifyRuleSet(manifest, ruleSet, base);\n',
    suites: ['packages/subscriber/test/refusal.test.ts'],
  },
  {
    name: 'the order of epochs is not looked at',
    path: 'packages/subscriber/src/apply/offer.ts',
    find: '    const order = compareRelease(manifest, floor);\n',
    replace: '    const order = manifest.version - floor.version;\n',
    suites: ['packages/subscriber/test/refusal.test.ts'],
  },
  {
    name: 'a delta without changes wipes everything',
    path: 'protocol/src/codec/delta.ts',
    find: '  return { parts: mergedBy(table.parts, heads, (_, i) => made[i]), claims };\n',
    replace:
      '  return { parts: heads.length === 0 ? [] : mergedBy(table.parts, heads, (_, i) => made[i]), claims };\n',
    suites: ['protocol/test/delta.test.ts'],
  },
  {
    name: 'a commit that failed moves the head of the publisher',
    path: 'packages/publisher/src/release/commit.ts',
    find: '    await store.commit(release, delta, notesOf(draft, origin), snapshot, origin);\n',
    replace:
      '    this.#current = release;\n    await store.commit(release, delta, notesOf(draft, origin), snapshot, origin);\n',
    suites: ['packages/publisher/test/commit.test.ts'],
  },
  {
    name: 'a commit that failed moves the floor of the subscriber',
    path: ACTIVATOR,
    find: '    const writing = state?.writeCandidate(stored);\n',
    replace:
      '    const { manifestBytes, signatures } = stored;\n    const { lineage } = this.#options.keyring.trust;\n    const begun = markOf(verifySigned(manifestBytes, signatures, lineage, () => true));\n    this.#floor.mark = { ...begun, hash: new Uint8Array(32) };\n    const writing = state?.writeCandidate(stored);\n',
    suites: ['packages/subscriber/test/refusal.test.ts'],
  },
  {
    name: 'an error clears the table',
    path: ACTIVATOR,
    find: '      this.#options.state?.dropCandidate(hash);\n',
    replace: '      this.#options.state?.dropCandidate(hash);\n      await this.#boot();\n',
    suites: SUBSCRIBER,
  },
  {
    name: 'a candidate that was dropped is kept as what is in force',
    path: 'packages/subscriber/src/content/owner.ts',
    find: "      case 'dropped':\n",
    replace: "      case 'dropped':\n        this.#active = this.#candidate ?? this.#active;\n",
    suites: ['packages/subscriber/test/refusal.test.ts'],
  },
  {
    name: 'what was refused is offered again at once',
    path: OFFERING,
    find: 'retryAtMs: now.monotonicMs + retryAfterMs }',
    replace: 'retryAtMs: now.monotonicMs + 1 }',
    suites: SESSION,
  },
  {
    name: 'reading waits for what is being sent',
    path: 'protocol/src/peer/connection.ts',
    find: '      return await this.#next();\n',
    replace: '      await this.#sending;\n      return await this.#next();\n',
    suites: ['protocol/test/connection.test.ts'],
  },
  {
    name: 'the stream is of a later version than the one that it is said to be',
    path: 'packages/publisher/src/release/transfer.ts',
    find: '    if (this.#store.index.head?.hash !== hexOf(release.hash)) return undefined;\n',
    replace: '',
    suites: ['packages/publisher/test/transfer.test.ts'],
  },
  {
    name: 'numbers are compared as 32 bits',
    path: 'protocol/src/content/manifest.ts',
    find: '  return a.epoch !== b.epoch ? a.epoch - b.epoch : a.version - b.version;\n',
    replace:
      '  return a.epoch !== b.epoch ? (a.epoch >>> 0) - (b.epoch >>> 0) : (a.version >>> 0) - (b.version >>> 0);\n',
    suites: ['protocol/test/manifest.test.ts'],
  },
  {
    name: 'a mask of no bits is shifted by 32',
    path: 'packages/rules/src/prefix.ts',
    find: '  if (bits <= 0) return 0;\n  if (bits >= 32) return 0xffffffff;\n',
    replace: '',
    suites: ['packages/rules/test/prefix.test.ts'],
  },
  {
    name: 'rules end by a clock that jumps',
    path: 'packages/subscriber/src/clock/clock.ts',
    find: '      now: Math.max(secondsOf(Math.max(wallMs, countedMs, madeAtMs)), this.#ended),\n',
    replace: '      now: secondsOf(wallMs),\n',
    suites: ['packages/subscriber/test/environment.test.ts'],
  },
  {
    name: 'a release above the head is not asked for its proof',
    path: 'packages/sessions/src/session/greeting.ts',
    find: '  if (head === undefined || compareRelease(claim, head.manifest) >= 0) return true;\n',
    replace: '',
    suites: SESSION,
  },
  {
    name: 'another release of a number that is here is not asked for its proof',
    path: 'packages/sessions/src/session/greeting.ts',
    find: '  return claim.epoch === head.manifest.epoch && publisher.rulesOut(claim);\n',
    replace: '  return false;\n',
    suites: ['packages/sessions/test/fork.test.ts'],
  },
  {
    name: 'a release of a number that is passed over here is not asked for its proof',
    path: RELEASE_INDEX,
    find: '    return next?.key[0] === epoch && next.previousVersion < version;\n',
    replace: '    return false;\n',
    suites: ['packages/publisher/test/session.test.ts'],
  },
  {
    name: 'what is in force and not enforced is acknowledged',
    path: 'packages/subscriber/src/peer/transfer.ts',
    find: '        next.trouble === undefined\n',
    replace: '        next.trouble === undefined || next.trouble !== undefined\n',
    suites: ['packages/subscriber/test/machine.test.ts'],
  },
  {
    name: 'the head is offered while a proof is judged',
    path: 'packages/sessions/src/session/offering.ts',
    find: '  if (isHeld(peer.asking)) return stepTo(state);',
    replace: '  if (isHeld(peer.asking) && head === undefined) return stepTo(state);',
    suites: ['packages/sessions/test/fork.test.ts'],
  },
  {
    name: 'who remembers nothing takes whatever is offered first',
    path: 'packages/subscriber/src/peer/freshness.ts',
    find: '    if (hasFloor) return;\n',
    replace: '    if (hasFloor || !hasFloor) return;\n',
    suites: FRESHNESS,
  },
  {
    name: 'what was said to one nonce is believed of another',
    path: 'packages/subscriber/src/peer/freshness.ts',
    find: 'asks.find(({ nonce }) => Buffer.compare(nonce, statement.nonce) === 0)',
    replace: 'asks.at(-1)',
    suites: FRESHNESS,
  },
  {
    name: 'a key of releases says what is newest',
    path: 'packages/subscriber/src/apply/keyring.ts',
    find: "isSignedBy(root, 'freshness', signed)",
    replace: "isSignedBy(root, 'release', signed)",
    suites: FRESHNESS,
  },
  {
    name: 'a publisher that is behind says that its head is the newest',
    path: 'packages/sessions/src/session/freshness.ts',
    find: '  if (now.publisher.isBehind) return',
    replace: '  if (now.publisher.isBehind && now.publisher.head === undefined) return',
    suites: ['packages/publisher/test/freshness.test.ts'],
  },
  {
    name: 'a floor whose release is lost is not told of',
    path: 'packages/subscriber/src/peer/machine.ts',
    find: '    floor: numberOf(floor),\n',
    replace: '',
    suites: ['packages/subscriber/test/restart.test.ts', 'packages/subscriber/test/machine.test.ts'],
  },
  {
    name: 'a file of the state is read from its first place only',
    path: 'packages/subscriber/src/state/state.ts',
    find: 'this.#main.readRelease(file) ?? this.#copy.readRelease(file)',
    replace: 'this.#main.readRelease(file)',
    suites: ['packages/subscriber/test/state-disks.test.ts'],
  },
  {
    name: 'a file of the state has its name before it is flushed',
    path: 'packages/subscriber/src/state/shelf.ts',
    find: '        await file.sync();\n',
    replace: '',
    suites: ['packages/subscriber/test/state-disks.test.ts'],
  },
  {
    name: 'a snapshot goes on where it was cut, however small',
    path: 'packages/subscriber/src/peer/transfer.ts',
    find: '  if (bytes < RESUMED_MIN_BYTES) return undefined;\n',
    replace: '',
    suites: ['packages/subscriber/test/cut.test.ts'],
  },
  {
    name: 'pages are asked for that do not go on',
    path: 'packages/publisher/src/control/counter-pages.ts',
    find: 'next <= from',
    replace: 'next === 0',
    suites: ['packages/publisher/test/control.test.ts'],
  },
  {
    name: 'what this host could not do is refused for good',
    path: 'packages/subscriber/src/peer/transfer.ts',
    find: "  const retry = blame === 'signed' ? 'never' : 'later';\n",
    replace: "  const retry = blame === 'stream' ? 'later' : 'never';\n",
    suites: ['packages/subscriber/test/refusal.test.ts', 'packages/subscriber/test/machine.test.ts'],
  },
  {
    name: 'what PING says is in force is not looked at',
    path: OFFERING,
    find: '  if (isSame(before?.hash, hash)) return stepTo(state, ...well);\n  const held',
    replace:
      '  if (isSame(before?.hash, hash) || claimed !== null) return stepTo(state, ...well);\n  const held',
    suites: SESSION,
  },
  {
    name: 'a publisher that was proved to be behind goes on counting',
    path: 'packages/publisher/src/release/numbers.ts',
    find: 'if (proved === undefined || proved.epoch < epoch) return undefined;',
    replace: 'if (proved === undefined || proved.epoch <= epoch) return undefined;',
    suites: ['packages/publisher/test/publisher.test.ts', ...SESSION],
  },
  {
    name: 'what is newest is compared by its version, without the epoch',
    path: 'packages/subscriber/src/peer/freshness.ts',
    find: '  const order = compareRelease(offer, newest);\n',
    replace: '  const order = offer.version - newest.version;\n',
    suites: FRESHNESS,
  },
  {
    name: 'what came since is told by its version, without the epoch',
    path: 'packages/subscriber/src/peer/freshness.ts',
    find: 'return cameSince && compareRelease(held, newest) > 0;',
    replace: 'return cameSince && held.version > newest.version;',
    suites: FRESHNESS,
  },
  {
    name: 'what was in force is compared by its version with what is newest',
    path: 'packages/subscriber/src/peer/freshness.ts',
    find: '  const order = compareRelease(statement, bound);\n',
    replace: '  const order = statement.version - bound.version;\n',
    suites: FRESHNESS,
  },
  {
    name: 'the least that may be newest is found by its version',
    path: 'packages/subscriber/src/peer/freshness.ts',
    find: 'const bound = compareRelease(least, floor) < 0 ? least : floor;',
    replace: 'const bound = least.version < floor.version ? least : floor;',
    suites: FRESHNESS,
  },
  {
    name: 'what was in force and the floor are told apart by their versions',
    path: 'packages/subscriber/src/peer/freshness.ts',
    find: '  return compareRelease(one, other) < 0 ? other : one;\n',
    replace: '  return one.version < other.version ? other : one;\n',
    suites: FRESHNESS,
  },
  {
    name: 'a nonce may be answered again and again',
    path: 'packages/subscriber/src/peer/freshness.ts',
    find: 'asks: known.asks.slice(at + 1), newest,',
    replace: 'asks: known.asks.slice(at), newest,',
    suites: FRESHNESS,
  },
  {
    name: 'a thread that was told nothing puts the boot mode in force in place of a release',
    path: 'packages/subscriber/src/content/owner.ts',
    find: "    if (this.#aim === undefined) throw new TypeError('the rules are being loaded again');\n    return this.#aim;\n",
    replace:
      '    const { boot: ruleSet } = this.#options;\n    return this.#aim ?? { of: undefined, ruleSet, environment: { now: 0, dns: [] }, changes: undefined };\n',
    suites: ['packages/subscriber/test/content.test.ts'],
  },
  {
    name: 'a thread that began before a flip loads again what was in force before it',
    path: 'packages/subscriber/src/content/content.ts',
    find: '    if (!line.isGone) await this.#restart(line);\n',
    replace: '',
    suites: ['packages/subscriber/test/content.test.ts'],
  },
  {
    name: 'the boot mode is aimed at while a release is restored',
    path: ACTIVATOR,
    find: '    return this.#inTurn(() => this.#restoreNow());\n',
    replace: '    return this.#restoreNow();\n',
    suites: ['packages/subscriber/test/content.test.ts'],
  },
  {
    name: 'a thread that dies while a release is restored leaves the boot mode',
    path: 'packages/subscriber/src/peer/subscriber.ts',
    find: '      if (this.#ownerDeaths > deathsBefore && triesLeft > 0) return this.#restore(triesLeft - 1);\n',
    replace: '',
    suites: ['packages/subscriber/test/content.test.ts'],
  },
  {
    name: 'plans of a thread are taken for those of the thread before it',
    path: 'packages/nftables/src/sink/plans.ts',
    find: 'each && sameTag(each.tag, tag)',
    replace: 'each && each.tag.conditions !== tag.release',
    suites: ['packages/nftables/test/plans.test.ts'],
  },
  {
    name: 'what comes back after a start is not compared with what was signed',
    path: 'packages/subscriber/src/content/owner.ts',
    find: '    verifyRuleSet(decodeManifest(manifestBytes), ruleSet);\n',
    replace: '',
    suites: ['packages/subscriber/test/restart.test.ts'],
  },
  {
    name: 'a candidate that is dropped takes a file of the chain with it',
    path: 'packages/subscriber/src/state/state.ts',
    find: '      if (!this.#chain.files.includes(file)) this.#main.remove(file);\n',
    replace: '      this.#main.remove(file);\n',
    suites: ['packages/subscriber/test/state.test.ts'],
  },
  {
    name: 'the lineage of a manifest is not looked at',
    path: 'packages/subscriber/src/apply/offer.ts',
    find: "  if (!Buffer.from(manifest.lineage).equals(lineage)) {\n    throw new ProtocolError(ErrorCode.wrongLineage, 'the manifest is of another lineage');\n  }\n",
    replace: '',
    suites: FRESHNESS,
  },
  {
    name: 'a commit returns before it is on disk',
    path: 'packages/publisher/src/store/databases.ts',
    find: '    overlappingSync: false, // a commit that returns is on disk\n',
    replace: '    overlappingSync: false,\n    noSync: true,\n',
    suites: ['packages/publisher/test/databases-sync.test.ts'],
  },
  {
    name: 'what was signed by keys that are gone binds the publisher',
    path: 'packages/publisher/src/signer/signer.ts',
    find: '    keys === undefined || allowed',
    replace: '    keys === undefined || keys.length > 0 || allowed',
    suites: ['packages/publisher/test/rotated.test.ts'],
  },
  {
    name: 'what was the newest once is so for ever',
    path: 'packages/subscriber/src/peer/freshness-watch.ts',
    find: "if (isOver) return this.#become('stale', this.#staleText());",
    replace: 'if (isOver) return;',
    suites: FRESHNESS,
  },
  {
    name: 'an accept in first opens for all qubes',
    path: 'packages/rules/src/rule-set.ts',
    find: "if (matches.some(({ action }) => action !== 'drop')) yield FIRST_ACCEPTS;",
    replace: 'void matches;',
    suites: ['packages/subscriber/test/refusal.test.ts'],
  },
  {
    name: 'a table leaves out first',
    path: 'packages/table/src/program/outline.ts',
    find: 'policies.find(({ name }) => name === FIRST_POLICY)',
    replace: "policies.find(({ name }) => name === '')",
    suites: ['packages/table/test/first.test.ts'],
  },
  {
    name: 'a release of first alone opens what the boot mode closes',
    path: 'packages/subscriber/src/content/owner.ts',
    find: 'boot : bootBehindFirst(boot, of.ruleSet)',
    replace: 'boot : of.ruleSet',
    suites: SUBSCRIBER,
  },
  {
    name: 'after releases that cannot be read the boot mode opens',
    path: ACTIVATOR,
    find: 'isShut: state?.outdated !== undefined',
    replace: 'isShut: false',
    suites: SUBSCRIBER,
  },
  {
    name: 'a store that was set aside is gone on from at version 1',
    path: 'packages/publisher/src/release/commit.ts',
    find: 'const head = this.#current?.manifest ?? after;',
    replace: 'const head = this.#current?.manifest;',
    suites: ['packages/publisher/test/state.test.ts'],
  },
  {
    name: 'a root is overdue by the clock that is ahead',
    path: 'protocol/src/content/renewal.ts',
    find: 'readings.earliest >= refreshBy',
    replace: 'readings.latest >= refreshBy',
    suites: ['packages/subscriber/test/renewal.test.ts', 'protocol/test/trust.test.ts'],
  },
  {
    name: 'what is fresh is opened under a root that is overdue',
    path: 'packages/subscriber/src/peer/subscriber.ts',
    find: "this.#freshness.standing !== 'fresh' || this.#rootWatch.renewal === 'overdue'",
    replace: "this.#freshness.standing !== 'fresh'",
    suites: ['packages/subscriber/test/renewal.test.ts'],
  },
  {
    name: 'a root opens again what was said to be fresh under the overdue one',
    path: 'packages/subscriber/src/peer/subscriber.ts',
    find: "if (this.#rootWatch.renewal === 'overdue') this.#freshness.doubted();",
    replace: '',
    suites: ['packages/subscriber/test/renewal.test.ts'],
  },
  {
    name: 'a root follows that its own keys have not signed',
    path: 'protocol/src/content/root.ts',
    find: "if (!isSignedBy(root, 'root', next))",
    replace: "if (!isSignedBy(last.root, 'root', next))",
    suites: ['protocol/test/trust.test.ts'],
  },
  {
    name: 'the judge of DNS passes over exceptions of a list',
    path: 'packages/dns/src/match/matcher.ts',
    find: '[set.exceptions, ~subject],',
    replace: '',
    suites: ['packages/dns/test/matcher.test.ts'],
  },
  {
    name: 'an exception that no entry stands for is taken from a patch',
    path: 'packages/rules/src/name-set.ts',
    find: 'if ((bitsIn(exceptions, above) & BELOW) !== 0) return false;',
    replace: '',
    suites: ['packages/rules/test/name-set.test.ts', 'protocol/test/name-list.test.ts'],
  },
];

/**
 * The text of a source, as it is with a mutant. Throws Error where its place is not there once.
 * @param {Mutant} mutant
 * @param {string} path
 * @param {string} text
 */
export function mutated({ name, path: at, find, replace }, path, text) {
  if (!path.endsWith(`/${at}`)) return text;
  const parts = text.split(find);
  if (parts.length !== 2) throw new Error(`${name}: ${at} has its place ${parts.length - 1} times`);
  return parts.join(replace);
}
