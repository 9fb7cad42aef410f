/**
 * What the applier says to the kernel, as text that `nft` reads: to be read by people, and to be loaded by
 * other means. Knows what our commands and expressions can be, and throws TypeError for anything else.
 */

/**
 * @typedef {import('../../packages/nftables/src/kernel/attributes.ts').Attribute} Attribute
 * @typedef {import('../../packages/nftables/src/kernel/commands.ts').Command} Command
 * @typedef {import('../../packages/nftables/src/kernel/elements.ts').Piece} Piece
 */

const NFT = 10 << 8;
const INTERVAL = 4;
const TIMEOUT = 16;
/** Where the type of the first of two stands in that of both. */
const TYPE_BITS = 6;
const REGISTER = 1;
const TYPES = /** @type {Readonly<Record<number, string>>} */ ({
  7: 'ipv4_addr',
  8: 'ipv6_addr',
  12: 'inet_proto',
  41: 'ifname',
});
const METAS = /** @type {Readonly<Record<number, string>>} */ ({
  6: 'iifname',
  15: 'meta nfproto',
  16: 'meta l4proto',
  21: 'iifgroup',
  22: 'oifgroup',
});
const CTS = /** @type {Readonly<Record<number, string>>} */ ({
  0: 'state',
  1: 'direction',
  10: 'protocol',
  11: 'proto-src',
  12: 'proto-dst',
  13: 'label',
  19: 'ip saddr',
  20: 'ip daddr',
  21: 'ip6 saddr',
  22: 'ip6 daddr',
});
const STATES = /** @type {const} */ ({ 8: 'new', 2: 'established', 1: 'invalid', 64: 'untracked' });
const TCP_FLAGS = /** @type {const} */ ({ 1: 'fin', 2: 'syn', 4: 'rst', 16: 'ack' });
const VERDICTS = /** @type {Readonly<Record<number, string>>} */ ({
  0: 'drop',
  1: 'accept',
  [-3]: 'jump',
  [-4]: 'goto',
});

/** One line, without its end. @param {Command} command */
export function commandText({ type, attributes }) {
  const table = `inet ${textAt(attributes, 1)}`;
  const name = attributes.flatMap(([, value]) => (typeof value === 'string' ? [value] : []))[1] ?? '';
  switch (type - NFT) {
    case 0:
      return `add table ${table}${numberAt(attributes, 2) === 0 ? '' : ' { flags owner, persist; }'}`;
    case 2:
      return `delete table ${table}`;
    case 3: {
      if (!has(attributes, 4)) return `add chain ${table} ${name}`;
      const hook = listAt(attributes, 4);
      const place = `type ${textAt(attributes, 7)} hook forward priority ${numberAt(hook, 2)}`;
      return `add chain ${table} ${name} { ${place}; policy accept; }`;
    }
    case 5:
      return `delete chain ${table} ${name}`;
    case 6: {
      const expressions = listAt(attributes, 4).map(
        ([, value]) => /** @type {readonly Attribute[]} */ (value),
      );
      return `add rule ${table} ${name} ${ruleText(expressions)}`;
    }
    case 8:
      return `flush chain ${table} ${name}`;
    case 9: {
      const kind = has(attributes, 6) ? 'map' : 'set';
      const size = listAt(attributes, 9, []).map(([, value]) => ` size ${value};`);
      const flags = numberAt(attributes, 3);
      const said =
        (flags & INTERVAL) !== 0 ? ' flags interval;' : (flags & TIMEOUT) !== 0 ? ' flags timeout;' : '';
      const data = kind === 'map' ? ' : verdict' : '';
      return `add ${kind} ${table} ${name} { type ${typeText(numberAt(attributes, 4))}${data};${said}${size.join('')} }`;
    }
    case 11:
      return `delete set ${table} ${name}`;
    case 12: {
      const keys = listAt(attributes, 3).map(([, element]) => bytesIn(element).join('.'));
      return `add element ${table} ${name} { ${keys.join(', ')} }`;
    }
    case 18:
      return `add counter ${table} ${name}`;
    case 20:
      return `delete counter ${table} ${name}`;
    default:
      throw new TypeError(`a message of type ${type}`);
  }
}

/** One type, or two of a pair. @param {number} type */
function typeText(type) {
  const [first, last] = [type >> TYPE_BITS, type & (2 ** TYPE_BITS - 1)];
  return first === 0 ? TYPES[last] : `${TYPES[first]} . ${TYPES[last]}`;
}

/** One line, without its end. @param {'add' | 'delete'} verb @param {string} table @param {Piece} piece */
export function elementsText(verb, table, { set, family, keys, ends, chains }) {
  const stride = family === 4 ? 1 : 4;
  const wordsAt = (/** @type {number} */ at) => [...keys.subarray(at * stride, (at + 1) * stride)];
  const elements = Array.from({ length: keys.length / stride }, (_, at) => {
    if (ends?.[at] === 1) return '';
    const last = ends?.[at + 1] === 1 ? before(wordsAt(at + 1)) : new Array(stride).fill(0xffffffff);
    const end = ends === undefined ? '' : `-${wordsText(last)}`;
    return `${wordsText(wordsAt(at))}${end}${chains === undefined ? '' : ` : goto ${chains[at]}`}`;
  });
  return `${verb} element inet ${table} ${set} { ${elements.filter((each) => each !== '').join(', ')} }`;
}

/** The address before one. @param {readonly number[]} words */
function before(words) {
  const borrows = (/** @type {number} */ at) => words.slice(at + 1).every((word) => word === 0);
  return words.map((word, at) => (borrows(at) ? word - 1 : word) >>> 0);
}

/** @param {readonly number[]} words */
function wordsText(words) {
  return addressText(
    words.flatMap((word) => [word >>> 24, (word >>> 16) & 255, (word >>> 8) & 255, word & 255]),
  );
}

// ── Rules ──────────────────────────────────────────────────────────────────────────────────────────────────

/** @param {readonly (readonly Attribute[])[]} expressions */
function ruleText(expressions) {
  /** @type {string[]} */
  const parts = [];
  let field = '';
  let mask = '';
  for (const expression of expressions) {
    const data = listAt(expression, 2);
    switch (textAt(expression, 1)) {
      case 'meta':
        [field, mask] = [METAS[numberAt(data, 2)] ?? '', ''];
        break;
      case 'ct': {
        const way = has(data, 3) ? `${bytesIn(data, 3)[0] === 0 ? 'original' : 'reply'} ` : '';
        if (has(data, 4)) parts.push(`ct label set ${field}`);
        const before = has(data, 1) && numberAt(data, 1) !== REGISTER ? `${field} . ` : '';
        [field, mask] = [`${before}ct ${way}${CTS[numberAt(data, 2)]}`, ''];
        break;
      }
      case 'payload':
        parts.pop(); // that it is TCP
        [field, mask] = ['tcp flags', ''];
        break;
      case 'bitwise':
        mask = valueText(field, bytesIn(data, 4), 'mask');
        break;
      case 'cmp':
        parts.push(comparison(field, mask, numberAt(data, 2) === 1, bytesIn(data, 3)));
        break;
      case 'range':
        parts.push(
          `${field} ${[3, 4].map((end) => valueText(field, bytesIn(data, end), 'value')).join('-')}`,
        );
        break;
      case 'lookup': {
        const asked = has(data, 3) ? 'vmap ' : numberAt(data, 5, 0) === 1 ? '!= ' : '';
        parts.push(`${field}${mask === '' ? '' : ` & ${mask}`} ${asked}@${textAt(data, 1)}`);
        break;
      }
      case 'objref':
        parts.push(`counter name ${textAt(data, 2)}`);
        break;
      case 'immediate': {
        if (numberAt(data, 1) === REGISTER) {
          field = labelText(bytesIn(data, 2));
          break;
        }
        const verdict = listAt(listAt(data, 2), 2);
        parts.push(`${VERDICTS[numberAt(verdict, 1)]}${has(verdict, 2) ? ` ${textAt(verdict, 2)}` : ''}`);
        break;
      }
      case 'reject':
        parts.push(`reject with ${numberAt(data, 1) === 1 ? 'tcp reset' : 'icmpx admin-prohibited'}`);
        break;
      default:
        throw new TypeError(`an expression ${textAt(expression, 1)}`);
    }
  }
  return parts.join(' ');
}

/** @param {string} field @param {string} mask @param {boolean} isNot @param {readonly number[]} bytes */
function comparison(field, mask, isNot, bytes) {
  if (field === 'ct state' || field === 'ct label') return `${field} ${mask}`;
  if (field.endsWith('addr')) {
    const whole = field.includes('ip6') ? 16 : 4;
    const length = mask === '' ? bytes.length * 8 : maskLength(mask);
    return `${field} ${addressText([...bytes, ...new Array(whole - bytes.length).fill(0)])}/${length}`;
  }
  const value = valueText(field, bytes, 'value');
  if (mask === '') return `${field} ${isNot ? '!= ' : ''}${value}`;
  return `${field} & ${mask} ${isNot ? '!=' : '=='} ${value}`;
}

/** @param {string} mask */
function maskLength(mask) {
  const bytes = mask.includes(':')
    ? (mask.match(/[0-9a-f]{2}/g) ?? []).map((pair) => Number.parseInt(pair, 16))
    : mask.split('.').map(Number);
  return bytes.reduce((sum, byte) => sum + byte.toString(2).replaceAll('0', '').length, 0);
}

/** @param {string} field @param {readonly number[]} bytes @param {'mask' | 'value'} as */
function valueText(field, bytes, as) {
  const [first = 0, second = 0, third = 0, fourth = 0] = bytes;
  const machineWord = first + second * 256 + third * 65_536 + fourth * 16_777_216;
  if (field.endsWith('addr')) return addressText(bytes);
  if (field === 'ct label') return labelText(bytes);
  if (field === 'tcp flags') {
    const flags = Object.entries(TCP_FLAGS).flatMap(([bit, name]) =>
      (first & Number(bit)) === 0 ? [] : [name],
    );
    return flags.length > 1 ? `(${flags.join(' | ')})` : (flags[0] ?? '0');
  }
  if (field === 'ct state')
    return [8, 2, 1, 64]
      .flatMap((bit) => ((first & bit) === 0 ? [] : [STATES[/** @type {8} */ (bit)]]))
      .join();
  if (field === 'ct direction') return first === 0 ? 'original' : 'reply';
  if (field === 'meta nfproto') return first === 2 ? 'ipv4' : 'ipv6';
  if (field.includes('proto-')) return String(first * 256 + second);
  return as === 'mask' || bytes.length === 4 ? String(machineWord) : String(first);
}

/** The one bit that there is. @param {readonly number[]} bytes */
function labelText(bytes) {
  const at = bytes.findIndex((byte) => byte !== 0);
  return String(at * 8 + Math.log2(bytes[at] ?? 0));
}

/** All of its groups. @param {readonly number[]} bytes */
function addressText(bytes) {
  if (bytes.length === 4) return bytes.join('.');
  const hex = bytes.map((byte) => byte.toString(16).padStart(2, '0')).join('');
  return (hex.match(/.{4}/g) ?? []).join(':');
}

// ── Attributes ─────────────────────────────────────────────────────────────────────────────────────────────

/** @param {readonly Attribute[]} attributes @param {number} type */
function has(attributes, type) {
  return attributes.some(([own]) => own === type);
}

/** @param {readonly Attribute[]} attributes @param {number} type */
function textAt(attributes, type) {
  const value = attributes.find(([own]) => own === type)?.[1];
  if (typeof value !== 'string') throw new TypeError(`no text ${type}`);
  return value;
}

/** @param {readonly Attribute[]} attributes @param {number} type @param {number} [otherwise] */
function numberAt(attributes, type, otherwise) {
  const value = attributes.find(([own]) => own === type)?.[1] ?? otherwise;
  if (typeof value !== 'number') throw new TypeError(`no number ${type}`);
  return value;
}

/**
 * @param {readonly Attribute[]} attributes @param {number} type @param {readonly Attribute[]} [otherwise]
 * @returns {readonly Attribute[]}
 */
function listAt(attributes, type, otherwise) {
  const value = attributes.find(([own]) => own === type)?.[1] ?? otherwise;
  if (!Array.isArray(value)) throw new TypeError(`no attributes ${type}`);
  return value;
}

/**
 * The bytes of an attribute, including all nested ones.
 * @param {Attribute[1]} value @param {number} [type]
 * @returns {readonly number[]}
 */
function bytesIn(value, type) {
  if (value instanceof Uint8Array) return [...value];
  if (typeof value === 'number')
    return [value >>> 24, (value >>> 16) & 255, (value >>> 8) & 255, value & 255];
  if (!Array.isArray(value)) throw new TypeError('no bytes');
  return value.filter(([own]) => type === undefined || own === type).flatMap(([, each]) => bytesIn(each));
}
