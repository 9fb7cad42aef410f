import { describe, expect, it } from 'vitest';
import { type Endpoint, EndpointError, formatEndpoint, parseEndpoint } from '../src/channel/endpoint.ts';

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
    ['unix:/x?group=wheel', { kind: 'unix', path: '/x', group: 'wheel' }, 'unix:/x?group=wheel'],
    [
      'unix:/x?buffer=4KiB&group=_a-b.9',
      { kind: 'unix', path: '/x', bufferBytes: 4_096, group: '_a-b.9' },
      'unix:/x?buffer=4096&group=_a-b.9',
    ],
    ['unix:/a%3Fb%25c%20d', { kind: 'unix', path: '/a?b%c d' }, 'unix:/a%3Fb%25c%20d'],
    ['unix:/größe.sock', { kind: 'unix', path: '/größe.sock' }, 'unix:/größe.sock'],
    ['unix:/a:b', { kind: 'unix', path: '/a:b' }, 'unix:/a:b'],
    [`unix:${PATH_107}`, { kind: 'unix', path: PATH_107 }, `unix:${PATH_107}`],
    ['memory:test-1.a_B', { kind: 'memory', name: 'test-1.a_B' }, 'memory:test-1.a_B'],
    ['unix:/a&b', { kind: 'unix', path: '/a&b' }, 'unix:/a%26b'],
    ['vchan:3:42', { kind: 'vchan', domainId: 3, port: 42 }, 'vchan:3:42'],
    [
      'vchan:3:42?library=libvchan-xen.so&buffer=4KiB',
      { kind: 'vchan', domainId: 3, port: 42, soname: 'libvchan-xen.so', bufferBytes: 4_096 },
      'vchan:3:42?buffer=4096&library=libvchan-xen.so',
    ],
    [
      'vchan:3:42?library=libxenvchan.so.4.17',
      { kind: 'vchan', domainId: 3, port: 42, soname: 'libxenvchan.so.4.17' },
      'vchan:3:42?library=libxenvchan.so.4.17',
    ],
    [
      'vchan:0:2147483647?buffer=4KiB',
      { kind: 'vchan', domainId: 0, port: 2_147_483_647, bufferBytes: 4_096 },
      'vchan:0:2147483647?buffer=4096',
    ],
    ['qrexec:/run/q.sock', { kind: 'qrexec', path: '/run/q.sock' }, 'qrexec:/run/q.sock'],
    ['stdio:', { kind: 'stdio' }, 'stdio:'],
    ['stdio:?buffer=1MiB', { kind: 'stdio', bufferBytes: 1_048_576 }, 'stdio:?buffer=1048576'],
    ['exec:cat', { kind: 'exec', command: 'cat', args: [] }, 'exec:cat'],
    [
      'exec:/usr/bin/qrexec-client-vm?arg=mgmt&arg=rulecast.Feed+home&buffer=4KiB',
      {
        kind: 'exec',
        command: '/usr/bin/qrexec-client-vm',
        args: ['mgmt', 'rulecast.Feed+home'],
        bufferBytes: 4_096,
      },
      'exec:/usr/bin/qrexec-client-vm?arg=mgmt&arg=rulecast.Feed+home&buffer=4096',
    ],
    [
      'exec:/a%20b?arg=&arg=x%26y=%25',
      { kind: 'exec', command: '/a b', args: ['', 'x&y=%'] },
      'exec:/a%20b?arg=&arg=x%26y=%25',
    ],
    ['zmq+ipc:/run/x.sock', { kind: 'zmq+ipc', path: '/run/x.sock' }, 'zmq+ipc:/run/x.sock'],
    [
      'zmq+tcp:127.0.0.1:5555?buffer=1MiB',
      { kind: 'zmq+tcp', address: '127.0.0.1', port: 5_555, bufferBytes: 1_048_576 },
      'zmq+tcp:127.0.0.1:5555?buffer=1048576',
    ],
    ['zmq+tcp:[::1]:0', { kind: 'zmq+tcp', address: '::1', port: 0 }, 'zmq+tcp:[::1]:0'],
    ['memory:a?buffer=4KiB', { kind: 'memory', name: 'a', bufferBytes: 4_096 }, 'memory:a?buffer=4096'],
  ])('%s is read, and printed as what reads back the same', (text, endpoint, printed) => {
    expect(parseEndpoint(text)).toEqual(endpoint);
    expect(formatEndpoint(endpoint)).toBe(printed);
    expect(parseEndpoint(printed)).toEqual(endpoint);
  });

  it.each([
    ['', 'unknown-kind', 'known forms are unix:/absolute/path.sock, qrexec:/absolute/path.sock, memory:NAME'],
    ['/run/x.sock', 'unknown-kind', 'did you mean unix:/run/x.sock?'],
    ['tcp:127.0.0.1:80', 'unknown-kind', 'known forms are'],
    ['UNIX:/x', 'unknown-kind', 'known forms are'],
    ['unix:', 'bad-path', 'is not absolute'],
    ['unix:run/x.sock', 'bad-path', 'is not absolute'],
    ['unix:/run/', 'bad-path', 'names a directory'],
    ['unix:/a%00b', 'bad-path', 'contains a NUL'],
    ['unix:/100%', 'bad-path', 'write %25'],
    ['unix:/%ff', 'bad-path', 'write %25'],
    [`unix:${PATH_107}p`, 'path-too-long', 'has 108 bytes, a Unix socket takes 107'],
    [`unix:/${'ü'.repeat(54)}`, 'path-too-long', 'has 109 bytes'],
    ['zmq+ipc:x.sock', 'bad-path', 'is not absolute'],
    [`zmq+ipc:${PATH_107}p`, 'path-too-long', 'has 108 bytes'],
    ['zmq:127.0.0.1:1', 'unknown-kind', 'zmq+tcp:ADDRESS:PORT'],
    ['zmq+tcp:127.0.0.1', 'bad-address', 'is not zmq+tcp:ADDRESS:PORT'],
    ['zmq+tcp:::1:5555', 'bad-address', 'in brackets'],
    ['zmq+tcp:[127.0.0.1]:x', 'bad-address', 'is not zmq+tcp:ADDRESS:PORT'],
    ['zmq+tcp:localhost:5555', 'bad-address', 'no name'],
    ['zmq+tcp:*:5555', 'bad-address', 'must be an IPv4 address'],
    ['zmq+tcp:127.0.0.1:65536', 'bad-address', 'from 0 to 65535'],
    ['vchan:3', 'bad-address', 'is not vchan:DOMAIN:PORT'],
    ['vchan:3:42?library=/tmp/libvchan-xen.so', 'bad-option', 'library= is given once: libvchan-xen.so or'],
    ['vchan:3:42?library=', 'bad-option', 'library= is given once'],
    ['vchan:3:42?library=libvchan-xen.so&library=libxenvchan.so', 'bad-option', 'library= is given once'],
    ['unix:/a?library=libvchan-xen.so', 'bad-option', 'is not buffer=SIZE'],
    ['unix:/x?group=', 'bad-option', 'group= is given once'],
    ['unix:/x?group=-r', 'bad-option', 'group= is given once'],
    ['unix:/x?group=a&group=b', 'bad-option', 'group= is given once'],
    ['unix:/x?group=a&mode=0666', 'bad-option', '"mode=0666" is not buffer=SIZE'],
    ['qrexec:/x?group=a', 'bad-option', 'is not buffer=SIZE'],
    ['zmq+ipc:/x?group=a', 'bad-option', 'is not buffer=SIZE'],
    ['vchan:-1:2', 'bad-address', 'is not vchan:DOMAIN:PORT'],
    ['vchan:2147483648:2', 'bad-address', 'from 0 to 2147483647'],
    ['vchan:1:2147483648', 'bad-address', 'port 2147483648'],
    ['stdio:x', 'bad-address', 'takes no address'],
    ['exec:', 'bad-command', 'is empty'],
    ['exec:bin/tool', 'bad-command', 'is relative'],
    ['exec:/x?arg=%00', 'bad-command', 'contains a NUL'],
    ['exec:/x?args=1', 'bad-option', 'is not buffer=SIZE'],
    ['exec:/x?buffer=4096&buffer=4096', 'bad-option', 'is not buffer=SIZE'],
    [`exec:/x?${'arg=1&'.repeat(64)}arg=1`, 'bad-command', 'has 65 arguments'],
    ['memory:', 'bad-name', '1 to 64 of'],
    ['memory:a/b', 'bad-name', '1 to 64 of'],
    [`memory:${'n'.repeat(65)}`, 'bad-name', '1 to 64 of'],
    ['unix:/x?', 'bad-option', 'is not buffer=SIZE'],
    ['unix:/x?size=4096', 'bad-option', '"size=4096" is not buffer=SIZE'],
    ['unix:/x?buffer=4096&buffer=4096', 'bad-option', 'is not buffer=SIZE'],
    ['unix:/x?buffer=64kb', 'bad-option', 'is not buffer=SIZE'],
    ['unix:/x?buffer=-1', 'bad-option', 'is not buffer=SIZE'],
    ['unix:/x?buffer=4095', 'bad-option', 'buffer of 4095 bytes is outside 4096..16777216'],
    ['unix:/x?buffer=16777217', 'bad-option', 'buffer of 16777217 bytes is outside'],
    ['memory:a?buffer=17MiB', 'bad-option', 'buffer of 17825792 bytes is outside'],
  ])('%j is refused as %s', (text, code, message) => {
    const parse = (): Endpoint => parseEndpoint(text);

    expect(parse).toThrow(EndpointError);
    expect(parse).toThrow(expect.objectContaining({ code, message: expect.stringContaining(message) }));
  });
});
