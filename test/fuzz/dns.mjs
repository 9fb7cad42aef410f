/**
 * Messages of DNS, by themselves and through the proxy: each input is nearly right. What is taken, dns-packet
 * takes too and reads alike; what is refused, it refuses too, but for what is stricter here on purpose; what
 * is written, both read.
 */

import assert from 'node:assert';
import {
  DnsProxy,
  MessageFault,
  MessageReader,
  MessageStream,
  nameText,
  newNameScratch,
  readName,
  sameName,
  turnCase,
  WRITTEN_MAX_BYTES,
  writeAnswer,
  writeQuestion,
  writeTruncated,
} from '@rulecast/dns';
import packet from 'dns-packet';

/** @typedef {import('./draw.mjs').Draw} Draw */

/** With their lengths before them. */
const LABELS = ['a', 'www', 'ads', 'example', 'com', 'net', 'x'.repeat(63), 'xn--bcher-kva', '_dns'].map(
  (text) => [text.length, ...Buffer.from(text)],
);
const [A, NS, CNAME, SOA, TXT, AAAA, DNAME, OPT, SVCB, HTTPS] = [1, 2, 5, 6, 16, 28, 39, 41, 64, 65];
const TYPES = /** @type {const} */ ([A, A, AAAA, AAAA, CNAME, CNAME, DNAME, SVCB, HTTPS, OPT, TXT, SOA, NS]);
/** Their data is a name and nothing else. */
const OF_NAMES = [NS, CNAME, DNAME];
/** Types whose data dns-packet does not parse, or parses as we do. */
const ORDINARY = ['A', 'AAAA', 'CNAME', 'DNAME', 'OPT'];
const POINTER = 0xc000;
const HEADER_BYTES = 12;

const reader = new MessageReader();
const second = new MessageReader();
const scratch = newNameScratch();
const out = new Uint8Array(WRITTEN_MAX_BYTES);

/** A message with names that point to one another. @param {Draw} draw @param {boolean} isQuery */
function messageOf(draw, isQuery) {
  /** @type {number[]} */
  const bytes = [];
  /** @type {number[]} */
  const labelStarts = [];
  const u16 = (/** @type {number} */ value) => bytes.push((value >> 8) & 255, value & 255);
  const name = () => {
    for (let labels = draw.below(draw.oneIn(30) ? 130 : 5); labels > 0; labels--) {
      labelStarts.push(bytes.length);
      if (draw.oneIn(40)) {
        const label = draw.bytes(1 + draw.below(63));
        bytes.push(label.length, ...label);
      } else for (const byte of draw.of(LABELS)) bytes.push(byte);
    }
    if (labelStarts.length > 0 && draw.oneIn(2)) u16(POINTER | draw.of(labelStarts));
    else bytes.push(0);
  };
  const counts = [1, 0, 0, 0].map((count, i) => (isQuery && i < 3 ? count : count + draw.below(i + 1)));
  u16(draw.word());
  u16((isQuery ? 0x0100 : 0x8180) | (draw.word() & 0x7b7f));
  for (const count of counts) u16(count);
  for (let count = counts[0] ?? 0; count > 0; count--) {
    name();
    u16(draw.oneIn(9) ? draw.below(300) : draw.of(TYPES));
    u16(1);
  }
  for (const [section, count] of counts.entries()) {
    for (let left = section === 0 ? 0 : count; left > 0; left--) record(section === 3 && draw.oneIn(2));
  }
  return Buffer.from(bytes);

  /** @param {boolean} isOpt */
  function record(isOpt) {
    const type = isOpt ? OPT : draw.of(TYPES);
    if (type === OPT) bytes.push(0);
    else name();
    u16(type);
    u16(type === OPT ? 1232 : draw.oneIn(20) ? draw.below(5) : 1);
    u16(draw.below(3));
    u16(draw.oneIn(2) ? 0x8000 : draw.word());
    const lengthAt = bytes.length;
    u16(0);
    if (OF_NAMES.includes(type)) name();
    else if (type === A || type === AAAA) bytes.push(...draw.bytes(type === A ? 4 : 16));
    else if (type === SVCB || type === HTTPS) {
      u16(draw.below(2));
      name();
      bytes.push(...draw.bytes(draw.below(9)));
    } else if (type === OPT && draw.oneIn(2)) {
      const option = draw.bytes(draw.below(9));
      u16(65_001);
      u16(option.length);
      bytes.push(...option);
    } else if (type === TXT) bytes.push(3, ...draw.bytes(3));
    const length = bytes.length - lengthAt - 2;
    bytes[lengthAt] = length >> 8;
    bytes[lengthAt + 1] = length & 255;
  }
}

/**
 * Whether a header announces more records than there is room for. Behind an OPT that is cut off dns-packet
 * begins anew at the first byte, as often as is announced: a hundred thousand times in 125 bytes.
 * @param {Uint8Array} bytes
 */
function announcesTooMuch(bytes) {
  if (bytes.length < HEADER_BYTES) return true;
  const counts = [6, 8, 10].map((at) => ((bytes[at] ?? 0) << 8) | (bytes[at + 1] ?? 0));
  return counts.reduce((sum, count) => sum + count * 11, 0) > bytes.length;
}

/** What dns-packet reads, and how many bytes of it. @param {Uint8Array} bytes */
function theirs(bytes) {
  if (announcesTooMuch(bytes)) return undefined;
  try {
    const message = packet.decode(Buffer.from(bytes));
    return { message, byteCount: packet.decode.bytes };
  } catch {
    return undefined;
  }
}

/** @param {packet.DecodedPacket} message */
function recordsOf(message) {
  return [message.answers, message.authorities, message.additionals].map((records) => [...(records ?? [])]);
}

/** Whether dns-packet finds the ends of all records as we do. @param {packet.DecodedPacket} message */
function isOrdinary(message) {
  return recordsOf(message)
    .flat()
    .every((record) => {
      const isIn = record.type === 'OPT' || ('class' in record && record.class === 'IN' && !isFlush(record));
      const isKnown = ORDINARY.includes(record.type);
      return isKnown ? isIn : /^UNKNOWN_(?!6[45]$)/.test(record.type);
    });
}

/** The bit of multicast DNS, which dns-packet takes off a class. @param {object} record */
function isFlush(record) {
  return 'flush' in record && record.flush === true;
}

/** Whether two bytes somewhere are a pointer into the header. @param {Uint8Array} bytes */
function pointsIntoHeader(bytes) {
  return bytes.some((byte, i) => byte === 0xc0 && (bytes[i + 1] ?? 0) < HEADER_BYTES);
}

/** The text that dns-packet has of a name, or undefined where that has two meanings. @param {Uint8Array} name */
function plainText(name) {
  let text = '';
  for (let at = 0; name[at] !== 0; at += 1 + (name[at] ?? 0)) {
    const label = Buffer.from(name.subarray(at + 1, at + 1 + (name[at] ?? 0))).toString('latin1');
    if (!/^[\w-]+$/.test(label)) return undefined;
    text += `${text === '' ? '' : '.'}${label}`;
  }
  return text === '' ? '.' : text;
}

/** @param {number} at @param {string | undefined} expected */
function assertName(at, expected) {
  const length = readName(reader.bytes, at, scratch);
  assert.ok(length > 0, 'a name of a message that was taken is none');
  const text = plainText(scratch.subarray(0, length));
  if (text !== undefined) assert.equal(text, expected);
}

/** Asserts that dns-packet read what `reader` did. @param {packet.DecodedPacket} message */
function assertAlike(message) {
  assert.equal(message.id, reader.id);
  assert.equal(message.flags, reader.flags & 0x7fff);
  assertName(HEADER_BYTES, message.questions?.[0]?.name);
  const sections = recordsOf(message);
  assert.equal(sections.flat().length, reader.recordCount);
  let index = 0;
  for (const [section, records] of sections.entries()) {
    for (const record of records) {
      assert.equal(reader.sections[index], section);
      assertName(reader.owners[index] ?? 0, record.name);
      if (record.type === 'OPT') {
        assert.equal(reader.ednsBytes, record.udpPayloadSize);
        assert.equal(reader.ednsVersion, record.ednsVersion);
        assert.equal(reader.isDnssecOk, record.flag_do);
      } else assert.equal(reader.ttls[index], 'ttl' in record ? record.ttl : undefined);
      if (record.type === 'CNAME') assertName(reader.targetOf(index), record.data);
      if (record.type === 'A') assert.equal(addressAt(index), record.data);
      index++;
    }
  }
}

/** @param {number} index */
function addressAt(index) {
  const start = reader.dataStarts[index] ?? 0;
  return [...reader.bytes.subarray(start, start + 4)].join('.');
}

/** @param {Draw} draw */
function messages(draw) {
  const bytes = draw.mutated(messageOf(draw, draw.oneIn(3)));
  const fault = reader.read(bytes);
  const other = theirs(bytes);
  if (fault === undefined) {
    if (other !== undefined && isOrdinary(other.message)) {
      assert.equal(other.byteCount, bytes.length);
      assertAlike(other.message);
    }
    if (other === undefined) assert.ok(!isAllOurs(), 'dns-packet refuses a message that was taken');
    return;
  }
  if (other === undefined || !isOrdinary(other.message)) return;
  const { message, byteCount } = other;
  if (fault === MessageFault.questions) assert.notEqual(message.questions?.length, 1);
  if (fault === MessageFault.trailing) assert.ok(byteCount < bytes.length);
  const isRead = recordsOf(message)
    .flat()
    .every(({ type }) => /^UNKNOWN/.test(type)); // it believes lengths of these alone
  if (fault === MessageFault.length && isRead) assert.ok(byteCount > bytes.length);
  if (fault === MessageFault.name) assert.ok(pointsIntoHeader(bytes), 'a name is refused that is one');
}

/** Whether a message holds nothing that dns-packet may refuse for reasons of its own. */
function isAllOurs() {
  for (let i = 0; i < reader.recordCount; i++) {
    const type = reader.types[i] ?? 0;
    const isPlain = (type === A || type === AAAA || type === CNAME) && reader.classes[i] === 1;
    if (!isPlain && !(type === OPT && reader.dataLengths[i] === 0)) return false;
  }
  return true;
}

/** What is made of a question is read again by both. @param {Draw} draw */
function written(draw) {
  const bytes = draw.mutated(messageOf(draw, true));
  if (reader.read(bytes) !== undefined) return;
  const answer = {
    rcode: draw.of(/** @type {const} */ ([0, 2, 3, 5])),
    error: draw.of(/** @type {const} */ ([undefined, 15, 22])),
    ttl: draw.of([undefined, 0, 60]),
    isNull: draw.oneIn(2),
  };
  const id = draw.below(65_536);
  const isPadded = draw.oneIn(2);
  const question = out.slice(0, writeQuestion(reader, id, out, isPadded));
  if (isPadded) assert.equal(question.length % 128, 0);
  const own = out.slice(0, writeAnswer(reader, answer, out));
  const cut = out.slice(0, writeTruncated(reader, out));
  for (const message of [question, own, cut]) {
    assert.equal(second.read(message), undefined);
    assert.equal(second.type, reader.type);
    assert.equal(second.class, reader.class);
    const nameBytes = reader.nameEnd - HEADER_BYTES;
    assert.equal(second.nameEnd, reader.nameEnd);
    assert.ok(sameName(message.subarray(HEADER_BYTES), bytes.subarray(HEADER_BYTES), nameBytes));
    assert.equal(second.opt >= 0, reader.opt >= 0 || (isPadded && message === question));
    assert.equal(theirs(message)?.byteCount, message.length);
  }
}

/** Whatever pieces messages come in, they come out whole and in order. @param {Draw} draw */
function streams(draw) {
  const sent = Array.from({ length: draw.below(5) }, () => draw.bytes(draw.below(draw.oneIn(9) ? 5000 : 90)));
  const whole = Buffer.concat(
    sent.flatMap((message) => [Buffer.from([message.length >> 8, message.length & 255]), message]),
  );
  const rest = draw.oneIn(2) ? draw.bytes(1) : Buffer.alloc(0);
  const bytes = Buffer.concat([whole, rest]);
  const stream = new MessageStream();
  const got = [];
  for (let at = 0; at < bytes.length; ) {
    const end = Math.min(bytes.length, at + 1 + draw.below(draw.oneIn(3) ? 900 : 7));
    for (const message of stream.feed(bytes.subarray(at, end))) got.push(Buffer.from(message));
    at = end;
  }
  assert.deepEqual(got, sent);
  assert.equal(stream.isWaiting, rest.length > 0);
}

/** A name's text is its own, and its case does not matter. @param {Draw} draw */
function names(draw) {
  const bytes = draw.mutated(messageOf(draw, true)).subarray(HEADER_BYTES);
  const shifted = Buffer.concat([Buffer.alloc(HEADER_BYTES), bytes]);
  const length = readName(shifted, HEADER_BYTES, scratch);
  if (length < 0) return;
  const name = scratch.slice(0, length);
  const turned = scratch.slice(0, length);
  for (let at = 0; turned[at] !== 0; at += 1 + (turned[at] ?? 0))
    turnCase(turned, at + 1, at + 1 + (turned[at] ?? 0), draw.bytes(4));
  assert.ok(sameName(name, turned, length));
  assert.equal(nameText(turned), nameText(name));
}

const LIST = { key: '0123456789abcdef', version: '89abcdef89abcdef' };

/**
 * The proxy: whatever qubes send and upstreams answer, each question gets one answer at most, which is read
 * again; whatever is opened or not, nothing waits once time has passed, and no query has two sockets.
 * @param {Draw} draw
 */
function proxied(draw) {
  const proxy = new DnsProxy({
    upstreamCount: 1 + draw.below(3),
    isOverTls: draw.oneIn(3),
    judge: () => ({
      action: 'accept',
      answer: draw.of(/** @type {const} */ (['answer', 'answer', 'answer', 'nxdomain', 'refused', 'null'])),
    }),
    mayBePrivate: () => draw.oneIn(2),
    opens: () => draw.of([[], [], [LIST], [LIST, LIST]]),
    randomBytes: (count) => draw.bytes(count),
  });
  /** @type {Map<number, Uint8Array>} */
  const open = new Map();
  /** @type {number[]} */
  const waits = [0];
  let questions = 0;
  let replies = 0;
  let nowMs = 0;
  /** @param {readonly import('@rulecast/dns').ProxyEffect<import('@rulecast/dns').Client>[]} effects */
  const follow = (effects) => {
    for (const effect of effects) {
      if (effect.kind === 'ask') {
        assert.ok(!open.has(effect.query));
        assert.equal(second.read(effect.bytes), undefined, 'a question to an upstream is none');
        open.set(effect.query, effect.bytes);
      } else if (effect.kind === 'close') assert.ok(open.delete(effect.query));
      else if (effect.kind === 'open') waits.push(effect.wait);
      else if (effect.kind === 'reply') {
        replies++;
        assert.equal(second.read(effect.bytes), undefined, 'an answer to a qube is none');
        assert.ok(second.isResponse);
        if (effect.client.transport === 'udp') assert.ok(effect.bytes.length <= 1232);
      }
    }
  };
  for (let steps = 1 + draw.below(12); steps > 0; steps--) {
    const [query, asked] = draw.of([[0, undefined], ...open]);
    if (asked === undefined || draw.oneIn(4)) {
      questions++;
      const asker = { family: /** @type {const} */ (4), words: Uint32Array.of(0x0a890005) };
      const transport = draw.of(/** @type {const} */ (['udp', 'tcp']));
      follow(proxy.ask({ asker, askerKey: 'q', transport }, draw.mutated(messageOf(draw, true)), nowMs));
    } else if (draw.oneIn(8)) follow(proxy.fail(query, nowMs));
    else if (draw.oneIn(3))
      follow(proxy.opened(draw.of(waits), draw.below(3), draw.of([0, 0, 0, 1, 2, 3, [true, false, true]])));
    else follow(proxy.answer(query, draw.mutated(answerTo(draw, asked)), nowMs));
    nowMs += draw.below(900);
    follow(proxy.expire(nowMs));
  }
  for (let times = 0; times < 3; times++) follow(proxy.expire(nowMs + 2000 * (times + 1)));
  assert.equal(open.size, 0);
  assert.equal(proxy.deadlineMs, undefined);
  assert.ok(replies <= questions);
}

/** An answer with a question's id, name, type and class. @param {Draw} draw @param {Uint8Array} asked */
function answerTo(draw, asked) {
  if (draw.oneIn(6)) return messageOf(draw, false);
  assert.equal(second.read(asked), undefined);
  const head = Buffer.from(asked.subarray(0, second.nameEnd + 4));
  head.writeUInt16BE(0x8000 | draw.of([0, 0, 0, 2, 5]) | (draw.oneIn(8) ? 0x0200 : 0), 2);
  const records = Array.from({ length: draw.below(draw.oneIn(9) ? 90 : 4) }, () => {
    const isAlias = draw.oneIn(2);
    const data = isAlias ? [1, 0x61, 0xc0, HEADER_BYTES] : [192, 0, 2, draw.below(256)];
    return Buffer.from([
      0xc0,
      HEADER_BYTES,
      0,
      isAlias ? CNAME : A,
      0,
      1,
      0,
      0,
      0,
      60,
      0,
      data.length,
      ...data,
    ]);
  });
  // Padded, as upstreams over TLS answer.
  const padding = [0, 12, 0, 3, 0, 0, 0];
  const opt = draw.oneIn(2) ? [] : [0, 0, OPT, 4, 208, 0, 0, 0, 0, 0, padding.length, ...padding];
  head.writeUInt16BE(records.length, 6);
  head.writeUInt16BE(opt.length === 0 ? 0 : 1, 10);
  return Buffer.concat([head, ...records, Buffer.from(opt)]);
}

/**
 * Whatever an answer holds, a qube is told by it no address that was not opened for it by every list.
 * @param {Draw} draw
 */
function opened(draw) {
  const type = draw.of([A, HTTPS, HTTPS, SVCB]);
  const proxy = new DnsProxy({
    upstreamCount: 1,
    judge: () => ({ action: 'accept', answer: 'answer' }),
    mayBePrivate: () => true,
    opens: (_, name, at) => (name[at] === 1 ? [LIST, LIST] : []), // names that begin with one letter
    randomBytes: (count) => draw.bytes(count),
  });
  const question = Buffer.from([0, 7, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, ...NAME, 0, type, 0, 1]);
  const asker = { family: /** @type {const} */ (4), words: Uint32Array.of(0x0a890005) };
  const [asked] = proxy.ask({ asker, askerKey: 'q', transport: 'tcp' }, question, 0);
  assert.ok(asked?.kind === 'ask');
  const head = Buffer.from(asked.bytes.subarray(0, HEADER_BYTES + NAME.length + 4));
  head.writeUInt16BE(0x8180, 2);
  const counts = [draw.below(draw.oneIn(20) ? 40 : 4), 0, draw.below(2)];
  for (const [i, count] of counts.entries()) head.writeUInt16BE(count, 6 + i * 2);
  const records = counts.flatMap((count) => Array.from({ length: count }, () => addressRecord(draw)));
  const effects = [...proxy.answer(asked.query, draw.mutated(Buffer.concat([head, ...records])), 1)];
  /** @type {Map<string, boolean>} */
  const isOpen = new Map();
  for (const effect of effects) {
    if (effect.kind !== 'open') continue;
    for (const [index, { addresses }] of effect.openings.entries()) {
      assert.ok(addresses.length > 0 && addresses.length <= 64);
      const which = addresses.map(() => draw.oneIn(2));
      const outcome = draw.of(/** @type {const} */ ([0, 0, 0, 1, 2, 4, which]));
      for (const [i, address] of addresses.entries()) {
        const key = address.join();
        const is = typeof outcome === 'number' ? outcome === 0 : outcome[i] === true;
        isOpen.set(key, is && isOpen.get(key) !== false);
      }
      effects.push(...proxy.opened(effect.wait, index, outcome));
    }
  }
  const replies = effects.flatMap((effect) => (effect.kind === 'reply' ? [effect.bytes] : []));
  assert.ok(replies.length <= 1); // none where somebody else is asked
  for (const bytes of replies) {
    assert.equal(second.read(bytes), undefined);
    for (let i = 0; i < second.recordCount; i++) {
      const isOther = type === A && (second.sections[i] !== 0 || ![A, AAAA].includes(second.types[i] ?? 0));
      if (second.classes[i] !== 1 || isOther) continue;
      for (const address of addressesOf(second, i))
        assert.equal(isOpen.get(address), true, 'it was not opened');
    }
  }
}

const NAME = [1, 0x6e, 7, ...Buffer.from('example'), 0];

/** A record of the name in the question. @param {Draw} draw */
function addressRecord(draw) {
  const type = draw.of([A, AAAA, CNAME, HTTPS, HTTPS, HTTPS, SVCB]);
  const four = () => [192, 0, 2, draw.below(80)];
  const six = () => [0x20, 1, 0x0d, 0xb8, ...new Array(11).fill(0), draw.below(9)];
  const target = draw.of([[0], [0], NAME, [0xc0, HEADER_BYTES], [1, 0x6d, 0], [3, 0x63, 0x64, 0x6e, 0]]);
  /** @param {number} key @param {readonly number[]} value */
  const parameter = (key, value) =>
    draw.oneIn(3) ? [] : [0, key, value.length >> 8, value.length & 255, ...value];
  const some = (/** @type {() => number[]} */ of) => Array.from({ length: draw.below(5) }, of).flat();
  const data =
    type === A
      ? four()
      : type === AAAA
        ? six()
        : type === CNAME
          ? target
          : [
              ...[0, draw.below(3), ...target, ...(draw.oneIn(5) ? parameter(0, [0, draw.of([4, 6])]) : [])],
              ...[...parameter(1, [2, 0x68, 0x32]), ...parameter(4, some(four)), ...parameter(6, some(six))],
            ];
  return Buffer.from([
    0xc0,
    HEADER_BYTES,
    0,
    type,
    0,
    1,
    0,
    0,
    0,
    60,
    data.length >> 8,
    data.length & 255,
    ...data,
  ]);
}

/** The addresses of a record, and of a service all of its hints. @param {MessageReader} message @param {number} index */
function addressesOf(message, index) {
  const start = message.dataStarts[index] ?? 0;
  const data = Buffer.from(message.bytes.subarray(start, start + (message.dataLengths[index] ?? 0)));
  const type = message.types[index];
  if (type === A || type === AAAA) return [data.join()];
  if (type !== HTTPS && type !== SVCB) return [];
  let at = 2;
  while (data[at] !== 0 && (data[at] ?? 0) < 0xc0) at += 1 + (data[at] ?? 0);
  at += data[at] === 0 ? 1 : 2;
  const found = [];
  while (at < data.length) {
    const value = data.subarray(at + 4, at + 4 + data.readUInt16BE(at + 2));
    const size = [0, 0, 0, 0, 4, 0, 16][data.readUInt16BE(at)] ?? 0;
    for (let i = 0; size > 0 && i < value.length; i += size) found.push(value.subarray(i, i + size).join());
    at += 4 + value.length;
  }
  return found;
}

/** By name, with how many of a hundred inputs each gets. */
export const DNS_DECODERS = /** @type {const} */ ({
  messages: { share: 45, run: messages },
  written: { share: 15, run: written },
  streams: { share: 5, run: streams },
  names: { share: 10, run: names },
  proxied: { share: 15, run: proxied },
  opened: { share: 10, run: opened },
});
