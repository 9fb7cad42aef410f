import { describe, expect, it } from 'vitest';
import { type Endpoint, EndpointError, formatEndpoint, parseEndpoint } from '../src/endpoint.ts';

const PATH_107 = `/${'p'.repeat(106)}`;

describe('an endpoint URL', () => {
  it.each<[string, Endpoint, string]>([
    ['unix:/run/rulecast.sock', { kind: 'unix', path: '/run/rulecast.sock' }, 'unix:/run/rulecast.sock'],
    [
      'unix:/x.sock?buffer=65536',
      { kind: 'unix', path: '/x.sock', bufferBytes: 65_536 },
      'unix:/x.sock?buffer=65536',
    ],
    [
      'unix:/x.sock?buffer=64KiB',
      { kind: 'unix', path: '/x.sock', bufferBytes: 65_536 },
      'unix:/x.sock?buffer=65536',
    ],
    [
      'unix:/x?buffer=16MiB',
      { kind: 'unix', path: '/x', bufferBytes: 16_777_216 },
      'unix:/x?buffer=16777216',
    ],
    ['unix:/x?buffer=4096', { kind: 'unix', path: '/x', bufferBytes: 4_096 }, 'unix:/x?buffer=4096'],
    ['unix:/a%3Fb%25c%20d', { kind: 'unix', path: '/a?b%c d' }, 'unix:/a%3Fb%25c%20d'],
    ['unix:/größe.sock', { kind: 'unix', path: '/größe.sock' }, 'unix:/größe.sock'],
    ['unix:/a:b', { kind: 'unix', path: '/a:b' }, 'unix:/a:b'],
    [`unix:${PATH_107}`, { kind: 'unix', path: PATH_107 }, `unix:${PATH_107}`],
    ['memory:test-1.a_B', { kind: 'memory', name: 'test-1.a_B' }, 'memory:test-1.a_B'],
    ['memory:a?buffer=4KiB', { kind: 'memory', name: 'a', bufferBytes: 4_096 }, 'memory:a?buffer=4096'],
  ])('%s is read, and printed as what reads back the same', (text, endpoint, printed) => {
    expect(parseEndpoint(text)).toEqual(endpoint);
    expect(formatEndpoint(endpoint)).toBe(printed);
    expect(parseEndpoint(printed)).toEqual(endpoint);
  });

  it.each([
    ['', 'unknown_kind', 'known forms are unix:/absolute/path.sock and memory:NAME'],
    ['/run/x.sock', 'unknown_kind', 'did you mean unix:/run/x.sock?'],
    ['tcp:127.0.0.1:80', 'unknown_kind', 'known forms are'],
    ['UNIX:/x', 'unknown_kind', 'known forms are'],
    ['unix:', 'bad_path', 'is not absolute'],
    ['unix:run/x.sock', 'bad_path', 'is not absolute'],
    ['unix:/run/', 'bad_path', 'names a directory'],
    ['unix:/a%00b', 'bad_path', 'contains a NUL'],
    ['unix:/100%', 'bad_path', 'write %25'],
    ['unix:/%ff', 'bad_path', 'write %25'],
    [`unix:${PATH_107}p`, 'path_too_long', 'has 108 bytes, a Unix socket takes 107'],
    [`unix:/${'ü'.repeat(54)}`, 'path_too_long', 'has 109 bytes'],
    ['memory:', 'bad_name', '1 to 64 of'],
    ['memory:a/b', 'bad_name', '1 to 64 of'],
    [`memory:${'n'.repeat(65)}`, 'bad_name', '1 to 64 of'],
    ['unix:/x?', 'bad_option', 'is not buffer=SIZE'],
    ['unix:/x?size=4096', 'bad_option', '"size=4096" is not buffer=SIZE'],
    ['unix:/x?buffer=4096&buffer=4096', 'bad_option', 'is not buffer=SIZE'],
    ['unix:/x?buffer=64kb', 'bad_option', 'is not buffer=SIZE'],
    ['unix:/x?buffer=-1', 'bad_option', 'is not buffer=SIZE'],
    ['unix:/x?buffer=4095', 'bad_option', 'buffer of 4095 bytes is outside 4096..16777216'],
    ['unix:/x?buffer=16777217', 'bad_option', 'buffer of 16777217 bytes is outside'],
    ['memory:a?buffer=17MiB', 'bad_option', 'buffer of 17825792 bytes is outside'],
  ])('%j is refused as %s', (text, code, message) => {
    const parse = (): Endpoint => parseEndpoint(text);

    expect(parse).toThrow(EndpointError);
    expect(parse).toThrow(expect.objectContaining({ code, message: expect.stringContaining(message) }));
  });
});
