/** Whether the rights of root can be given up: only where nothing of libuv keeps them. */

import { describe, expect, it } from 'vitest';
import { mayUseUring } from '../src/daemon/privileges.ts';

describe('io_uring', () => {
  it.each([
    ["Node's own libuv", '1.46.0', false, undefined, false],
    ["Node's own, turned on", '1.46.0', false, '1', true],
    ["Node's own, turned on by nothing", '1.46.0', false, '', true],
    ["Node's own, turned off", '1.46.0', false, '0', false],
    ["a system's, before it was there", '1.44.2', true, undefined, false],
    ["a system's, where it is on", '1.45.0', true, undefined, true],
    ["a system's, where it is on still", '1.48.0', true, undefined, true],
    ["a system's, where it is on, turned off", '1.48.0', true, '0', false],
    ["Debian 13's", '1.50.0', true, undefined, false],
    ["Debian 13's, turned on", '1.50.0', true, '1', true],
    ["a system's that nobody knows yet", '2.0.0', true, undefined, true],
    ['what says no version', '', true, undefined, true],
  ])('of %s', (_, uvVersion, isShared, variable, expected) => {
    expect(mayUseUring({ uvVersion, isShared, variable })).toBe(expected);
  });
});
