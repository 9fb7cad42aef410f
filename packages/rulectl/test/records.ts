/** Records as a publisher sends them, with what a test does not care about filled in. */

import type { ControlRecordOf } from '@rulecast/protocol';

export const HASH = '0123456789abcdef'.repeat(4);
export const LINEAGE = 'fedcba9876543210'.repeat(2);
/** 2026-07-01T00:00:00Z. */
export const NOW_MS = 1_782_864_000_000;

export function release(some: Partial<ControlRecordOf<'release'>> = {}): ControlRecordOf<'release'> {
  return {
    record: 'release',
    epoch: 1,
    version: 13,
    previousVersion: 12,
    hash: HASH,
    createdAtMs: NOW_MS,
    parts: 3,
    entries: 1_000_000,
    rules: 12,
    deltaBytes: 4_712,
    dryRun: false,
    changed: true,
    otherWarnings: 0,
    ...some,
  };
}

export function change(some: Partial<ControlRecordOf<'change'>> = {}): ControlRecordOf<'change'> {
  return {
    record: 'change',
    op: 'change',
    kind: 'list',
    name: 'drop',
    added: 1_000,
    removed: 3,
    unchanged: 998_997,
    ...some,
  };
}

export function applied(some: Partial<ControlRecordOf<'applied'>> = {}): ControlRecordOf<'applied'> {
  return {
    record: 'applied',
    subscriber: 'fw-a',
    state: 'applied',
    expected: true,
    version: 13,
    ms: 142,
    bytes: 4_900,
    persisted: true,
    ...some,
  };
}

export function head(some: Partial<ControlRecordOf<'head'>> = {}): ControlRecordOf<'head'> {
  return {
    record: 'head',
    lineage: LINEAGE,
    epoch: 1,
    version: 13,
    hash: HASH,
    createdAtMs: NOW_MS - 125_000,
    parts: 2,
    entries: 1_000_000,
    rules: 1,
    startedAtMs: NOW_MS - 7_300_000,
    degraded: [],
    ...some,
  };
}

export function part(some: Partial<ControlRecordOf<'part'>> = {}): ControlRecordOf<'part'> {
  return {
    record: 'part',
    kind: 'list',
    name: 'drop',
    count: 1_000_000,
    digest: HASH,
    changedVersion: 13,
    ...some,
  };
}

export function counters(some: Partial<ControlRecordOf<'counters'>> = {}): ControlRecordOf<'counters'> {
  return {
    record: 'counters',
    subscriber: 'fw-a',
    counters: { generation: 13, nftDecided: 3, nftDropped: 2, 'list.drop': 2 },
    ...some,
  };
}

export function subscriber(some: Partial<ControlRecordOf<'subscriber'>> = {}): ControlRecordOf<'subscriber'> {
  return {
    record: 'subscriber',
    name: 'fw-a',
    state: 'synced',
    expected: true,
    epoch: 1,
    version: 13,
    hash: HASH,
    matches: true,
    lagVersions: 0,
    lagMs: 0,
    connectedSinceMs: NOW_MS - 60_000,
    lastSeenMs: NOW_MS - 3_000,
    appliedAtMs: NOW_MS - 120_000,
    applyMs: 142,
    bytesSent: 1_750_000,
    persisted: true,
    ...some,
  };
}

export function verdict(some: Partial<ControlRecordOf<'verdict'>> = {}): ControlRecordOf<'verdict'> {
  return {
    record: 'verdict',
    subscriber: 'fw-a',
    action: 'drop',
    direction: 'egress',
    policy: 'work',
    rulePolicy: 'common',
    rule: 'action=drop dst=@drop',
    ruleIndex: 2,
    run: 1,
    list: 'drop',
    prefix: '192.0.2.0/24',
    version: 13,
    hash: HASH,
    generation: 7,
    ...some,
  };
}

export function fleet(some: Partial<ControlRecordOf<'fleet'>> = {}): ControlRecordOf<'fleet'> {
  return {
    record: 'fleet',
    everyMs: 300_000,
    version: 13,
    synced: 99_900,
    behind: 40,
    refused: 0,
    silent: 60,
    unknown: 0,
    refusedBy: [],
    ...some,
  };
}

export function member(some: Partial<ControlRecordOf<'member'>> = {}): ControlRecordOf<'member'> {
  return {
    record: 'member',
    name: 'fw-17',
    state: 'silent',
    via: 'site-3',
    epoch: 1,
    version: 12,
    hash: HASH,
    applyMs: 142,
    persisted: true,
    heardAtMs: NOW_MS - 720_000,
    ...some,
  };
}

/** The record of a list with a URL. */
export function list(some: Partial<ControlRecordOf<'list'>> = {}): ControlRecordOf<'list'> {
  return {
    record: 'list',
    name: 'spamhaus',
    source: 'url',
    origin: 'https://www.example.org/drop.json',
    state: 'ok',
    holds: 'prefixes',
    count: 1406,
    published: true,
    fetchedAtMs: Date.now() - 120_500,
    nextAtMs: Date.now() + 3_630_000,
    changedAtMs: Date.now() - 7_300_000,
    added: 12,
    removed: 3,
    formats: ['spamhaus'],
    rejects: 0,
    protected: 0,
    protectedPrefixes: [],
    ...some,
  };
}

export function edit(some: Partial<ControlRecordOf<'edit'>> = {}): ControlRecordOf<'edit'> {
  return {
    record: 'edit',
    op: 'removed',
    kind: 'list',
    name: 'drop',
    aspect: 'entries',
    lines: ['192.0.2.0/24', '198.51.100.1/32'],
    ...some,
  };
}

/** A packet that a list of a rule of the qube's own policy refused. */
export function refused(some: Partial<ControlRecordOf<'refused'>> = {}): ControlRecordOf<'refused'> {
  return {
    record: 'refused',
    subscriber: 'fw-a',
    id: 1,
    what: 'packet',
    qube: '10.137.0.5',
    interface: 'vif7.0',
    direction: 'egress',
    remote: '192.0.2.7',
    proto: 6,
    port: 443,
    name: 'ads.example',
    reason: 'rule',
    count: 3,
    firstS: NOW_MS / 1000 - 60,
    lastS: NOW_MS / 1000,
    version: 41,
    judgedBy: 41,
    verdict: {
      action: 'drop',
      direction: 'egress',
      policy: 'work',
      rulePolicy: 'work',
      block: 'own',
      rule: 'action=drop dst=@ads',
      ruleIndex: 1,
      run: 1,
      list: 'ads',
      prefix: '192.0.2.0/24',
    },
    allow: 'ads.example',
    ...some,
  };
}
