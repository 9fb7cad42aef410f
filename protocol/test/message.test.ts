import { describe, expect, it } from 'vitest';
import { codeOf } from '../../test/kit/code.ts';
import fc from '../../test/seeded-fast-check.ts';
import { often } from '../../test/thorough.ts';
import { ErrorCode } from '../src/error.ts';
import { CONTROL_BODY_MAX_BYTES, COUNTERS_MAX, FRAME_BODY_MAX_BYTES, VERSION_MAX } from '../src/limits.ts';
import { type BodyMap, decodeBody, encodeBody } from '../src/wire/body.ts';
import { RECORD_FIELDS } from '../src/wire/control.ts';
import { boundText } from '../src/wire/field.ts';
import { decodeMessage, encodeMessage, type Message, MessageType } from '../src/wire/message.ts';
import { packetFromWire, packetToWire, verdictToWire } from '../src/wire/query.ts';
import vectors from '../vectors/messages.json' with { type: 'json' };

const fromHex = (hex: string): Uint8Array => Uint8Array.from(Buffer.from(hex, 'hex'));
const toHex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');

/** A vector's message: `{ "hex": … }` stands for bytes. */
function revive(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(revive);
  if (typeof value !== 'object' || value === null) return value;
  if ('hex' in value && typeof value.hex === 'string') return fromHex(value.hex);
  return Object.fromEntries(Object.entries(value).map(([key, field]) => [key, revive(field)]));
}

/** Copies of a map in which one of its fields, or one of those within, is another value. */
function* withValueSomewhere(map: object, value: unknown): Generator<object> {
  for (const [key, field] of Object.entries(map)) {
    yield { ...map, [key]: value };
    const isMap = typeof field === 'object' && !Array.isArray(field) && !(field instanceof Uint8Array);
    if (isMap) for (const inner of withValueSomewhere(field, value)) yield { ...map, [key]: inner };
  }
}

const HASH = new Uint8Array(32).fill(1);
/** As many counters as there may be, of the longest names and values. */
const COUNTERS = Object.fromEntries(
  Array.from({ length: COUNTERS_MAX }, (_, i) => [`c${i}`.padEnd(32, 'x'), VERSION_MAX]),
);
const LONGEST = {
  text: `${'€'.repeat(170)}xy`, // 512 bytes
  name: 'n'.repeat(63),
  code: 'c'.repeat(64),
} as const;

describe('message vectors', () => {
  it.each(vectors.valid)('writes and reads: $name', (vector) => {
    const message = revive(vector.message) as Message;
    const { type, body } = encodeMessage(message);
    expect({ type, bodyHex: toHex(body) }).toEqual({ type: vector.type, bodyHex: vector.bodyHex });
    expect(decodeMessage(vector.type, fromHex(vector.bodyHex))).toEqual(message);
  });

  it.each(vectors.validToRead)('reads what others may write: $name', (vector) => {
    expect(decodeMessage(vector.type, fromHex(vector.bodyHex))).toEqual(revive(vector.message));
  });

  //
  it.each(vectors.invalid)('refuses with $code: $name', (vector) => {
    expect(codeOf(() => decodeMessage(vector.type, fromHex(vector.bodyHex)))).toBe(vector.code);
  });

  it('has one of every kind of message and record', () => {
    const kinds = new Set(vectors.valid.map((vector) => vector.message.kind));
    expect([...kinds].sort()).toEqual(Object.keys(MessageType).sort());
    const records = vectors.valid.flatMap(({ message }) =>
      'record' in message ? [message.record?.record] : [],
    );
    expect([...new Set(records)].sort()).toEqual(Object.keys(RECORD_FIELDS).sort());
  });
});

describe('decodeMessage', () => {
  const mapVectors = vectors.valid.filter(
    ({ message }) => !/^(offer|proof|root|fresh|chunk|head|reports|answers)$/.test(message.kind),
  );

  it('refuses every truncation of a map body', () => {
    for (const { type, bodyHex } of mapVectors) {
      const body = fromHex(bodyHex);
      for (let length = 0; length < body.length; length++) {
        expect(codeOf(() => decodeMessage(type, body.slice(0, length)))).toBe(ErrorCode.badBody);
      }
    }
  });

  it('throws nothing but ProtocolError at any body with one byte changed', () => {
    fc.assert(
      fc.property(fc.constantFrom(...mapVectors), fc.nat(), fc.nat(255), ({ type, bodyHex }, at, byte) => {
        const body = fromHex(bodyHex);
        body[at % body.length] = byte;
        expect(['no error', ErrorCode.badBody, ErrorCode.badMessage]).toContain(
          codeOf(() => decodeMessage(type, body)),
        );
      }),
      { numRuns: often(1000, 5000) },
    );
  });

  it('throws nothing but ProtocolError at a value of another kind in any place', () => {
    const strange: readonly unknown[] = [
      0,
      true,
      '',
      'toString',
      new Uint8Array(1),
      [],
      [[]],
      {},
      { toString: 1, valueOf: 1 },
    ];
    for (const { type, bodyHex } of mapVectors) {
      for (const value of strange) {
        for (const changed of withValueSomewhere(decodeBody(fromHex(bodyHex)), value)) {
          const code = codeOf(() => decodeMessage(type, encodeBody(changed as BodyMap)));
          expect(['no error', ErrorCode.badBody, ErrorCode.badMessage]).toContain(code);
        }
      }
    }
  });

  //
  it('throws nothing but ProtocolError at random bodies', () => {
    const types = [...Object.values(MessageType), 0, 63, 255];
    fc.assert(
      fc.property(fc.constantFrom(...types), fc.uint8Array({ maxLength: 300 }), (type, body) => {
        expect(codeOf(() => decodeMessage(type, body))).toBeTypeOf('string');
      }),
      { numRuns: often(1000, 5000) },
    );
  });

  it('takes a field that may be passed over where it is known, and there alone', () => {
    const told = { name: 'api.example', agoS: 41 };
    let skipped = 0;
    const read = (body: BodyMap): unknown =>
      decodeMessage(MessageType.answer, encodeBody(body), () => skipped++);
    expect(read({ ok: true, '+told': told, '+later': 1 })).toEqual({
      kind: 'answer',
      ok: true,
      '+told': told,
    });
    expect(read({ ok: true, verdict: { action: 'none', '+told': told } })).toEqual({
      kind: 'answer',
      ok: true,
      verdict: { action: 'none' },
    });
    expect(skipped).toBe(2);
    for (const bad of [
      1,
      { name: 'a' },
      { ...told, agoS: -1 },
      { ...told, more: 1 },
      { ...told, name: 'a\nb' },
    ])
      expect(codeOf(() => read({ ok: true, '+told': bad }))).toBe(ErrorCode.badMessage);
    const { body } = encodeMessage({ kind: 'answer', ok: true, '+told': told });
    expect(decodeBody(body)).toEqual({ ok: true, '+told': told });
  });

  it('asks for refusals by their own question alone, and reads them one by one', () => {
    const after = { after: 7 };
    const asking = encodeMessage({
      kind: 'query',
      question: 'refused',
      refused: { ...after, qube: undefined },
    });
    expect(decodeBody(asking.body)).toEqual({ question: 'refused', refused: after });
    const ask = (body: BodyMap): unknown => decodeMessage(MessageType.query, encodeBody(body));
    for (const bad of [{ question: 'refused' }, { question: 'stats', refused: after }])
      expect(codeOf(() => ask(bad))).toBe(ErrorCode.badMessage);

    const record = {
      id: 9,
      what: 'name',
      qube: Uint8Array.of(10, 137, 0, 5),
      direction: 'egress',
      name: 'tracker.example',
      reason: 'name',
      count: 2,
      firstS: 1,
      lastS: 3,
      version: 41,
    } as const;
    let skipped = 0;
    const read = (refused: readonly BodyMap[]): unknown =>
      decodeMessage(MessageType.answer, encodeBody({ ok: true, refused }), () => skipped++);
    const { body } = encodeMessage({ kind: 'answer', ok: true, refused: [{ ...record, port: undefined }] });
    expect(decodeBody(body)).toEqual({ ok: true, refused: [record] });
    expect(read([{ ...record, '+later': 1 }])).toEqual({ kind: 'answer', ok: true, refused: [record] });
    expect(skipped).toBe(1);
    for (const bad of [
      { reason: 'why' },
      { qube: Uint8Array.of(1) },
      { interface: 'i'.repeat(16) },
      { later: 1 },
    ])
      expect(codeOf(() => read([{ ...record, ...bad }]))).toBe(ErrorCode.badMessage);
  });

  it('keeps nothing of the frame but the bytes of a chunk', () => {
    const body = fromHex(vectors.valid.find(({ name }) => name === 'end of a file')?.bodyHex ?? '');
    const message = decodeMessage(MessageType.end, body);
    body.fill(0);
    expect(message).toEqual({ kind: 'end', sha256: Uint8Array.from({ length: 32 }, (_, i) => i) });
    const chunk = Uint8Array.of(1, 2);
    expect(decodeMessage(MessageType.chunk, chunk)).toEqual({ kind: 'chunk', bytes: chunk });
  });

  it('reads bytes as plain Uint8Array also out of a Buffer', () => {
    const body = Buffer.from(
      vectors.valid.find(({ name }) => name === 'end of a file')?.bodyHex ?? '',
      'hex',
    );
    const message = decodeMessage(MessageType.end, body);
    expect(message.kind === 'end' && message.sha256?.constructor).toBe(Uint8Array);
  });

  it('leaves the prototype of every object alone', () => {
    for (const { type, bodyHex } of vectors.invalid) codeOf(() => decodeMessage(type, fromHex(bodyHex)));
    expect(Object.getOwnPropertyNames(Object.prototype)).not.toContain('admin');
    expect(({} as { admin?: unknown }).admin).toBeUndefined();
  });
});

describe('encodeMessage', () => {
  it('leaves out fields that are undefined, in maps within maps too', () => {
    const packet = { direction: 'egress', src: undefined, dst: Uint8Array.of(1, 1, 1, 1), proto: 6 } as const;
    const { type, body } = encodeMessage({ kind: 'query', question: 'test', packet });
    const { src: _, ...rest } = packet;
    expect(decodeMessage(type, body)).toEqual({ kind: 'query', question: 'test', packet: rest });
  });

  it.each<[string, Message]>([
    ['a hash of 31 bytes', { kind: 'end', sha256: new Uint8Array(31) }],
    ['a fraction', { kind: 'ping', ageMs: 1.5 }],
    ['a negative time', { kind: 'ping', ageMs: -1 }],
    ['a version over 2^53-1', { kind: 'ping', ageMs: VERSION_MAX + 1 }],
    ['text over 512 bytes', { kind: 'abort', code: 'x', text: 'y'.repeat(513) }],
    ['a lone surrogate', { kind: 'abort', code: 'x', text: '\ud800' }],
    ['an empty chunk', { kind: 'chunk', bytes: new Uint8Array(0) }],
    ['a chunk over the limit', { kind: 'chunk', bytes: new Uint8Array(FRAME_BODY_MAX_BYTES + 1) }],
    ['counters that are watched', { kind: 'status', watch: true, counters: true }],
  ])('throws TypeError for %s', (_, message) => {
    expect(() => encodeMessage(message)).toThrow(TypeError);
  });

  it('takes a manifest that fills the frame and none that is longer', () => {
    const signatures = Uint8Array.of(1, ...new Uint8Array(72));
    const most = FRAME_BODY_MAX_BYTES - signatures.length;
    const fits: Message = { kind: 'offer', signatures, content: new Uint8Array(most) };
    const { type, body } = encodeMessage(fits);
    expect(body.length).toBe(FRAME_BODY_MAX_BYTES);
    expect(decodeMessage(type, body)).toEqual(fits);
    const over: Message = { kind: 'offer', signatures, content: new Uint8Array(most + 1) };
    expect(() => encodeMessage(over)).toThrow(RangeError);
  });

  const packet = {
    direction: 'ingress',
    src: new Uint8Array(16),
    dst: new Uint8Array(16),
    proto: 255,
  } as const;
  const verdict = {
    action: 'accept',
    direction: 'ingress',
    policy: LONGEST.name,
    rulePolicy: LONGEST.name,
    rule: 'r'.repeat(1536),
    ruleIndex: VERSION_MAX,
    run: VERSION_MAX,
    list: LONGEST.name,
    prefix: 'p'.repeat(43),
  } as const;
  const hexHash = 'f'.repeat(64);
  const most = VERSION_MAX;
  const { text, code, name } = LONGEST;
  it.each<[string, Message]>([
    [
      'HELLO',
      {
        kind: 'hello',
        protocolMin: 255,
        protocolMax: 255,
        name,
        lineage: new Uint8Array(16),
        root: { hash: HASH, number: most },
        holds: { hash: HASH, epoch: most, version: most },
        refused: new Array(32).fill(HASH),
        limits: { entries: most, bytes: most, parts: most },
      },
    ],
    [
      'NACK',
      {
        kind: 'nack',
        hash: HASH,
        code,
        text,
        part: 'p'.repeat(96),
        entry: most,
        retry: 'never',
        retryAfterMs: 300_000,
        keeps: HASH,
      },
    ],
    [
      'ANSWER',
      {
        kind: 'answer',
        ok: false,
        verdict,
        hash: HASH,
        version: most,
        epoch: most,
        generation: most,
        code,
        text,
      },
    ],
    [
      'ANSWER with a refusal',
      {
        kind: 'answer',
        ok: true,
        hash: HASH,
        version: most,
        epoch: most,
        refused: [
          {
            id: most,
            what: 'packet',
            qube: new Uint8Array(16),
            interface: 'i'.repeat(15),
            direction: 'ingress',
            remote: new Uint8Array(16),
            proto: 255,
            port: 65_535,
            icmpType: 255,
            name: 'n'.repeat(253),
            reason: 'flowless',
            count: most,
            firstS: most,
            lastS: most,
            version: most,
            judgedBy: most,
            verdict,
          },
        ],
        refusedLost: most,
        '+next': most,
      },
    ],
    ['ANSWER with 64 counters', { kind: 'answer', ok: true, stats: COUNTERS }],
    [
      'RECORD counters',
      { kind: 'record', record: { record: 'counters', subscriber: name, counters: COUNTERS } },
    ],
    ['TEST', { kind: 'test', packet: { ...packet, port: 65_535, icmpType: 255 }, subscriber: name }],
    ['FILE', { kind: 'file', name: 'f'.repeat(1024), role: 'referenced', bytes: most }],
    [
      'FAIL',
      {
        kind: 'fail',
        code,
        text,
        file: 'f'.repeat(1024),
        line: most,
        column: most,
        part: 'p'.repeat(96),
        version: most,
      },
    ],
    [
      'RECORD reject',
      {
        kind: 'record',
        record: { record: 'reject', file: 'f'.repeat(1024), line: most, column: most, code, reason: text },
      },
    ],
    [
      'RECORD head',
      {
        kind: 'record',
        record: {
          record: 'head',
          lineage: 'f'.repeat(32),
          epoch: most,
          version: most,
          hash: hexHash,
          createdAtMs: most,
          parts: most,
          entries: most,
          rules: most,
          startedAtMs: most,
          degraded: new Array(16).fill('d'.repeat(128)),
        },
      },
    ],
    [
      'RECORD subscriber',
      {
        kind: 'record',
        record: {
          record: 'subscriber',
          name,
          state: 'disconnected',
          expected: true,
          epoch: most,
          version: most,
          hash: hexHash,
          matches: false,
          lagVersions: most,
          lagMs: most,
          connectedSinceMs: most,
          lastSeenMs: most,
          appliedAtMs: most,
          applyMs: most,
          bytesSent: most,
          lastError: { code, text, atMs: most },
          persisted: true,
        },
      },
    ],
    [
      'RECORD verdict',
      {
        kind: 'record',
        record: {
          record: 'verdict',
          subscriber: name,
          ...verdict,
          version: most,
          hash: hexHash,
          generation: most,
        },
      },
    ],
  ])('fits the longest %s into a control body', (_, message) => {
    const { type, body } = encodeMessage(message);
    expect(body.length).toBeLessThanOrEqual(CONTROL_BODY_MAX_BYTES);
    expect(decodeMessage(type, body)).toEqual(message);
  });
});

describe('boundText', () => {
  it.each([
    ['abc', 3, 'abc'],
    ['abcd', 3, 'abc'],
    ['a€', 3, 'a'],
    ['a€', 4, 'a€'],
    ['😀😀', 7, '😀'],
    ['\u001b[2J\n', 512, '�[2J�'],
    ['\ud800x', 512, '�x'],
    ['', 0, ''],
  ])('%j in %i bytes is %j', (textIn, maxBytes, expected) => {
    expect(boundText(textIn, maxBytes)).toBe(expected);
  });

  it('makes any text sendable', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary', maxLength: 700 }), (any) => {
        const { body } = encodeMessage({ kind: 'abort', code: 'x', text: boundText(any) });
        expect(decodeMessage(MessageType.abort, body)).toMatchObject({ kind: 'abort' });
      }),
    );
  });
});

describe('packets and verdicts', () => {
  it('carry both families both ways', () => {
    const ip4 = { family: 4, words: Uint32Array.of(0x0a890005) } as const;
    const ip6 = { family: 6, words: Uint32Array.of(0x20010db8, 0, 0, 1) } as const;
    const packet = {
      direction: 'both',
      src: ip4,
      dst: ip6,
      proto: 6,
      port: 443,
      icmpType: undefined,
    } as const;
    const wire = packetToWire(packet);
    expect(toHex(wire.src ?? HASH)).toBe('0a890005');
    expect(toHex(wire.dst)).toBe('20010db8000000000000000000000001');
    expect(packetFromWire(wire)).toEqual(packet);
    expect(packetFromWire(packetToWire({ ...packet, src: undefined })).src).toBeUndefined();
  });

  it('say no more than was decided', () => {
    expect(verdictToWire({ action: 'none', by: undefined }, undefined)).toEqual({ action: 'none' });
    const byDefault = {
      action: 'drop',
      by: { direction: 'egress', policy: 'work', rule: undefined },
    } as const;
    expect(verdictToWire(byDefault, undefined)).toEqual({
      action: 'drop',
      direction: 'egress',
      policy: 'work',
    });
    const prefix = { family: 4, words: Uint32Array.of(0x01010100), length: 24 } as const;
    const rule = { policy: 'common', block: 'common', run: 2, index: 5, list: 'bl', prefix } as const;
    const wire = verdictToWire({ ...byDefault, by: { ...byDefault.by, rule } }, 'action=drop dst=@bl');
    expect(wire).toEqual({
      action: 'drop',
      direction: 'egress',
      policy: 'work',
      rulePolicy: 'common',
      block: 'common',
      rule: 'action=drop dst=@bl',
      ruleIndex: 5,
      run: 2,
      list: 'bl',
      prefix: '1.1.1.0/24',
    });
  });
});
