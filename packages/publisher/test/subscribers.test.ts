import { Subscribers } from '@rulecast/sessions';
import { describe, expect, it } from 'vitest';
import { subscriberRecords } from '../src/subscribers/record.ts';
import { freshPublisher, SILENT } from './fresh-publisher.ts';

describe('what is known of subscribers', () => {
  it('is bounded: beyond 4,096 names the disconnected one unseen for longest is forgotten', () => {
    const subscribers = new Subscribers(SILENT);
    for (let i = 0; i < 4096; i++) subscribers.entry(`fw-${i}`, 1000 + i);
    const oldest = subscribers.entry('fw-0', 0);
    oldest.connectedSinceMs = 1000;
    const second = subscribers.entry('fw-1', 0);
    subscribers.entry('late', 5000);
    expect(subscribers.entry('fw-0', 6000)).toBe(oldest);
    expect(subscribers.connected()).toEqual(['fw-0']);
    expect(subscribers.entry('fw-1', 6000)).not.toBe(second);
  });

  it('is one entry a name, made when first asked for', () => {
    const subscribers = new Subscribers(SILENT);
    const entry = subscribers.entry('fw', 1);
    expect(subscribers.entry('fw', 2)).toBe(entry);
    expect(entry).toMatchObject({ name: 'fw', lastSeenMs: 1, held: undefined, refused: [] });
  });

  it('has no fault where a firewall keeps nothing by choice, and drops all until it has a release', () => {
    const { subscribers, store } = freshPublisher();
    const persistedOf = (capabilities: readonly string[] | undefined): unknown => {
      Object.assign(subscribers.entry('fw', 0), { persisted: false, capabilities });
      return subscriberRecords(subscribers, undefined, store, 0)[0]?.persisted;
    };
    expect(persistedOf(undefined)).toBe(false);
    expect(persistedOf(['names'])).toBe(false);
    expect(persistedOf(['names', 'starts-closed'])).toBeUndefined();
  });

  it('holds the last 32 refusals, each once', () => {
    const subscribers = new Subscribers(SILENT);
    const entry = subscribers.entry('fw', 1);
    const reason = { code: 'bad-rule-set', text: 'no', atMs: 1 };
    for (let i = 0; i < 40; i++) subscribers.refuse(entry, `hash-${i}`, reason);
    subscribers.refuse(entry, 'hash-20', reason);
    const hashes = entry.refused.map(({ hash }) => hash);
    expect(hashes).toHaveLength(32);
    expect(hashes.at(-1)).toBe('hash-20');
    expect(hashes[0]).toBe('hash-8');
    expect(new Set(hashes).size).toBe(32);
  });

  it('holds of refusals what HELLO says, and the reasons that were heard before', () => {
    const subscribers = new Subscribers(SILENT);
    const entry = subscribers.entry('fw', 1);
    subscribers.refuse(entry, 'one', { code: 'bad-rule-set', text: 'no', atMs: 1 });
    subscribers.refuse(entry, 'two', { code: 'over-limit', text: 'large', atMs: 2 });
    subscribers.takeRefusals(entry, ['two', 'three'], 9);
    expect(entry.refused).toEqual([
      { hash: 'two', code: 'over-limit', text: 'large', atMs: 2 },
      { hash: 'three', code: 'refused-before', text: expect.stringMatching('log'), atMs: 9 },
    ]);
    subscribers.takeRefusals(entry, [], 9);
    expect(entry.refused).toEqual([]);
  });
});
