import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { crc32, deflateRawSync, gzipSync } from 'node:zlib';
import { pack } from 'tar-stream';
import { describe, expect, it } from 'vitest';
import { temporaryDirectory } from '../../../test/kit/directory.ts';
import { cases, often } from '../../../test/thorough.ts';
import { UNPACK_LIMITS } from '../src/unpack/limits.ts';
import { type Member, UnpackError, unpack } from '../src/unpack/unpack.ts';
import { unzstd } from '../src/unpack/zstd.ts';
import { AMPLE, archivePath, fixture, HAS_ZSTD, isHere, readable, unpacked } from './archives.ts';

const IS4 = fixture('is4.netset').toString();
const KP4 = fixture('kp4.netset').toString();

/** One of each kind that is compressed. */
const COMPRESSED = [
  ...['gz', 'xz', 'zst'].flatMap((suffix) => [`is4.netset.${suffix}`, `lists.tar.${suffix}`]),
  'lists.zip',
];

interface TarEntry {
  readonly name: string;
  readonly text?: string | Buffer;
  readonly type?: 'file' | 'symlink' | 'link' | 'directory' | 'character-device' | 'fifo';
  readonly linkname?: string;
}

async function tarOf(entries: readonly TarEntry[]): Promise<Buffer> {
  const packing = pack();
  for (const { text = '', ...header } of entries) packing.entry(header, text);
  packing.finalize();
  const pieces: Buffer[] = [];
  for await (const piece of packing) pieces.push(piece);
  return Buffer.concat(pieces);
}

interface ZipEntry {
  readonly name: string;
  readonly bytes: Uint8Array;
  /** What the directory says; default: the truth. */
  readonly size?: number;
  readonly crc?: number;
  readonly unixMode?: number;
  readonly method?: number;
}

/** A zip archive, with lies in it if wanted. */
function zipOf(entries: readonly ZipEntry[]): Buffer {
  const locals: Buffer[] = [];
  const central: Buffer[] = [];
  let offset = 0;
  for (const { name, bytes, size = bytes.length, crc = crc32(bytes), unixMode = 0, method = 8 } of entries) {
    const packed = deflateRawSync(bytes);
    const fields = Buffer.alloc(26); // of both headers: version, flags, method, time, date, crc, sizes, lengths
    fields.writeUInt16LE(20, 0);
    fields.writeUInt16LE(method, 4);
    fields.writeUInt32LE(crc, 10);
    fields.writeUInt32LE(packed.length, 14);
    fields.writeUInt32LE(size, 18);
    fields.writeUInt16LE(name.length, 22);
    const local = Buffer.concat([Buffer.from('PK\x03\x04'), fields, Buffer.from(name), packed]);
    const rest = Buffer.alloc(14);
    rest.writeUInt32LE((unixMode << 16) >>> 0, 6);
    rest.writeUInt32LE(offset, 10);
    const madeBy = Buffer.from([20, 3]);
    central.push(Buffer.concat([Buffer.from('PK\x01\x02'), madeBy, fields, rest, Buffer.from(name)]));
    locals.push(local);
    offset += local.length;
  }
  const directory = Buffer.concat(central);
  const end = Buffer.alloc(22);
  end.write('PK\x05\x06', 'latin1');
  end.writeUInt16LE(entries.length, 8);
  end.writeUInt16LE(entries.length, 10);
  end.writeUInt32LE(directory.length, 12);
  end.writeUInt32LE(offset, 16);
  return Buffer.concat([...locals, directory, end]);
}

describe('a compressed file', () => {
  it.each(
    readable(['is4.netset', 'is4.netset.gz', 'is4-two-members.netset.gz', 'is4.netset.xz', 'is4.netset.zst']),
  )('%s is one file', async (name) => {
    expect(await unpacked(name, fixture(name))).toEqual({ [name.replace(/\.(gz|xz|zst)$/, '')]: IS4 });
  });

  it.each(readable(['gz', 'xz', 'zst']))('.%s is told by its bytes, not by its name', async (suffix) => {
    expect(await unpacked('feed', fixture(`is4.netset.${suffix}`))).toEqual({ feed: IS4 });
    expect(await unpacked('feed.zip', fixture(`is4.netset.${suffix}`))).toEqual({ 'feed.zip': IS4 });
  });

  it.each(readable(['gz', 'xz', 'zst']))(
    '.%s gives as much as is allowed, and not a byte more',
    async (suffix) => {
      const bytes = fixture(`is4.netset.${suffix}`);
      expect(await unpacked('x', bytes, { maxBytes: IS4.length })).toEqual({ x: IS4 });
      const refused = unpack('x', bytes, { ...AMPLE, maxBytes: IS4.length - 1 });
      await expect(refused).rejects.toMatchObject({ code: 'too-large' });
    },
  );

  it('that is not compressed is the same bytes, as many as allowed', async () => {
    const bytes = fixture('is4.netset');
    const [member] = await unpack('x', bytes, AMPLE);
    expect(member?.bytes).toBe(bytes);
    const refused = unpack('x', bytes, { ...AMPLE, maxBytes: IS4.length - 1 });
    await expect(refused).rejects.toMatchObject({ code: 'too-large' });
  });

  it.each(['', 'x', '\n', '0.0.0.0/8\n', 'BZh9 is a name', '\x1f\x8b', 'PK'])(
    '%j is a file',
    async (text) => {
      expect(await unpacked('x', Buffer.from(text, 'latin1'))).toEqual({
        x: Buffer.from(text, 'latin1').toString(),
      });
    },
  );

  it('may be compressed three times, and not four times', async () => {
    let bytes = gzipSync(gzipSync(gzipSync(IS4)));
    expect(await unpacked('x', bytes)).toEqual({ x: IS4 });
    bytes = gzipSync(bytes);
    await expect(unpack('x', bytes, AMPLE)).rejects.toMatchObject({ code: 'nested' });
  });

  it.each([
    ['7z', '377abcaf271c0004'],
    ['RAR', '526172211a0701'],
    ['lzip', '4c5a495001'],
    ['LZ4', '04224d18'],
    ['compress', '1f9d90'],
    ['split zip', '504b070800'],
    ['bzip2', '425a683931415926535900'],
  ])('of a kind that is not read, %s, says so', async (name, hex) => {
    const failure = unpack('feed', Buffer.from(hex, 'hex'), AMPLE);
    await expect(failure).rejects.toMatchObject({ code: 'unsupported' });
    await expect(failure).rejects.toThrow(name);
    await expect(failure).rejects.toThrow('fetch it packed by gzip, xz or zip, or unpack it before');
  });

  it.runIf(!HAS_ZSTD)('zstd on an older Node says what to do, and others are read', async () => {
    const failure = unpack('feed.zst', fixture('is4.netset.zst'), AMPLE);
    await expect(failure).rejects.toMatchObject({ code: 'unsupported' });
    await expect(failure).rejects.toThrow(
      `feed.zst: it is compressed by zstd, which needs Node 22.15 or later (this is ${process.version}): fetch it packed by gzip, xz or zip`,
    );
  });
});

describe('an archive', () => {
  const whole = { README: 'see lists/\n', 'lists/is4.netset': IS4, 'lists/kp4.netset': KP4 };

  it.each(readable(['tar', 'tar.gz', 'tar.xz', 'tar.zst', 'zip']))(
    'lists.%s holds its files',
    async (suffix) => {
      expect(await unpacked('feed', fixture(`lists.${suffix}`))).toEqual(whole);
    },
  );

  it.each([
    [['*.netset'], ['lists/is4.netset', 'lists/kp4.netset']],
    [['lists/*'], ['lists/is4.netset', 'lists/kp4.netset']],
    [['lists/is*'], ['lists/is4.netset']],
    [['**/kp4.netset'], ['lists/kp4.netset']],
    [
      ['kp4.netset', 'README'],
      ['README', 'lists/kp4.netset'],
    ],
    [['!*.netset'], ['README']],
    [
      ['*', '!is4*'],
      ['README', 'lists/kp4.netset'],
    ],
    [['{is,kp}4.netset'], ['lists/is4.netset', 'lists/kp4.netset']],
  ])('gives what %j wants', async (members, names) => {
    for (const name of ['lists.zip', 'lists.tar.gz']) {
      expect(Object.keys(await unpacked(name, fixture(name), { members }))).toEqual(names);
    }
  });

  it('of which nothing is wanted says what it holds', async () => {
    for (const name of ['lists.zip', 'lists.tar.gz']) {
      const failure = unpack(name, fixture(name), { ...AMPLE, members: ['*.csv'] });
      await expect(failure).rejects.toMatchObject({ code: 'no-member' });
      await expect(failure).rejects.toThrow(
        `${name}: no file of the archive is wanted; it holds README, lists/is4.netset, lists/kp4.netset`,
      );
    }
  });

  it('without files is refused', async () => {
    const empty = unpack('x', zipOf([]), AMPLE);
    await expect(empty).rejects.toThrow('the archive holds no files');
    const hollow = unpack('x', await tarOf([{ name: 'a', type: 'directory' }]), AMPLE);
    await expect(hollow).rejects.toMatchObject({ code: 'no-member' });
  });

  it('gives as many files as allowed, and not one more', async () => {
    for (const name of ['lists.zip', 'lists.tar']) {
      expect(Object.keys(await unpacked(name, fixture(name), { maxMembers: 3 }))).toHaveLength(3);
      const refused = unpack(name, fixture(name), { ...AMPLE, maxMembers: 2 });
      await expect(refused).rejects.toMatchObject({ code: 'too-many-members' });
    }
  });

  it('gives as many bytes as allowed in all, and not one more; what is not wanted does not count', async () => {
    const maxBytes = IS4.length + KP4.length;
    for (const name of ['lists.zip', 'lists.tar.xz']) {
      const options = { members: ['*.netset'], maxBytes };
      expect(Object.keys(await unpacked(name, fixture(name), options))).toHaveLength(2);
      const refused = unpack(name, fixture(name), { ...AMPLE, ...options, maxBytes: maxBytes - 1 });
      await expect(refused).rejects.toMatchObject({ code: 'too-large' });
    }
  });

  it('may hold compressed files, whose bytes count as they come out', async () => {
    const bytes = zipOf([{ name: 'a/is4.netset.xz', bytes: fixture('is4.netset.xz') }]);
    expect(await unpacked('x', bytes, { maxBytes: IS4.length })).toEqual({ 'a/is4.netset': IS4 });
    const refused = unpack('x', bytes, { ...AMPLE, maxBytes: IS4.length - 1 });
    await expect(refused).rejects.toMatchObject({ code: 'too-large' });
  });

  it('in an archive is refused', async () => {
    for (const inner of ['lists.zip', 'lists.tar', 'lists.tar.gz']) {
      const bytes = zipOf([{ name: 'inner', bytes: fixture(inner) }]);
      await expect(unpack('x', bytes, AMPLE)).rejects.toMatchObject({ code: 'nested' });
    }
  });

  it('with two files of one name means the last', async () => {
    const tar = await tarOf([
      { name: 'a', text: 'old' },
      { name: 'b', text: '1' },
      { name: './a', text: 'new' },
    ]);
    expect(await unpacked('x', tar, { maxMembers: 2, maxBytes: 7 })).toEqual({ a: 'new', b: '1' });
  });

  it('holds no more entries than anybody looks through', async () => {
    const tar = await tarOf([{ name: 'd', type: 'directory' }]);
    const entry = tar.subarray(0, 512);
    const most = Buffer.concat([...Array<Buffer>(UNPACK_LIMITS.entries).fill(entry), Buffer.alloc(1024)]);
    await expect(unpack('x', most, AMPLE)).rejects.toMatchObject({ code: 'no-member' });
    const over = Buffer.concat([entry, most]);
    await expect(unpack('x', over, AMPLE)).rejects.toMatchObject({ code: 'too-many-members' });
  });
});

describe('a name that leads out of the archive', () => {
  const bad = ['../evil', 'a/../../evil', '/etc/passwd', 'C:/evil', `${'x'.repeat(1025)}`];

  it.each(bad)('refuses a tar archive: %.20s', async (name) => {
    const tar = await tarOf([
      { name: 'good', text: 'x' },
      { name, text: 'y' },
    ]);
    await expect(unpack('x', tar, AMPLE)).rejects.toMatchObject({ code: 'unsafe-path' });
  });

  it.each([...bad, '..\\evil'])('refuses a zip archive: %.20s', async (name) => {
    const zip = zipOf([
      { name: 'good', bytes: Buffer.from('x') },
      { name, bytes: Buffer.from('y') },
    ]);
    await expect(unpack('x', zip, AMPLE)).rejects.toMatchObject({ code: 'unsafe-path' });
  });

  it('does so also where it is a directory, a link, or not wanted', async () => {
    const options = { ...AMPLE, members: ['good'] };
    const good = { name: 'good', text: 'x' };
    for (const type of ['directory', 'symlink', 'file'] as const) {
      const tar = await tarOf([good, { name: '../evil', type, linkname: 'good' }]);
      await expect(unpack('x', tar, options)).rejects.toMatchObject({ code: 'unsafe-path' });
    }
  });
});

describe('what is no file', () => {
  it.each(['symlink', 'link', 'character-device', 'fifo'] as const)(
    'such as a %s, is passed over',
    async (type) => {
      const tar = await tarOf([
        { name: 'odd', type, linkname: '/etc/passwd' },
        { name: 'good', text: 'x' },
      ]);
      expect(await unpacked('x', tar)).toEqual({ good: 'x' });
    },
  );

  it('such as a symlink in a zip archive, is passed over', async () => {
    const zip = zipOf([
      { name: 'odd', bytes: Buffer.from('/etc/passwd'), unixMode: 0o120777 },
      { name: 'dir/', bytes: Buffer.alloc(0), unixMode: 0o040755 },
      { name: 'good', bytes: Buffer.from('x'), unixMode: 0o100644 },
    ]);
    expect(await unpacked('x', zip)).toEqual({ good: 'x' });
  });
});

describe('a zip archive that lies', () => {
  const bytes = Buffer.from(IS4);

  it.each([
    ['that its file is smaller', { size: 10 }],
    ['that its file is larger', { size: 10_000 }],
    ['about its checksum', { crc: 1 }],
  ])('%s is refused', async (_, lie) => {
    const failure = unpack('x', zipOf([{ name: 'a', bytes, ...lie }]), AMPLE);
    await expect(failure).rejects.toMatchObject({ code: expect.stringMatching(/damaged|truncated/) });
  });

  it('is not refused for a file that nobody wants', async () => {
    const zip = zipOf([
      { name: 'a', bytes, crc: 1 },
      { name: 'b', bytes },
    ]);
    expect(await unpacked('x', zip, { members: ['b'] })).toEqual({ b: IS4 });
  });

  it('is refused where it is encrypted, or compressed by another method, by name', async () => {
    const encrypted = unpack('e.zip', fixture('encrypted.zip'), AMPLE);
    await expect(encrypted).rejects.toMatchObject({ code: 'encrypted' });
    await expect(encrypted).rejects.toThrow('e.zip: README in the zip archive is encrypted');
    const other = unpack('x', zipOf([{ name: 'a', bytes, method: 14 }]), AMPLE);
    await expect(other).rejects.toMatchObject({ code: 'unsupported' });
    await expect(other).rejects.toThrow('method 14');
  });
});

describe('a bomb', () => {
  const zeros = Buffer.alloc(200_000_000);
  const rssGrowth = async (bytes: Uint8Array): Promise<number> => {
    const before = process.memoryUsage().rss;
    await expect(unpack('x', bytes, { maxBytes: 1_000_000, maxMembers: 10 })).rejects.toMatchObject({
      code: 'too-large',
    });
    return process.memoryUsage().rss - before;
  };

  it('costs what is allowed: gzip, gzip in gzip, zip, tar in gzip', async () => {
    const bombs = [
      gzipSync(zeros),
      gzipSync(gzipSync(zeros)),
      zipOf([{ name: 'a', bytes: zeros }]),
      zipOf([{ name: 'a', bytes: zeros, size: 10 }]),
      gzipSync(await tarOf([{ name: 'a', text: zeros }])),
    ];
    for (const bomb of bombs.slice(0, 3)) expect(await rssGrowth(bomb)).toBeLessThan(60_000_000);
    expect(await rssGrowth(bombs[4] ?? Buffer.alloc(0))).toBeLessThan(60_000_000);
    const liar = unpack('x', bombs[3] ?? Buffer.alloc(0), { maxBytes: 1_000_000, maxMembers: 10 });
    await expect(liar).rejects.toBeInstanceOf(UnpackError);
  });

  // Each member took back what the one before it of the same name had counted: 165 kB kept the publisher busy
  // for 160 s.
  it.each(['zip', 'tar'])(
    'of one name again and again in a %s archive costs what is allowed',
    async (kind) => {
      const million = Buffer.alloc(1_000_000);
      const entries = Array.from({ length: 20 }, () => ({ name: 'a', bytes: million, text: million }));
      const bytes = kind === 'zip' ? zipOf(entries) : await tarOf(entries);
      await expect(unpack('bomb', bytes, { maxBytes: 2_500_000, maxMembers: 100 })).rejects.toMatchObject({
        code: 'too-large',
      });
    },
  );

  it.runIf(HAS_ZSTD)('of zstd blocks of one byte costs what is allowed', async () => {
    // magic, no size, window of 1 MiB; then blocks of 131,072 times one byte
    const frame = [Buffer.from('28b52ffd0050', 'hex')];
    const block = Buffer.alloc(4);
    block.writeUIntLE((131_072 << 3) | (1 << 1), 0, 3);
    for (let i = 0; i < 4000; i++) frame.push(block);
    frame.push(Buffer.from([1, 0, 0])); // the last, of nothing
    expect(await rssGrowth(Buffer.concat(frame))).toBeLessThan(60_000_000);
  });

  it('of members that nobody wants is noticed too', async () => {
    const tar = gzipSync(
      await tarOf([
        { name: 'big', text: zeros },
        { name: 'a', text: 'x' },
      ]),
    );
    const failure = unpack('x', tar, { members: ['a'], maxBytes: 1_000_000, maxMembers: 1 });
    await expect(failure).rejects.toMatchObject({ code: 'too-large' });
    expect(await unpacked('x', tar, { members: ['a'], maxBytes: 26_000_000 })).toEqual({ a: 'x' });
  });
});

describe('a truncated archive', () => {
  it.each(readable(COMPRESSED))('%s is refused wherever it is cut', async (name) => {
    const bytes = fixture(name);
    const step = often(Math.ceil(bytes.length / 300), 1);
    for (let length = 18; length < bytes.length; length += length < bytes.length - 50 ? step : 1) {
      const failure = await unpack('x', bytes.subarray(0, length), AMPLE).catch((error: unknown) => error);
      expect(failure, `${length} bytes`).toBeInstanceOf(UnpackError);
      expect(['truncated', 'damaged']).toContain((failure as UnpackError).code);
    }
  });

  it('of tar is refused wherever it is cut, between two members too', async () => {
    const bytes = fixture('lists.tar');
    const end = bytes.lastIndexOf(KP4.slice(-10)) + 10;
    for (let length = 512; length <= end; length += 64) {
      const failure = await unpack('x', bytes.subarray(0, length), AMPLE).catch((error: unknown) => error);
      expect(failure, `${length} bytes`).toBeInstanceOf(UnpackError);
      expect(failure).toMatchObject({ code: 'truncated' });
    }
  });
});

describe('the built package', () => {
  it('reads every kind: what is loaded late is there', () => {
    const script = `
      import { readFileSync } from 'node:fs';
      import { unpack } from ${JSON.stringify(new URL('../dist/unpack/unpack.js', import.meta.url).href)};
      for (const path of process.argv.slice(1)) {
        const [first] = await unpack('x', readFileSync(path), { maxBytes: 10000, maxMembers: 9 });
        console.log(first.bytes.length);
      }`;
    const files = ['is4.netset.gz', 'is4.netset.xz', 'is4.netset.zst', 'lists.zip', 'lists.tar'];
    const names = readable(files);
    const paths = names.map(archivePath);
    const output = execFileSync(process.execPath, ['--input-type=module', '-e', script, ...paths], {
      encoding: 'utf8',
    });
    expect(output.trim().split('\n').map(Number)).toEqual(
      names.map((name) => (name.startsWith('is4') ? 2457 : 11)),
    );
  });
});

describe.runIf(HAS_ZSTD)('zstd', () => {
  const zst = fixture('is4.netset.zst');
  const whole = async (bytes: Uint8Array): Promise<string> => {
    const pieces: Uint8Array[] = [];
    for await (const piece of unzstd(bytes)) pieces.push(piece);
    return Buffer.concat(pieces).toString();
  };
  const skippable = Buffer.from('502a4d1803000000616263', 'hex');

  it('is all of its frames, and passes over what is to be passed over', async () => {
    expect(await whole(zst)).toBe(IS4);
    expect(await whole(Buffer.concat([zst, zst]))).toBe(IS4 + IS4);
    expect(await whole(Buffer.concat([skippable, zst, skippable, zst, skippable]))).toBe(IS4 + IS4);
    expect(await whole(skippable)).toBe('');
  });

  it.each([
    ['garbage', Buffer.from('192.0.2.1\n')],
    ['gzip', gzipSync('192.0.2.1\n')],
    ['zeros', Buffer.alloc(9)],
    ['a frame of zstd 0.7', Buffer.from('27b52ffd00000000', 'hex')],
  ])('takes no %s for a frame', async (_name, bytes) => {
    await expect(whole(Buffer.concat([zst, bytes]))).rejects.toMatchObject({ code: 'damaged' });
  });

  it('has an end at every byte, or none', async () => {
    const two = Buffer.concat([zst, skippable, zst]);
    const ends = [0, zst.length, zst.length + skippable.length];
    for (let cut = 1; cut < two.length; cut += cut < 40 || two.length - cut < 40 ? 1 : 97) {
      if (ends.includes(cut)) continue;
      await expect(whole(two.subarray(0, cut)), `${cut} bytes`).rejects.toMatchObject({ code: 'truncated' });
    }
  });

  it('is checked, and is not asked for dictionaries and large windows', async () => {
    const wrong = Buffer.from(zst);
    wrong.writeUInt8((zst.at(-1) ?? 0) ^ 1, zst.length - 1);
    await expect(whole(wrong)).rejects.toMatchObject({ code: 'damaged' });
    const dictionary = Buffer.from('28b52ffd0100070100005a', 'hex');
    await expect(whole(dictionary)).rejects.toMatchObject({ code: 'unsupported' });
    const window = Buffer.from('28b52ffd0090010000', 'hex'); // of 256 MiB
    await expect(whole(window)).rejects.toMatchObject({ code: 'unsupported' });
  });
});

describe('a damaged archive', () => {
  /** A small generator of numbers that is the same each time (mulberry32). */
  const seeded = (seed: number) => (): number => {
    seed = (seed + 0x6d2b79f5) | 0;
    let t = Math.imul(seed ^ (seed >>> 15), 1 | seed);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };

  // xz and zstd (as its program writes it) checksum what comes out, and gzip and zip too: no damage
  // goes unnoticed, but where it is in what nobody reads (times, comments, names, padding).
  it.each(readable([...COMPRESSED, 'is4-two-members.netset.gz', 'lists.tar', 'encrypted.zip']))(
    '%s gives an UnpackError or the right bytes, and never hangs',
    async (name) => {
      const random = seeded(name.length * 7919 + name.charCodeAt(name.length - 1));
      const bytes = fixture(name);
      const isChecked = name !== 'lists.tar';
      const texts = new Set([IS4, KP4, 'see lists/\n']);
      for (let round = 0; round < often(100, 400); round++) {
        const damaged = Buffer.from(bytes);
        for (let i = 0; i <= round % 4; i++)
          damaged[Math.floor(random() * damaged.length)] = Math.floor(random() * 256);
        const result = await unpack('x', damaged, AMPLE).catch((error: unknown) => error);
        if (!Array.isArray(result)) {
          expect(result, `round ${round}`).toBeInstanceOf(UnpackError);
        } else if (isChecked && result.length > 0) {
          const strange = (result as Member[]).filter(
            ({ bytes: out }) => !texts.has(Buffer.from(out).toString()),
          );
          // A changed magic makes it a plain file, which the importer refuses as binary.
          const isPlain = strange.every(({ bytes: out }) => damaged.equals(out));
          expect(isPlain, `round ${round}: ${strange.map(({ name: of }) => of)}`).toBe(true);
        }
      }
    },
  );
});

describe('what the usual programs write', () => {
  const lines = Array.from({ length: 20_000 }, (_, i) => {
    const digest = createHash('sha256').update(`${i}`).digest();
    return `${digest[0]}.${digest[1]}.${digest[2]}.${i % 7 === 0 ? 0 : digest[3]}/${8 + (i % 25)}`;
  }).join('\n');

  const calls = cases<readonly [tool: string, options: readonly string[]]>(
    [
      ['gzip', ['-9c']],
      ['xz', ['-0c']],
      ['xz', ['-6c', '--check=crc32']],
      ['xz', ['-T2', '--block-size=100000', '-c']],
      ['zstd', ['-q', '-1', '-c']],
      ['zstd', ['-q', '-3', '--no-check', '-c']],
      ['zstd', ['-q', '-9', '-c']],
      ['zstd', ['-q', '--long=27', '-c']],
      ['zstd', ['-q', '-3', '--no-compress-literals', '-c']],
    ],
    [
      ['gzip', ['-1c']],
      ['xz', ['-9c']],
      ['zstd', ['-q', '-19', '-c']],
      ['zstd', ['-q', '--ultra', '-22', '-c']],
      ['zstd', ['-q', '--fast=10', '-c']],
      ['zstd', ['-q', '-19', '--zstd=wlog=10', '-c']],
    ],
  );
  it.each(calls)('%s %j is read back', async (tool, options) => {
    if ((tool === 'zstd' && !HAS_ZSTD) || !isHere(tool)) return;
    for (const text of [
      lines,
      lines.repeat(often(3, 12)),
      '',
      'x',
      '\0'.repeat(300_000),
      `${lines}${'a'.repeat(700_000)}`,
    ]) {
      const bytes = execFileSync(tool, options, { input: text, maxBuffer: 1e9 });
      const [member] = await unpack('x', bytes, AMPLE);
      expect(Buffer.from(member?.bytes ?? []).equals(Buffer.from(text)), `${text.length} bytes`).toBe(true);
    }
  });

  it.each([
    ['xz', ['-c', '--check=sha256']],
    ['xz', ['-c', '--x86', '--lzma2=preset=6']],
    ['xz', ['-c', '--lzma2=dict=256MiB']],
    ['zstd', ['-q', '--long=31', '-c']],
  ])('%s %j is not supported, and says so', async (tool, options) => {
    if ((tool === 'zstd' && !HAS_ZSTD) || !isHere(tool)) return;
    const bytes = execFileSync(tool, options, { input: lines, maxBuffer: 1e9 });
    await expect(unpack('x', bytes, AMPLE)).rejects.toMatchObject({ code: 'unsupported' });
  });

  it.each([['--format=ustar'], ['--format=gnu'], ['--format=pax'], ['--format=v7'], ['--format=oldgnu']])(
    'tar %s is read back, with long names and links',
    async (format) => {
      if (!isHere('tar')) return;
      const directory = temporaryDirectory();
      const long = `${'d'.repeat(60)}/${'e'.repeat(60)}`;
      const deep = format === '--format=v7' ? 'd' : long;
      mkdirSync(join(directory, deep), { recursive: true });
      writeFileSync(join(directory, deep, 'list.txt'), lines);
      symlinkSync('list.txt', join(directory, deep, 'link.txt'));
      const bytes = execFileSync('tar', [format, '-C', directory, '-cf', '-', '.'], { maxBuffer: 1e9 });
      expect(await unpacked('x', bytes)).toEqual({ [`${deep}/list.txt`]: lines });
      expect(await unpacked('x.tgz', gzipSync(bytes), { members: ['**/list.txt'] })).toEqual({
        [`${deep}/list.txt`]: lines,
      });
    },
  );

  it.each([[['-0']], [['-9']], [['-fd']], [['-fz']]])('zip %j is read back', async (options) => {
    if (!isHere('zip')) return;
    const directory = temporaryDirectory();
    writeFileSync(join(directory, 'list.txt'), lines);
    writeFileSync(join(directory, 'empty.txt'), '');
    execFileSync('zip', ['-q', ...options, 'x.zip', 'list.txt', 'empty.txt'], { cwd: directory });
    const before = readdirSync(directory).length;
    const bytes = readFileSync(join(directory, 'x.zip'));
    expect(await unpacked('x', bytes)).toEqual({ 'list.txt': lines, 'empty.txt': '' });
    expect(readdirSync(directory)).toHaveLength(before);
  });
});
