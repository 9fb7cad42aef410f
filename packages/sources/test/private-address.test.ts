/** Which addresses and names are of one's own networks, and lookups that leave them out. */

import type { LookupFunction } from 'node:net';
import { describe, expect, it } from 'vitest';
import {
  isPrivateHost,
  isPrivateLiteral,
  isPrivateText,
  publicLookup,
} from '../src/fetch/private-address.ts';

describe('an address', () => {
  it.each([
    '127.0.0.1',
    '127.255.255.254',
    '0.0.0.0',
    '10.139.1.1',
    '172.16.0.1',
    '172.31.255.255',
    '192.168.1.1',
    '169.254.169.254',
    '100.64.0.1',
    '224.0.0.251',
    '255.255.255.255',
    '::',
    '::1',
    'fe80::1',
    'fe80::1%eth0',
    'fec0::1',
    'fc00::1',
    'fd12:3456::1',
    'ff02::1',
    '::ffff:127.0.0.1',
    '::ffff:7f00:1',
    '::127.0.0.1',
    '64:ff9b::10.0.0.1',
    '64:ff9b::a00:1',
    '2002:c0a8:101::1',
    '64:ff9b:1::101:101',
    'no address',
    '',
    '192.0.2.1',
    '2001::1',
  ])('%s is private', (address) => {
    expect(isPrivateText(address)).toBe(true);
  });

  it.each([
    '1.1.1.1',
    '9.255.255.255',
    '11.0.0.0',
    '172.15.255.255',
    '172.32.0.0',
    '192.0.3.0',
    '100.63.255.255',
    '100.128.0.0',
    '223.255.255.255',
    '2606:4700::1111',
    '2001:db9::1',
    '::ffff:1.1.1.1',
    '64:ff9b::101:101',
    '2002:101:101::1',
  ])('%s is not', (address) => {
    expect(isPrivateText(address)).toBe(false);
  });
});

describe('a URL', () => {
  it.each([
    ['http://127.0.0.1:8080/x', true, true],
    ['http://[::1]/', true, true],
    ['http://0x7f.1/', true, true],
    ['http://2130706433/', true, true],
    ['http://localhost/', true, true],
    ['http://a.localhost./', true, true],
    ['http://nas/', true, false],
    ['http://nas.lan/', true, false],
    ['https://feeds.internal/', true, false],
    ['https://router.home.arpa/', true, false],
    ['https://feeds.example/', false, false],
    ['https://notlocalhost.example/', false, false],
    ['https://lan.example/', false, false],
    ['http://1.1.1.1/', false, false],
  ])('%s is private: %s, as it is written: %s', (url, isHost, isLiteral) => {
    expect([isPrivateHost(new URL(url)), isPrivateLiteral(new URL(url))]).toEqual([isHost, isLiteral]);
  });
});

describe('a lookup', () => {
  /** What a name stands for, as net asks for it. */
  function found(addresses: readonly string[], all: boolean): Promise<unknown> {
    const system: LookupFunction = (_, __, callback) => {
      callback(
        null,
        addresses.map((address) => ({ address, family: address.includes(':') ? 6 : 4 })),
      );
    };
    return new Promise((resolve) => {
      publicLookup(system)('feeds.example', { all }, (error, ...rest) => {
        resolve(error === null ? rest : { code: error.code });
      });
    });
  }

  it.each([
    [['127.0.0.1'], true, { code: 'ERR_PRIVATE_ADDRESS' }],
    [['::1', '10.0.0.1'], false, { code: 'ERR_PRIVATE_ADDRESS' }],
    [[], true, { code: 'ERR_PRIVATE_ADDRESS' }],
    [['127.0.0.1', '93.184.2.1'], true, [[{ address: '93.184.2.1', family: 4 }]]],
    [['127.0.0.1', '93.184.2.1'], false, ['93.184.2.1', 4]],
  ])('of %j, all: %s, gives %j', async (addresses, all, expected) => {
    expect(await found(addresses, all)).toEqual(expected);
  });
});
