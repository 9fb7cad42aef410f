import type { Connection } from '@rulecast/protocol';
import { expect, it } from 'vitest';
import { FakeClock } from '../../sources/test/fake-clock.ts';
import { ControlExchange } from '../src/control/exchange.ts';

it('an answer of thousands of records leaves turns to others, also where it never waits for its reader', async () => {
  let sent = 0;
  const connection: Partial<Connection> = {
    send: async () => {
      sent += 1;
    },
  };
  const sentAtTurns: number[] = [];
  const exchange = new ControlExchange(connection as Connection, new FakeClock(), async () => {
    sentAtTurns.push(sent);
  });
  for (let i = 0; i < 1000; i++)
    await exchange.record({ record: 'warning', code: 'odd', part: `part ${i}`, reason: 'a test' });
  expect(sent).toBe(1000);
  const stretches = sentAtTurns.map((at, i) => at - (sentAtTurns[i - 1] ?? 0));
  expect(Math.max(...stretches, sent - (sentAtTurns.at(-1) ?? 0))).toBeLessThanOrEqual(64);
});
