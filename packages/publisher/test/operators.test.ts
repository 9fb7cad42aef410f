/**
 * The rights of the users of rulectl: each request by each role, requests beyond a role, and each way in
 * which a caller is identified.
 */

import type { OperatorRole } from '@rulecast/formats';
import { type Message, OPERATOR_CONNECTIONS_MAX, type WirePacket } from '@rulecast/protocol';
import { type Endpoint, parseEndpoint } from '@rulecast/vchan';
import { describe, expect, it, onTestFinished } from 'vitest';
import { temporaryDirectory } from '../../../test/kit/directory.ts';
import { checkRole, Operators } from '../src/admission/operators.ts';
import type { ReleaseAudit } from '../src/release/outcome.ts';
import type { Publisher } from '../src/release/publisher.ts';
import { serveControl } from '../src/requests/serve.ts';
import { freshPublisher } from './fresh-publisher.ts';
import { recordsOf, ScriptedRulectl } from './scripted-rulectl.ts';

const ROLES: readonly OperatorRole[] = ['status', 'push', 'admin'];
const KEY = 'k'.repeat(40);
const OTHER_KEY = 'o'.repeat(40);

const PACKET: WirePacket = { direction: 'egress', dst: Uint8Array.of(192, 0, 2, 1), proto: 6, port: 443 };
const WAIT = { wait: 'released', timeoutMs: 0 } as const;
const REFRESH = { kind: 'refresh', lists: [], allowShrink: false, force: false } as const;
const ROLLBACK = { kind: 'rollback', version: 1, dryRun: false, ...WAIT } as const;
const PUSH = {
  kind: 'push',
  action: 'replace',
  replaceAll: false,
  dryRun: false,
  files: 0,
  ...WAIT,
} as const;

/** Every request there is, as CONTROL.md lists them, and the least role for it. */
const REQUESTS: readonly (readonly [Message, OperatorRole])[] = [
  [{ kind: 'status', watch: false }, 'status'],
  [{ kind: 'test', packet: PACKET }, 'status'],
  [{ kind: 'which', what: '192.0.2.7/32' }, 'status'],
  [{ kind: 'history', most: 1 }, 'status'],
  [{ kind: 'diff', from: 1, stats: false }, 'status'],
  [{ kind: 'lists', sourcesOnly: false }, 'status'],
  [{ kind: 'list', name: 'a', content: false }, 'status'],
  [PUSH, 'push'],
  [ROLLBACK, 'push'],
  [REFRESH, 'push'],
  [{ kind: 'top', of: 'lists' }, 'status'],
  [{ kind: 'forget', name: 'fw' }, 'admin'],
  [{ kind: 'log', follow: false }, 'admin'],
];

const OPENING: readonly Message[] = [
  ...[
    'allowEmpty',
    'allowShrink',
    'allowGrowth',
    'allowCoverage',
    'allowAll',
    'allowKind',
    'allowWider',
    'allowAcceptAll',
    'allowDropAll',
    'allowNoPolicy',
    'allowUnreachable',
    'allowUnresolved',
    '+allowUnsupported',
    'asNewEpoch',
  ].map((field) => ({ ...PUSH, [field]: true })),
  { ...PUSH, dryRun: true, allowAll: true },
  { ...ROLLBACK, allowUnreachable: true },
  { ...ROLLBACK, asNewEpoch: true },
  { ...REFRESH, allowShrink: true },
  { ...REFRESH, allowAll: true },
  { ...REFRESH, force: true },
  ...[PUSH, ROLLBACK, REFRESH].flatMap((request) =>
    [['shrunk'], ['shrunk', 'shrunk'], ['constructor'], []].map((codes) => ({
      ...request,
      '+permit': codes,
    })),
  ),
];

interface House {
  readonly publisher: Publisher;
  /** The endpoints of the owner, and of an operator of each role. */
  readonly at: Readonly<Record<OperatorRole | 'owner', Endpoint>>;
  readonly audited: readonly ReleaseAudit[];
}

async function house(): Promise<House> {
  const audited: ReleaseAudit[] = [];
  const publisher = freshPublisher({ audit: (entry) => audited.push(entry) });
  const directory = temporaryDirectory();
  const pathOf = (name: string): string => `${directory}/${name}.sock`;
  const operators = new Operators(
    ROLES.map((role) => ({ name: `a-${role}`, role, socket: { path: pathOf(role), mode: 0o600 } })),
  );
  const nobody = () => Promise.reject(new Error('nobody is asked'));
  const owner = parseEndpoint(`unix:${pathOf('owner')}`);
  const served = await serveControl(publisher, [owner], nobody, { operators });
  onTestFinished(() => served.close());
  const [status, push, admin] = ROLES.map((role) => parseEndpoint(`unix:${pathOf(role)}`));
  if (status === undefined || push === undefined || admin === undefined) throw new Error('three roles');
  return { publisher, at: { owner, status, push, admin }, audited };
}

async function endOf(endpoint: Endpoint, request: Message): Promise<string> {
  const rulectl = await ScriptedRulectl.connect(endpoint);
  await rulectl.send(request);
  const { end } = await rulectl.answer();
  return end.code;
}

const rank = (role: OperatorRole): number => ROLES.indexOf(role);

describe('a request over the socket of an operator', () => {
  it.each(REQUESTS)('$kind is for those of the role %s and above', async (request, least) => {
    const { at } = await house();
    for (const role of ROLES) {
      const isRefused = (await endOf(at[role], request)) === 'not-permitted';
      expect(isRefused, role).toBe(rank(role) < rank(least));
    }
    expect(await endOf(at.owner, request)).not.toBe('not-permitted');
  });

  it.each(OPENING)('that opens more than guards allow is for admin: %j', async (request) => {
    const { at } = await house();
    expect(await endOf(at.status, request)).toBe('not-permitted');
    expect(await endOf(at.push, request)).toBe('not-permitted');
    expect(await endOf(at.admin, request)).not.toBe('not-permitted');
    expect(await endOf(at.owner, request)).not.toBe('not-permitted');
  });

  it('that is refused changes nothing, though its files came with it', async () => {
    const { publisher, at } = await house();
    const answer = await ScriptedRulectl.push(at.status, { 'a.txt': '192.0.2.1\n' });
    expect(answer.end).toMatchObject({
      code: 'not-permitted',
      text: expect.stringContaining('a-status may status'),
    });
    expect(publisher.head).toBeUndefined();
  });

  it('is on record by its name, in the history and where a guard was opened', async () => {
    const { at, audited } = await house();
    await ScriptedRulectl.push(at.push, { 'a.txt': '192.0.2.1\n192.0.2.3\n' });
    await ScriptedRulectl.push(at.owner, { 'b.txt': '192.0.2.9\n' });
    await ScriptedRulectl.push(at.admin, { 'a.txt': '\n' }, { allowEmpty: true });
    const rulectl = await ScriptedRulectl.connect(at.status);
    await rulectl.send({ kind: 'history', most: 9 });
    const history = recordsOf(await rulectl.answer(), 'history');
    expect(history.map(({ version, by }) => `${version} ${by}`)).toEqual([
      '3 a-admin',
      '2 (owner)',
      '1 a-push',
    ]);
    expect(audited.map(({ version, by, code }) => `${version} ${by} ${code}`)).toEqual([
      '1 a-push released',
      '2 (owner) released',
      '3 a-admin released',
      '3 a-admin empty',
    ]);
  });

  it('has places of its own, which take none from others', async () => {
    const { at } = await house();
    const watching: ScriptedRulectl[] = [];
    for (let i = 0; i < OPERATOR_CONNECTIONS_MAX; i++) {
      const rulectl = await ScriptedRulectl.connect(at.status);
      await rulectl.send({ kind: 'status', watch: true });
      await rulectl.record('head');
      watching.push(rulectl);
    }
    const status: Message = { kind: 'status', watch: false };
    expect(await endOf(at.status, status)).toBe('too-many-connections');
    expect(await endOf(at.push, status)).toBe('ok');
    expect(await endOf(at.owner, status)).toBe('ok');
  });
});

describe('a caller', () => {
  const operators = new Operators([
    { name: 'keyed', role: 'push', curveKey: KEY },
    { name: 'mighty', role: 'admin', qube: 'sys-admin' },
    { name: 'looker', role: 'status', qube: 'monitor' },
  ]);
  const called = (qube: string, service: string, more: { argument?: string } = {}) =>
    operators.callerOf({ name: 'x', qube, service, ...more }, undefined);

  it('by a key has the role of that key, and all where the key is admitted for the endpoint', () => {
    expect(operators.callerOf({ name: 'x', curveKey: KEY }, undefined)).toEqual({
      by: 'keyed',
      role: 'push',
    });
    expect(operators.callerOf({ name: 'x', curveKey: OTHER_KEY }, undefined)).toEqual({
      by: '(key oooooooo…)',
      role: 'admin',
    });
  });

  it('at the control endpoint itself may do all, as before', () => {
    expect(operators.callerOf({ name: 'x' }, undefined)).toEqual({ by: '(owner)', role: 'admin' });
  });

  it.each([
    ['sys-admin', 'rulecast.Status', 'mighty', 'status'],
    ['sys-admin', 'rulecast.Push', 'mighty', 'push'],
    ['sys-admin', 'rulecast.Admin', 'mighty', 'admin'],
    ['monitor', 'rulecast.Status', 'looker', 'status'],
    ['monitor', 'rulecast.Push', 'looker', 'status'],
    ['monitor', 'rulecast.Admin', 'looker', 'status'],
  ])('from %s by %s is %s, and may %s', (qube, service, by, role) => {
    expect(called(qube, service)).toEqual({ by, role });
  });

  it.each([
    ['work', 'rulecast.Push'],
    ['work', 'rulecast.Status'],
    ['sys-admin', 'rulecast.Subscribe'],
    ['sys-admin', 'rulecast.push'],
    ['sys-admin', ''],
  ])('from %s by "%s" may do nothing', (qube, service) => {
    expect(() => called(qube, service)).toThrow(expect.objectContaining({ code: 'not-permitted' }));
  });

  it('by qrexec says its own name as argument, or none', () => {
    expect(called('monitor', 'rulecast.Status', { argument: 'looker' }).role).toBe('status');
    expect(() => called('monitor', 'rulecast.Status', { argument: 'mighty' })).toThrow(
      'the call is for mighty',
    );
  });

  it('makes no request of what is none', () => {
    expect(() => checkRole({ kind: 'prove' }, { by: '(owner)', role: 'admin' })).toThrow(
      'prove is no request',
    );
  });
});
