import { expect, it } from 'vitest';
import { type BlockedLine, blockedLog } from '../src/daemon/blocked-log.ts';
import { nameBytes } from '../src/message/name.ts';

const ADS = {
  policy: 'work',
  rule: { action: 'drop', policy: 'common', block: 'common', run: 3, list: 'ads' },
} as const;
const NAME = Uint8Array.of(0xff, ...nameBytes('Ads.example'));

it('has the qube, the name as it is judged, and the list', () => {
  const lines: BlockedLine[] = [];
  const tell = blockedLog({ oneOf: 1, random: () => 0.999, nowMs: () => 0, log: (line) => lines.push(line) });
  tell('10.137.0.5', NAME, 1, ADS);
  tell('10.137.0.6', Uint8Array.of(3, 0x22, 0x0a, 0x2e, 0), 0, { policy: 'work', rule: undefined });
  expect(lines).toEqual([
    { qube: '10.137.0.5', blocked: 'ads.example', list: 'ads' },
    { qube: '10.137.0.6', blocked: '"\\010\\046' },
  ]);
});

it('is one of so many, by chance', () => {
  let count = 0;
  let drawn = 0;
  let nowMs = 0;
  const tell = blockedLog({
    oneOf: 10,
    random: () => (drawn++ % 100) / 100,
    nowMs: () => (nowMs += 1000),
    log: () => count++,
  });
  for (let i = 0; i < 1000; i++) tell('10.137.0.5', NAME, 1, ADS);
  expect(count).toBe(100);
});

it('is ten lines of a second at most, whoever asks', () => {
  let count = 0;
  let nowMs = 500;
  const tell = blockedLog({ oneOf: 1, random: () => 0, nowMs: () => nowMs, log: () => count++ });
  for (let i = 0; i < 1000; i++) tell(`10.137.0.${i % 250}`, NAME, 1, ADS);
  expect(count).toBe(10);
  nowMs += 999;
  tell('10.137.0.5', NAME, 1, ADS);
  expect(count).toBe(10);
  nowMs++;
  for (let i = 0; i < 1000; i++) tell('10.137.0.5', NAME, 1, ADS);
  expect(count).toBe(20);
});
