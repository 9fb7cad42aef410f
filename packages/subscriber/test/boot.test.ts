/** Boot mode: what packets get before the first release. docs/explain/design.md "The subscriber". */

import { describe, expect, it } from 'vitest';
import { expectEnforces, packetOf, sampleRuleSet } from './sample.ts';
import { ScriptedPublisher } from './scripted-publisher.ts';
import { startedSubscriber } from './started.ts';

const PACKETS = [
  ['IPv4 egress', packetOf('egress', '10.137.0.5', '192.0.2.1')],
  ['IPv4 ingress', packetOf('ingress', '192.0.2.1', '10.137.0.5')],
  ['IPv6 egress', packetOf('egress', 'fd09:24ef:4179::5', '2001:db8::1')],
  ['IPv6 ingress', packetOf('ingress', '2001:db8::1', 'fd09:24ef:4179::5')],
  ['IPv4 between two qubes', packetOf('both', '10.137.0.5', '10.137.0.6')],
  ['IPv6 between two qubes', packetOf('both', 'fd09:24ef:4179::5', 'fd09:24ef:4179::6')],
  ['egress without a source', { ...packetOf('egress', '10.137.0.5', '192.0.2.1'), src: undefined }],
  ['ingress without a source', { ...packetOf('ingress', '192.0.2.1', '10.137.0.5'), src: undefined }],
  ['without readable ports', { ...packetOf('egress', '10.137.0.5', '192.0.2.1'), port: undefined }],
  ['of a protocol without ports', packetOf('ingress', '192.0.2.1', '10.137.0.5', 47)],
] as const;

describe.each([
  ['drops', undefined, 'drop'],
  ['drops', 'closed', 'drop'],
  ['accepts', 'open', 'accept'],
] as const)('before the first release, boot mode %s (%s)', (_verb, bootMode, action) => {
  it.each(PACKETS)('%s', async (_title, packet) => {
    const subscriber = await startedSubscriber(
      new ScriptedPublisher(),
      bootMode === undefined ? {} : { bootMode },
    );
    expect(subscriber.lookup(packet).action).toBe(action);
    expect((await subscriber.explain(packet)).verdict.action).toBe(action);
  });

  //
  it('says that no release is in force, and gives way to the first whole', async () => {
    const publisher = new ScriptedPublisher();
    const subscriber = await startedSubscriber(publisher, bootMode === undefined ? {} : { bootMode });
    expect(subscriber.status()).toEqual({
      connected: false,
      publisher: undefined,
      epoch: undefined,
      version: undefined,
      hash: undefined,
      appliedAtMs: undefined,
      persisted: undefined,
      freshness: 'unsure',
      rootRenewal: 'good',
      freshAgeMs: undefined,
      lastError: undefined,
    });
    const { peer, hello } = await publisher.greeted();
    expect(hello.holds).toBeUndefined();
    await peer.bring(publisher.release(sampleRuleSet(1), { version: 1 }));
    await expectEnforces(subscriber, sampleRuleSet(1));
    expect(subscriber.lookup(packetOf('ingress', '192.0.2.1', '172.16.0.1')).action).toBe('none');
  });
});

//
it('a packet that begins no flow is dropped where a sink judges flows, and judged by the rules where none does', async () => {
  const cut = { ...packetOf('egress', '10.137.0.5', '192.0.2.1'), port: undefined };
  const whole = packetOf('egress', '10.137.0.5', '192.0.2.1');
  const idle = async (): Promise<void> => undefined;
  const sink = { judgesFlows: true, prepare: idle, commit: idle, discard: idle };
  for (const [options, expected] of [
    [{ sink }, 'drop'],
    [{ sink: { ...sink, judgesFlows: false } }, 'accept'],
    [{}, 'accept'],
  ] as const) {
    const subscriber = await startedSubscriber(new ScriptedPublisher(), { bootMode: 'open', ...options });
    expect((await subscriber.explain(cut)).verdict.action).toBe(expected);
    expect((await subscriber.explain(whole)).verdict.action).toBe('accept');
  }
});

it.each(['', 'a b', 'x'.repeat(64)])('no subscriber is called %j', async (name) => {
  await expect(startedSubscriber(new ScriptedPublisher(), { name })).rejects.toThrow(TypeError);
});

// Whatever was not the word "closed" opened: a typing error, or what a command line makes of an option given
// twice.
it.each(['"close"', '"Open"', '""', '["closed","closed"]', '["open"]', 'true', '1'])(
  'boot mode %s is refused',
  async (json) => {
    const options = { bootMode: JSON.parse(json) };
    await expect(startedSubscriber(new ScriptedPublisher(), options)).rejects.toThrow('bootMode');
  },
);
