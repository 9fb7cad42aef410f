/** Sockets that a service manager passes: those for this process, and no others. */

import { expect, it } from 'vitest';
import { passedSockets } from '../src/passed-sockets.ts';

it.each([
  [
    'two',
    { LISTEN_FDS: '2', LISTEN_PID: '7', LISTEN_FDNAMES: 'a:b' },
    [
      { descriptor: 3, name: 'a' },
      { descriptor: 4, name: 'b' },
    ],
  ],
  ['one without a name', { LISTEN_FDS: '1', LISTEN_PID: '7' }, [{ descriptor: 3, name: '' }]],
  ['none', {}, []],
  ['those of another process', { LISTEN_FDS: '2', LISTEN_PID: '8' }, []],
  ['no count', { LISTEN_PID: '7' }, []],
  ['what is no count', { LISTEN_FDS: '2x', LISTEN_PID: '7' }, []],
  ['more than anybody passes', { LISTEN_FDS: '99', LISTEN_PID: '7' }, []],
])('%s', (_, environment: Record<string, string | undefined>, sockets: readonly object[]) => {
  expect(passedSockets(environment, 7)).toEqual(sockets);
  expect(environment).toEqual({}); // for programs that this one starts
});
