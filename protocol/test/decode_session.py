"""
A second decoder, deliberately naive: it reads recorded sessions (vectors/session.json) with nothing but the standard library, written
from PROTOCOL.md and sharing no code with the implementation. Where both agree, the document says enough.

Reads a JSON array of sessions from standard input and writes a JSON array of as many results: what was decoded, or
{"error": code, "text": reason}. Prefixes are pairs (address as a number, length); a rule set is a dict of parts by (kind, name).
"""

import hashlib
import json
import re
import struct
import sys
import zlib



class Refused(Exception):
    def __init__(self, code, text):
        super().__init__(text)
        self.code = code


def need(condition, code, text):
    if not condition:
        raise Refused(code, text)


class Reader:
    """Little-endian numbers, one after the other."""

    def __init__(self, data, code):
        self.data, self.at, self.code = data, 0, code

    def left(self):
        return len(self.data) - self.at

    def take(self, count):
        need(count <= self.left(), self.code, f"{count} bytes expected, {self.left()} left")
        self.at += count
        return self.data[self.at - count : self.at]

    def rest(self):
        return self.take(self.left())

    def uint(self, count):
        return int.from_bytes(self.take(count), "little")

    def u64(self):
        value = self.uint(8)
        need(value < 2**53, self.code, "a number of more than 53 bits")
        return value

    def varint(self, bits=32):
        value = shift = 0
        while True:
            byte = self.uint(1)
            value |= (byte & 127) << shift
            need(value < 2**bits, self.code, "a varint that is too large")
            if byte < 128:
                need(byte > 0 or shift == 0, self.code, "a varint in too long a form")
                return value
            shift += 7

    def difference(self):
        value = self.varint(53)
        return -(value + 1) // 2 if value & 1 else value // 2

    def text8(self):
        return self.take(self.uint(1)).decode("latin-1")

    def end(self):
        need(self.left() == 0, self.code, f"{self.left()} bytes too many")


# ── Frames ────────────────────────────────────────────────────────────────────


def version_of(kind):
    """HELLO, WELCOME, BYE and GREET are read by peers of every version."""
    return 1 if kind in (1, 2, 17, 78) else 2


class Frames:
    """One direction of a connection: feed bytes, get (type, transaction, body)."""

    def __init__(self):
        self.buffer, self.sequence = b"", 0

    def feed(self, data):
        self.buffer += data
        frames = []
        while len(self.buffer) >= 24:
            magic, version, kind, flags, transaction, sequence, length, checksum = struct.unpack(
                "<IBBHIIII", self.buffer[:24]
            )
            need(magic == 0x54534352, "bad-magic", "not RCST")
            need(version == version_of(kind), "bad-frame-version", str(version))
            need(flags == 0, "bad-flags", hex(flags))
            need(length <= 65512, "bad-length", str(length))
            need(sequence == self.sequence, "bad-sequence", f"{sequence}, not {self.sequence}")
            if len(self.buffer) < 24 + length:
                break
            body = self.buffer[24 : 24 + length]
            need(zlib.crc32(self.buffer[:20] + body) == checksum, "bad-checksum", f"frame {sequence}")
            self.buffer = self.buffer[24 + length :]
            self.sequence += 1
            frames.append((kind, transaction, body))
        return frames

    def end(self):
        need(not self.buffer, "truncated", "the stream ends within a frame")


# ── Control bodies ────────────────────────────────────────────────────────────


def control_body(body):
    need(len(body) <= 4096, "body-too-long", str(len(body)))
    at = 0

    def take(count):
        nonlocal at
        need(at + count <= len(body), "bad-body", "too few bytes")
        at += count
        return body[at - count : at]

    def big(count, signed=False):
        return int.from_bytes(take(count), "big", signed=signed)

    def value(depth):
        tag = big(1)
        if tag < 0x80:
            return tag
        if tag >= 0xE0:
            return tag - 256
        if tag < 0x90 or tag == 0xDE:
            return mapping(tag & 15 if tag < 0x90 else big(2), depth)
        if tag < 0xA0 or tag == 0xDC:
            count = tag & 15 if tag < 0xA0 else big(2)
            need(depth < 4, "bad-body", "nested too deep")
            need(count <= len(body) - at, "bad-body", "an array beyond the body")
            return [value(depth + 1) for _ in range(count)]
        if tag < 0xC0 or tag in (0xD9, 0xDA):
            return text(tag & 31 if tag < 0xC0 else big(1 if tag == 0xD9 else 2))
        if tag in (0xC2, 0xC3):
            return tag == 0xC3
        if tag in (0xC4, 0xC5):
            return take(big(1 if tag == 0xC4 else 2))
        if 0xCC <= tag <= 0xCF:
            return big(1 << (tag - 0xCC))
        if 0xD0 <= tag <= 0xD3:
            return big(1 << (tag - 0xD0), signed=True)
        raise Refused("bad-body", f"tag {tag:#x}")

    def text(count):
        try:
            return take(count).decode("utf-8")
        except UnicodeDecodeError:
            raise Refused("bad-body", "malformed UTF-8") from None

    def mapping(count, depth):
        need(depth < 4, "bad-body", "nested too deep")
        need(count * 2 <= len(body) - at, "bad-body", "a map beyond the body")
        result = {}
        for _ in range(count):
            key = value(depth + 1)
            need(isinstance(key, str) and key != "__proto__", "bad-body", "a key that is none")
            need(key not in result, "bad-body", "a key twice")
            result[key] = value(depth + 1)
        return result

    need(body and (0x80 <= body[0] < 0x90 or body[0] == 0xDE), "bad-body", "not a map")
    result = value(0)
    need(at == len(body), "bad-body", "bytes after the map")
    return result


def is_uint(value, low=0, high=2**53 - 1):
    return type(value) is int and low <= value <= high


def sized(*counts):
    return lambda v: isinstance(v, bytes) and len(v) in counts


def words(*all_words):
    return lambda v: v in all_words


def text_of(most):
    controls = re.compile("[\x00-\x1f\x7f-\x9f]")
    return lambda v: isinstance(v, str) and len(v.encode()) <= most and not controls.search(v)


def matching(pattern):
    return lambda v: isinstance(v, str) and re.fullmatch(pattern, v) is not None


def between(low, high):
    return lambda v: is_uint(v, low, high)


def list_of(most, check):
    return lambda v: isinstance(v, list) and len(v) <= most and all(map(check, v))


def map_of(fields):
    return lambda v: isinstance(v, dict) and fields_fault(fields, v) is None


def fields_fault(fields, body):
    names = {name.rstrip("?") for name in fields}
    for name in body:
        if name not in names:
            return f"unknown field {name}"
    for name, check in fields.items():
        if name.rstrip("?") not in body:
            if not name.endswith("?"):
                return f"no field {name}"
        elif not check(body[name.rstrip("?")]):
            return f"a wrong {name}"
    return None


HASH, UINT, BOOLEAN, TEXT = sized(32), is_uint, lambda v: isinstance(v, bool), text_of(512)
CODE = matching("[a-z][a-z0-9-]{0,63}")
NAME = matching("[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
PAUSE = between(0, 86400000)
VERSION = between(1, 255)
PACKET = {
    "direction": words("egress", "ingress", "both"),
    "src?": sized(4, 16),
    "dst": sized(4, 16),
    "proto": between(0, 255),
    "port?": between(0, 65535),
    "icmpType?": between(0, 255),
}
VERDICT = {
    "action": words("accept", "drop", "none"),
    "direction?": words("egress", "ingress"),
    "policy?": NAME,
    "rulePolicy?": NAME,
    "block?": words("exceptions", "common", "own"),
    "rule?": text_of(1536),
    "ruleIndex?": UINT,
    "run?": UINT,
    "list?": NAME,
    "prefix?": text_of(43),
}


def counters(value):
    name = re.compile("[A-Za-z][A-Za-z0-9._-]{0,95}")
    return isinstance(value, dict) and len(value) <= 64 and all(
        name.fullmatch(key) and is_uint(count) for key, count in value.items()
    )


MESSAGES = {
    1: ("HELLO", {
        "protocolMin": VERSION, "protocolMax": VERSION, "name": NAME, "lineage": sized(16),
        "root": map_of({"hash": HASH, "number?": UINT}),
        "holds?": map_of({"hash": HASH, "epoch": UINT, "version": UINT}),
        "refused": list_of(32, HASH), "limits": map_of({"entries": UINT, "bytes": UINT, "parts": UINT}),
        "capabilities?": list_of(32, CODE), "nonce?": sized(16),
    }),
    2: ("WELCOME", {"protocol": VERSION, "name": NAME, "lineage": sized(16), "capabilities?": list_of(32, CODE), "heartbeatMs": between(100, 60000)}),
    3: ("OFFER", None),
    4: ("WANT", {"hash": HASH, "base?": HASH, "has?": map_of({"stream": sized(16), "bytes": UINT})}),
    5: ("BEGIN", {"bytes": UINT, "snapshot?": BOOLEAN, "stream?": sized(16), "from?": UINT}),
    6: ("CHUNK", None),
    7: ("END", {"sha256?": HASH}),
    8: ("ABORT", {"code": CODE, "text": TEXT}),
    9: ("APPLIED", {
        "hash": HASH, "epoch": UINT, "version": UINT, "receiveMs": UINT, "verifyMs": UINT, "compileMs": UINT,
        "flipMs": UINT, "persisted": BOOLEAN, "generation": UINT,
    }),
    10: ("NACK", {
        "hash": HASH, "code": CODE, "text": TEXT, "part?": text_of(96), "entry?": UINT,
        "retry": words("never", "later"), "retryAfterMs?": PAUSE, "keeps?": HASH,
    }),
    11: ("QUERY", {
        "question": words("test", "stats"), "packet?": map_of(PACKET),
    }),
    12: ("ANSWER", {
        "ok": BOOLEAN, "verdict?": map_of(VERDICT), "hash?": HASH, "version?": UINT, "epoch?": UINT,
        "generation?": UINT, "stats?": counters, "code?": CODE, "text?": TEXT,
    }),
    13: ("PROVE", {}),
    14: ("PROOF", None),
    15: ("PING", {"hash?": HASH, "ageMs?": UINT, "nonce?": sized(16)}),
    16: ("PONG", {"hash?": HASH, "ageMs?": UINT}),
    17: ("BYE", {"code": CODE, "text": TEXT, "retryAfterMs?": PAUSE}),
    18: ("UNSUPPORTED", {"hash": HASH, "capabilities": list_of(32, CODE), "text": TEXT}),
    19: ("ROOT", None),
    20: ("FRESH", None),
}  # fmt: skip


def without_skippable(value):
    """Fields that are marked as such that whoever does not know them may skip."""
    if not isinstance(value, dict):
        return value
    return {key: without_skippable(content) for key, content in value.items() if not key.startswith("+")}


def message(kind, body):
    """The name and the fields of a message; OFFER, PROOF, ROOT and CHUNK have their bytes."""
    need(kind in MESSAGES, "unknown-type", str(kind))
    name, fields = MESSAGES[kind]
    if fields is None:
        need(body, "bad-message", f"an empty {name}")
        if name != "CHUNK":
            signed_in(body)
        return name, body
    decoded = without_skippable(control_body(body))
    fault = fields_fault(fields, decoded)
    need(fault is None, "bad-message", f"{name}: {fault}")
    if name == "HELLO":
        need(decoded["protocolMin"] <= decoded["protocolMax"], "bad-message", "protocol range")
    if name == "QUERY":
        need((decoded["question"] == "test") == ("packet" in decoded), "bad-message", "packet")
    if name == "ANSWER":
        need(decoded["ok"] != ("code" in decoded), "bad-message", "code")
    return name, decoded


# ── Signatures: Ed25519, RFC 8032, section 5.1, the formulas as they stand there ──

P = 2**255 - 19
ORDER = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, -1, P) % P


def add(a, b):
    (x1, y1, z1, t1), (x2, y2, z2, t2) = a, b
    e, f = (y1 - x1) * (y2 - x2) % P, (y1 + x1) * (y2 + x2) % P
    g, h = 2 * t1 * t2 * D % P, 2 * z1 * z2 % P
    e, f, g, h = f - e, h - g, h + g, f + e
    return e * f % P, g * h % P, f * g % P, e * h % P


def multiply(scalar, point):
    result = (0, 1, 1, 0)
    while scalar:
        if scalar & 1:
            result = add(result, point)
        point = add(point, point)
        scalar >>= 1
    return result


def point_of(data):
    y = int.from_bytes(data, "little")
    sign, y = y >> 255, y & (2**255 - 1)
    if y >= P:
        return None
    square = (y * y - 1) * pow(D * y * y + 1, -1, P) % P
    x = pow(square, (P + 3) // 8, P)
    if (x * x - square) % P:
        x = x * pow(2, (P - 1) // 4, P) % P
    if (x * x - square) % P or (x == 0 and sign):
        return None
    x = P - x if x & 1 != sign else x
    return x, y, 1, x * y % P


BASE = point_of((4 * pow(5, -1, P) % P).to_bytes(32, "little"))


def verifies(public, data, signature):
    key, r, s = point_of(public), point_of(signature[:32]), int.from_bytes(signature[32:], "little")
    if key is None or r is None or s >= ORDER:
        return False
    k = int.from_bytes(hashlib.sha512(signature[:32] + public + data).digest(), "little") % ORDER
    left, right = multiply(s, BASE), add(r, multiply(k, key))
    return all((left[i] * right[2] - right[i] * left[2]) % P == 0 for i in (0, 1))


# ── Parts and manifests ───────────────────────────────────────────────────────

PREFIXES, NAMES, POLICY, RESOLUTIONS, UNMATCHED = 1, 2, 3, 4, 5
PART_NAME = re.compile("[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
LABEL = "[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?"
HOST_NAME = re.compile(rf"{LABEL}(\.{LABEL})*")
NUMBER = re.compile("[0-9]+|0x[0-9a-f]*")


def host_name(name, code):
    need(len(name) <= 253 and HOST_NAME.fullmatch(name), code, f"no host name: {name}")
    need(not NUMBER.fullmatch(name.rpartition(".")[2]), code, f"ends in a number: {name}")
    return name


def check_part_id(kind, name, code):
    need(kind in (1, 2, 3, 4, 5), code, f"kind {kind}")
    need(name == "" if kind in (RESOLUTIONS, UNMATCHED) else PART_NAME.fullmatch(name), code, f"name {name} of kind {kind}")


def manifest_of(data):
    reader = Reader(data, "bad-manifest")
    need(len(data) == 104 and reader.take(4) == b"RCM2", "bad-manifest", "tag or length")
    result = {"lineage": reader.take(16)}
    for field in ("epoch", "version", "previous", "created"):
        result[field] = reader.u64()
    need(1 <= result["version"] > result["previous"], "bad-manifest", "versions")
    for field in ("parts", "prefixes", "others"):
        result[field] = reader.uint(4)
    result["bytes"], result["catalogue"] = reader.u64(), reader.take(32)
    need(result["parts"] <= 65536, "bad-manifest", "parts")
    return result


def column_bytes(prefixes, bits):
    words_of = lambda address: [(address >> shift) & 0xFFFFFFFF for shift in range(bits - 32, -1, -32)]
    out = b"".join(struct.pack("<I", word) for address, _ in prefixes for word in words_of(address))
    return out + bytes(length for _, length in prefixes)


def read_column(reader, count, bits):
    need(count * (bits // 8 + 1) <= reader.left(), reader.code, "more prefixes than bytes")
    addresses = []
    for _ in range(count):
        address = 0
        for _ in range(bits // 32):
            address = address << 32 | reader.uint(4)
        addresses.append(address)
    return check_hosts(list(zip(addresses, reader.take(count))), bits, reader.code)


def read_planes(reader, count, bits):
    """A column that travels in a run: differences between neighbours, byte by byte."""
    need(count * (bits // 8 + 1) <= reader.left(), reader.code, "more prefixes than bytes")
    addresses = [0] * count
    for _ in range(bits // 32):
        planes, word = [reader.take(count) for _ in range(4)], 0
        for i in range(count):
            word = (word + sum(plane[i] << 8 * b for b, plane in enumerate(planes))) % 2**32
            addresses[i] = addresses[i] << 32 | word
    return check_hosts(list(zip(addresses, reader.take(count))), bits, reader.code)


def check_hosts(prefixes, bits, code):
    for address, length in prefixes:
        need(length <= bits and address % 2 ** (bits - length) == 0, code, "host bits")
    return prefixes


def check_set(prefixes, bits, code):
    for (address, length), (following, _) in zip(prefixes, prefixes[1:]):
        need(following >= address + 2 ** (bits - length), code, "prefixes that are not sorted and disjoint")


def read_prefix_set(reader):
    count4, count6 = reader.uint(4), reader.uint(4)
    result = read_column(reader, count4, 32), read_column(reader, count6, 128)
    check_set(result[0], 32, reader.code)
    check_set(result[1], 128, reader.code)
    return result


def prefix_set_bytes(prefix_set):
    v4, v6 = prefix_set
    return struct.pack("<II", len(v4), len(v6)) + column_bytes(v4, 32) + column_bytes(v6, 128)


def text8(text):
    return bytes([len(text)]) + text.encode("ascii")


# What says who resolves a list of names, by its code.

# Rules are kept one by one, (head, remote kind, remote): head is action, protocol, flags and fields as bytes; remote of kinds
# 1 and 2 is one prefix, of 3 and 4 the text8.


def read_rules(reader, direction):
    """Runs as rules."""
    rules, before = [], None
    for _ in range(reader.uint(4)):
        head, kind, remotes = read_run(reader, direction)
        need(before != (head, kind) or kind not in (1, 2), reader.code, "two runs that are one")
        before = head, kind
        rules += [(head, kind, remote) for remote in remotes]
    return rules


def read_run(reader, direction):
    start = reader.at
    action, protocol, flags = reader.uint(1), reader.uint(1), reader.uint(1)
    bad = lambda condition, text: need(not condition, reader.code, text)
    bad(action > 1 or protocol not in (0, 1, 6, 17) or flags > 31, "action, protocol or flags")
    if flags & 2:
        first, last = reader.uint(2), reader.uint(2)
        bad(first > last or protocol not in (6, 17) and not flags & 1, "ports")
        bad(flags & 1 and (first, last) != (53, 53), "ports with DNS")
    bad(flags & 1 and (protocol == 1 or direction == "ingress"), "DNS target")
    if flags & 4:
        reader.uint(1)
        bad(protocol != 1, "ICMP type")
    if flags & 8:
        bad(reader.u64() > 253402300799, "expiry")
    if flags & 16:
        comment = reader.take(reader.uint(2))
        bad(not 1 <= len(comment) <= 4096 or re.search(rb"[^ -~]|^ | $", comment), "comment")
    head = reader.data[start : reader.at]
    kind = reader.uint(1)
    bad(kind > 4, "remote kind")
    if kind == 0:
        return head, kind, [b""]
    if kind in (1, 2):
        count = reader.uint(4)
        bad(count == 0, "a run without prefixes")
        return head, kind, read_planes(reader, count, 32 if kind == 1 else 128)
    name = reader.text8()
    if kind == 3:
        host_name(name, reader.code)
    else:
        bad(not PART_NAME.fullmatch(name), "list name")
    return head, kind, [text8(name)]


def rules_bytes(rules):
    runs = []
    for head, kind, remote in rules:
        if runs and kind in (1, 2) and runs[-1][:2] == (head, kind):
            runs[-1][2].append(remote)
        else:
            runs.append((head, kind, [remote]))
    out = struct.pack("<I", len(runs))
    for head, kind, remotes in runs:
        out += head + bytes([kind])
        if kind in (1, 2):
            out += struct.pack("<I", len(remotes)) + column_bytes(remotes, 32 if kind == 1 else 128)
        else:
            out += remotes[0]
    return out


def key_of(text):
    end = 1 if text.startswith("*.") else 2 if text.startswith(".") else 0
    labels = text.lstrip("*").lstrip(".").split(".")
    return "\3".join(reversed(labels)).encode() + bytes([end])


def text_of(key):
    labels = key[:-1].decode().split("\3")
    return ("", "*.", ".")[key[-1]] + ".".join(reversed(labels))


def labels_of(name):
    """What names are sorted by: the labels from the last."""
    return name.split(".")[::-1]


def canonical(kind, part):
    if kind == PREFIXES:
        return b"RCP1" + prefix_set_bytes(part)
    if kind == NAMES:
        resolve, names, exceptions = part
        counts = struct.pack("<BII", resolve, len(names), len(exceptions))
        return b"RCN2" + counts + b"".join(map(key_of, names + exceptions))
    if kind == POLICY:
        action, own, *rules = part
        if not rules[2] and not rules[3]:
            rules = rules[:2]
        tag = b"RCQ1" if len(rules) == 2 else b"RCQ2"
        return tag + bytes([action]) + prefix_set_bytes(own) + b"".join(map(rules_bytes, rules))
    if kind == UNMATCHED:
        return b"RCU1" + bytes([part])
    entries = [text8(name) + prefix_set_bytes(part[name]) for name in sorted(part, key=labels_of)]
    return b"RCA1" + struct.pack("<I", len(entries)) + b"".join(entries)


def from_canonical(kind, data):
    """Policies and resolutions travel as their canonical bytes, but with planes for the columns of runs."""
    reader = Reader(data, "bad-canonical")
    tag = reader.take(4)
    need(tag in ((b"RCQ1", b"RCQ2") if kind == POLICY else (b"RCA1",)), reader.code, "tag")
    if kind == POLICY:
        action = reader.uint(1)
        need(action <= 23, reader.code, "default action and answers")
        part = action, read_prefix_set(reader), read_rules(reader, "egress"), read_rules(reader, "ingress")
        exceptions = [], []
        if tag == b"RCQ2":
            exceptions = read_rules(reader, "egress"), read_rules(reader, "ingress")
            need(exceptions != ([], []), reader.code, "no exceptions")
        part += exceptions
    else:
        part, last = {}, ""
        for _ in range(reader.uint(4)):
            name = host_name(reader.text8(), reader.code)
            need(not part or labels_of(name) > labels_of(last), reader.code, "names that do not ascend")
            part[name], last = read_prefix_set(reader), name
    reader.end()
    return part


def count_of(kind, part):
    if kind == PREFIXES:
        return len(part[0]) + len(part[1])
    if kind == NAMES:
        return len(part[1]) + len(part[2])
    if kind == UNMATCHED:
        return 1
    return sum(map(len, part[2:])) if kind == POLICY else len(part)


# ── Digests ───────────────────────────────────────────────────────────────────


def sha256(*pieces):
    return hashlib.sha256(b"".join(pieces)).digest()


def u32(*numbers):
    return struct.pack(f"<{len(numbers)}I", *numbers)


def cut(items, bits, most, bit=0):
    """Sorted (key, item), keys of so many bits: ranges of at most `most` items."""
    if len(items) <= most:
        return [[item for _, item in items]] if items else []
    ones = next((i for i, (key, _) in enumerate(items) if key >> bits - 1 - bit & 1), len(items))
    return cut(items[:ones], bits, most, bit + 1) + cut(items[ones:], bits, most, bit + 1)


def number_of(key):
    return int.from_bytes(key.ljust(256, b"\0"), "big")


def prefixes_digest(prefix_set):
    counts, hashes = [], []
    for column, bits, most, tag in zip(prefix_set, (32, 128), (1638, 481), (b"RLP4", b"RLP6")):
        leaves = cut([(prefix[0], prefix) for prefix in column], bits, most)
        counts += [len(column), len(leaves)]
        hashes += [sha256(tag, u32(len(leaf)), column_bytes(leaf, bits)) for leaf in leaves]
    return sha256(b"RDP1", u32(*counts), *hashes)


def names_digest(tag, leaf_tag, head, columns, most, entry):
    counts, hashes = [], []
    for names in columns:
        leaves = cut([(number_of(key_of(name)), name) for name in names], 2048, most)
        counts += [len(names), len(leaves)]
        hashes += [sha256(leaf_tag, u32(len(leaf)), *map(entry, leaf)) for leaf in leaves]
    return sha256(tag, head, u32(*counts), *hashes)


def rule_leaves(rules):
    leaves, leaf = [], []
    for rule in rules:
        leaf.append(rule)
        value = 0x811C9DC5
        for byte in rules_bytes([rule])[4:]:
            value = (value ^ byte) * 0x01000193 % 2**32
        value = (value ^ value >> 16) * 0x85EBCA6B % 2**32
        if len(leaf) == 1024 or len(leaf) >= 128 and (value ^ value >> 13) & 511 == 0:
            leaves.append(leaf)
            leaf = []
    return leaves + [leaf] if leaf else leaves


def digest_of(kind, part):
    if kind == PREFIXES:
        return prefixes_digest(part)
    if kind == NAMES:
        return names_digest(b"RDN2", b"RLN1", bytes([part[0]]), part[1:], 512, key_of)
    if kind == UNMATCHED:
        return sha256(b"RDU1", bytes([part]))
    if kind == RESOLUTIONS:
        entry = lambda name: text8(name) + prefix_set_bytes(part[name])
        return names_digest(b"RDA1", b"RLA1", b"", [sorted(part, key=labels_of)], 128, entry)
    action, own, *blocks = part
    cuts = [rule_leaves(rules) for rules in blocks]
    counts = [number for rules, leaves in zip(blocks, cuts) for number in (len(rules), len(leaves))]
    hashes = [sha256(b"RLQ1", u32(len(leaf)), rules_bytes(leaf)[4:]) for leaves in cuts for leaf in leaves]
    return sha256(b"RDQ1", bytes([action]), prefixes_digest(own), u32(*counts), *hashes)


def record_of(kind, name, part):
    return {
        "kind": kind,
        "name": name,
        "count": count_of(kind, part),
        "bytes": len(canonical(kind, part)),
        "digest": digest_of(kind, part),
    }


def records_of(rule_set):
    return [record_of(kind, name, rule_set[kind, name]) for kind, name in sorted(rule_set)]


def catalogue_digest(records):
    items = [(number_of(bytes([record["kind"]]) + record["name"].encode("ascii")), record) for record in records]
    leaves = cut(items, 2048, 128)
    entry = lambda record: b"".join([
        bytes([record["kind"]]), text8(record["name"]), struct.pack("<IQ", record["count"], record["bytes"]), record["digest"]
    ])  # fmt: skip
    hashes = [sha256(b"RLC1", u32(len(leaf)), *map(entry, leaf)) for leaf in leaves]
    return sha256(b"RDC1", u32(len(records), len(leaves)), *hashes)


def totals_of(records):
    """Of records, or of what a delta claims: parts, entries of prefix lists, all else that is counted, bytes."""
    counts = {True: 0, False: 0}
    for record in records:
        counts[record["kind"] == PREFIXES] += record["count"]
    return {
        "parts": len(records),
        "prefixes": counts[True],
        "others": counts[False],
        "bytes": sum(record["bytes"] for record in records),
    }


def check_totals(manifest, totals):
    need(totals["parts"] == manifest["parts"], "bad-rule-set", "another number of parts")
    for field in ("prefixes", "others", "bytes"):
        need(totals[field] == manifest[field], "bad-count", field)


# ── Entries ───────────────────────────────────────────────────────────────────


class Decoder:
    """Reads deltas and counts the forms that it met, so that a test can see that a session has them all."""

    def __init__(self):
        self.forms = {}

    def met(self, form):
        self.forms[form] = self.forms.get(form, 0) + 1

    def inflate(self, data, length, code):
        need(length <= 67108864 and length <= 1032 * len(data), code, "an absurd inflated length")
        engine = zlib.decompressobj(-15)
        try:
            raw = engine.decompress(data, length + 1)
        except zlib.error as error:
            raise Refused(code, str(error)) from None
        need(engine.eof and not engine.unused_data and len(raw) == length, code, "another inflated length")
        return raw

    def packed(self, reader):
        kind = reader.uint(1)
        need(kind <= 1, reader.code, f"packing {kind}")
        self.met(f"packing {kind}")
        if kind == 0:
            return Reader(reader.rest(), reader.code)
        length = reader.uint(4)
        return Reader(self.inflate(reader.rest(), length, reader.code), reader.code)

    def gaps(self, reader, count, bits):
        """A block of gaps, of which those of IPv6 entries may have 128 bits."""
        codec = reader.uint(1)
        need(codec in (0, 2), reader.code, f"codec {codec}")
        self.met(f"codec {codec}")
        payload = Reader(reader.take(reader.varint()), reader.code)
        if codec == 2:
            return self.rice(payload.rest(), count, reader.code)
        result = [payload.varint(bits) for _ in range(count)]
        payload.end()
        return result

    def rice(self, payload, count, code):
        need(1 <= len(payload) <= 5 * count and payload[0] <= 31, code, "Rice parameter or length")
        parameter, bits, at = payload[0], int.from_bytes(payload[1:], "little"), 0
        total, result = 8 * (len(payload) - 1), []
        for _ in range(count):
            quotient = 0
            while at < total and not bits >> at & 1:
                quotient, at = quotient + 1, at + 1
            need(at + 1 + parameter <= total, code, "Rice codes that end too soon")
            result.append(quotient << parameter | bits >> at + 1 & 2**parameter - 1)
            need(result[-1] < 2**32, code, "a gap beyond 32 bits")
            at += 1 + parameter
        need(total - at < 8 and bits >> at == 0, code, "bits after the last gap")
        return result

    def sequence(self, reader, bits=32):
        count, numbers = reader.varint(), []
        need((count + 4095) // 4096 * 2 <= reader.left(), reader.code, "more numbers than bytes")
        while len(numbers) < count:
            for gap in self.gaps(reader, min(4096, count - len(numbers)), bits):
                numbers.append(numbers[-1] + 1 + gap if numbers else gap)
        return numbers

    def entries(self, reader, bits):
        groups, prefixes, last = reader.uint(1), [], -1
        if groups == 255:
            return self.tree(reader, bits)
        for _ in range(groups):
            length = reader.uint(1)
            need(last < length <= bits, reader.code, f"a group of length {length}")
            numbers, last = self.sequence(reader, bits), length
            need(numbers and numbers[-1] < 2**length, reader.code, f"a group of length {length}")
            prefixes += [(number << bits - length, length) for number in numbers]
        prefixes.sort()
        check_set(prefixes, bits, reader.code)
        return prefixes

    def tree(self, reader, bits):
        self.met("tree")
        lengths = list(reader.take(reader.uint(1)))
        need(lengths and lengths == sorted(set(lengths)) and lengths[-1] <= bits, reader.code, "lengths")
        coder = RangeDecoder(reader.take(reader.varint()), reader.code)
        prefixes = []

        def node(address, depth, role):
            """Reads a node and those below it; whether it is a leaf."""
            if depth == lengths[-1] or depth in lengths and coder.decide(("leaf", depth, role)):
                prefixes.append((address << bits - depth, depth))
                return True
            if coder.decide(("both", depth, role)):
                leaf = node(address << 1, depth + 1, "left")
                node(address << 1 | 1, depth + 1, "right of leaf" if leaf else "right")
            else:
                node(address << 1 | coder.decide(("side", depth, role)), depth + 1, "only")
            return False

        node(0, 0, "only")
        coder.end()
        need({length for _, length in prefixes} == set(lengths), reader.code, "a length without a prefix")
        return prefixes

    def removed(self, reader, count):
        indices = self.sequence(reader)
        need(not indices or indices[-1] < count, "bad-base", "an index beyond the old content")
        return indices

    def names(self, raw):
        resolve = raw.uint(1)
        need(resolve <= 3, raw.code, "who resolves")
        names, exceptions = self.keys(raw), self.keys(raw)
        raw.end()
        return self.sound(resolve, names, exceptions, raw.code)

    def sound(self, resolve, names, exceptions, code):
        """Each exception has an entry as the nearest of what stands for the names below one above it, and none of its own."""
        by_name = lambda texts: {text.lstrip("*").lstrip("."): text for text in texts}
        entries, without = by_name(names), by_name(exceptions)
        for name, text in without.items():
            own = entries.get(name, "")
            covers = lambda entry: {"": 0, "*": 2, ".": 3}.get(entry[:1], 1)
            need(covers(own) & covers(text) == 0, code, "an exception of what an entry of its name stands for")
            labels = name.split(".")
            above = [".".join(labels[i:]) for i in range(1, len(labels))]
            said = [(covers(without.get(one, "")) & 2, covers(entries.get(one, "")) & 2) for one in above]
            nearest = next((is_entry for is_exception, is_entry in said if is_exception or is_entry), 0)
            need(nearest, code, "an exception that excepts nothing")
        return resolve, names, exceptions

    def keys(self, raw):
        """Names as text, in canonical order."""
        shared, keys = raw.take(raw.varint()), []
        for same in shared:
            before = keys[-1] if keys else b""
            rest = raw.take(1)
            while rest[-1] > 2:
                rest += raw.take(1)
            need(same < max(1, len(before)), raw.code, "more shared than there is")
            need(not keys or before[same] < rest[0], raw.code, "keys that do not ascend, or share more")
            keys.append(before[:same] + rest)
        names = [text_of(key) for key in keys]
        for name in names:
            host_name(name.lstrip("*").lstrip("."), raw.code)
        return self.once(names, raw.code)

    def once(self, names, code):
        bare = [key_of(name)[:-1] for name in names]
        need(all(a < b for a, b in zip(bare, bare[1:])), code, "a name twice")
        return names

    # ── Deltas ────────────────────────────────────────────────────────────────

    def chain(self, stream, rule_set, manifest):
        reader, steps = Reader(stream, "bad-delta"), []
        while reader.left():
            steps.append(reader.take(reader.varint()))
        need(steps, "bad-delta", "no delta")
        need(len(steps) <= 1024, "over-limit", "deltas")
        claims = {(r["kind"], r["name"]): {"count": r["count"], "bytes": r["bytes"]} for r in records_of(rule_set)}
        for i, step in enumerate(steps):
            signed = manifest if i == len(steps) - 1 else None
            rule_set, claims = self.delta(Reader(step, "bad-delta"), rule_set, claims, signed)
        lists = [name for kind, name in rule_set if kind in (PREFIXES, NAMES)]
        need(len(lists) == len(set(lists)), "bad-delta", "two lists of one name")
        return rule_set

    def delta(self, reader, before, claims_before, signed):
        changes, claims, ids = [], dict(claims_before), sorted(before)
        last, at = None, 0
        for _ in range(reader.varint()):
            op = reader.uint(1)
            need(op <= 3, "bad-delta", f"op {op}")
            if op == 3:
                key = reader.uint(1), reader.text8()
                check_part_id(*key, "bad-delta")
                need(key not in before, "bad-base", f"{key} is there")
            else:
                index = at + reader.varint()
                need(index < len(ids), "bad-base", f"part {index}")
                key, at = ids[index], index + 1
            need(last is None or key > last, "bad-delta", "changes that do not ascend")
            last = key
            old = claims.pop(key, {"count": 0, "bytes": 0})
            body = b""
            if op != 0:
                claims[key] = {field: old[field] + reader.difference() for field in ("count", "bytes")}
                need(0 <= claims[key]["count"] < 2**32 and claims[key]["bytes"] >= 0, "bad-delta", "less than nothing")
                body = reader.take(reader.varint())
            changes.append((op, key, body))
        reader.end()
        if signed:
            check_totals(signed, totals_of([{"kind": key[0], **claim} for key, claim in claims.items()]))
        after = dict(before)
        for op, key, data in changes:
            kind, body = key[0], Reader(data, "bad-delta")
            self.met(f"op {op} kind {kind}")
            if op == 0:
                del after[key]
                continue
            after[key] = self.patch(kind, body, before[key]) if op == 2 else self.put(kind, body)
            need(after[key] != {}, "bad-delta", "no resolutions are no part")
            body.end()
            record = {"count": count_of(kind, after[key]), "bytes": len(canonical(kind, after[key]))}
            need(record == claims[key], "bad-count", f"{key}")
        return after, claims

    def put(self, kind, body):
        if kind == PREFIXES:
            return self.entries(body, 32), self.entries(body, 128)
        if kind == NAMES:
            return self.names(self.packed(body))
        if kind == UNMATCHED:
            return self.flag(body)
        raw = self.packed(body).rest()
        if raw[:4] == b"RCQ2":
            self.met("tag RCQ2")
        return from_canonical(kind, raw)

    def flag(self, body):
        value = body.uint(1)
        need(value <= 1, body.code, "a flag that is neither 0 nor 1")
        return value

    def patch(self, kind, body, old):
        if kind == PREFIXES:
            new = tuple(self.patch_column(body, column, bits) for column, bits in zip(old, (32, 128)))
        elif kind == NAMES:
            new = self.patch_names(self.packed(body), old)
        elif kind == POLICY:
            new = self.patch_policy(self.packed(body), old)
        else:
            need(kind == RESOLUTIONS, body.code, "what has no patch")
            new = self.patch_resolutions(self.packed(body), old)
        need(new != old or kind == RESOLUTIONS, "bad-delta", "a patch that changes nothing")
        return new

    def patch_column(self, body, old, bits):
        removed = set(self.removed(body, len(old)))
        new = [prefix for i, prefix in enumerate(old) if i not in removed] + self.entries(body, bits)
        new.sort()
        check_set(new, bits, body.code)
        return new

    def patch_names(self, raw, old):
        resolve = raw.uint(1)
        need(resolve <= 3, raw.code, "who resolves")
        names, exceptions = self.edit_names(raw, old[1]), self.edit_names(raw, old[2])
        raw.end()
        return self.sound(resolve, names, exceptions, raw.code)

    def edit_names(self, raw, old):
        removed = set(self.removed(raw, len(old)))
        names = [name for i, name in enumerate(old) if i not in removed] + self.keys(raw)
        return self.once(sorted(names, key=key_of), raw.code)

    def patch_policy(self, raw, old):
        action, own, egress, ingress, *exceptions = old
        flags = raw.uint(1)
        need(flags <= 3, raw.code, "flags of a policy's patch")
        if flags & 1:
            action, own = raw.uint(1), read_prefix_set(raw)
            need(action <= 23, raw.code, "default action and answers")
        new = action, own, self.splices(raw, egress, "egress"), self.splices(raw, ingress, "ingress")
        if flags & 2:
            self.met("a patch of exceptions")
            changed = [self.splices(raw, exceptions[0], "egress"), self.splices(raw, exceptions[1], "ingress")]
            need(changed != exceptions, raw.code, "a patch of exceptions that changes none")
            exceptions = changed
        new += tuple(exceptions)
        raw.end()
        return new

    def splices(self, raw, old, direction):
        new, at = [], 0
        for i in range(raw.uint(4)):
            keep, drop, rules = raw.varint(), raw.varint(), read_rules(raw, direction)
            need((keep > 0 or i == 0) and (drop > 0 or rules), raw.code, "a splice that does nothing")
            need(at + keep + drop <= len(old), "bad-base", "a splice beyond the rules")
            new += old[at : at + keep] + rules
            at += keep + drop
        return new + old[at:]

    def patch_resolutions(self, raw, old):
        new, last, count = dict(old), "", raw.uint(4)
        need(count > 0, raw.code, "a patch that changes nothing")
        for _ in range(count):
            name = host_name(raw.text8(), raw.code)
            need(last == "" or labels_of(name) > labels_of(last), raw.code, "names that do not ascend")
            last = name
            if self.flag(raw):
                new[name] = read_prefix_set(raw)
            else:
                need(name in old, "bad-base", f"{name} is not resolved")
                del new[name]
        raw.end()
        return new


class RangeDecoder:
    def __init__(self, payload, code_word):
        self.payload, self.at, self.error = payload, 0, code_word
        self.contexts, self.range, self.code = {}, 2**32 - 1, 0
        for _ in range(4):
            self.shift()

    def shift(self):
        need(self.at < len(self.payload) + 3, self.error, "a tree that ends too soon")
        byte = self.payload[self.at] if self.at < len(self.payload) else 0
        self.code, self.at = self.code << 8 | byte, self.at + 1

    def decide(self, context):
        chance, pace = self.contexts.get(context, (32768, 2))
        bound = (self.range >> 16) * chance
        decision = int(self.code >= bound)
        if decision:
            self.code, self.range = self.code - bound, self.range - bound
            chance -= chance // pace
        else:
            self.range = bound
            chance += (65536 - chance) // pace
        self.contexts[context] = chance, min(pace + 1, 64)
        while self.range < 2**24:
            self.range <<= 8
            self.shift()
        return decision

    def end(self):
        need(self.at == len(self.payload) + 3 and self.code < 2**24, self.error, "another end of the tree")


# ── Roots ─────────────────────────────────────────────────────────────────────

ROLES = ("root", "release", "freshness")


def signed_in(body):
    """Signatures by key id, and the bytes that they are over."""
    end = 1 + 72 * body[0]
    need(body[0] <= 32 and len(body) > end, "bad-message", "signatures")
    each = [body[at : at + 72] for at in range(1, end, 72)]
    ids = [one[:8] for one in each]
    need(all(a < b for a, b in zip(ids, ids[1:])), "bad-message", "key ids that do not ascend")
    return {one[:8]: one[8:] for one in each}, body[end:]


def key_id(key):
    return hashlib.sha256(key).digest()[:8]


def is_signed(root, role, signatures, data):
    threshold, keys = root[role]
    return sum(key_id(key) in signatures and verifies(key, data, signatures[key_id(key)]) for key in keys) >= threshold


def root_of(data):
    reader = Reader(data, "bad-root")
    tag = reader.take(4)
    need(tag in (b"RCR1", b"RCR2"), "bad-root", "the tag")
    root = {"hash": hashlib.sha256(data).digest(), "lineage": reader.take(16)}
    for name in ("number", "floor", "ceiling"):
        root[name] = reader.u64()
    root["by"] = reader.u64() if tag == b"RCR2" else None
    need(root["by"] is None or 1 <= root["by"] <= 253402300799, "bad-root", "the date")
    keys = [reader.take(32) for _ in range(reader.uint(1))]
    ascend = lambda values: all(a < b for a, b in zip(values, values[1:]))
    need(len(keys) <= 16 and ascend(keys) and len(set(map(key_id, keys))) == len(keys), "bad-root", "keys")
    used = set()
    for role in ROLES:
        threshold = reader.uint(1)
        at = [reader.uint(1) for _ in range(reader.uint(1))]
        need(ascend(at) and all(index < len(keys) for index in at) and 1 <= threshold <= len(at), "bad-root", role)
        root[role] = threshold, [keys[index] for index in at]
        used |= set(at)
    reader.end()
    need(len(used) == len(keys) and root["number"] >= 1 and root["floor"] <= root["ceiling"], "bad-root", "numbers, or a key without a role")
    return root


def followed(trust, last, body):
    """The root in a ROOT, that comes after `last`, or is the one that the trust line names."""
    signatures, data = signed_in(body)
    root = root_of(data)
    need(root["lineage"] == trust[0], "bad-root", "another lineage")
    need(is_signed(root, "root", signatures, data), "bad-root", "not signed by its own")
    if last is None:
        need(root["hash"] == trust[1], "bad-root", "not the root trusted")
    else:
        need(root["number"] == last["number"] + 1 and root["floor"] >= last["floor"], "bad-root", "it may not follow")
        need(is_signed(last, "root", signatures, data), "bad-root", "not signed by the one before")
    return root


def trust_of(line):
    match = re.fullmatch(r"rulecast2:([0-9a-f]{32}):([0-9a-f]{64})", line.strip())
    need(match, "bad-trust", "no trust line")
    return bytes.fromhex(match[1]), bytes.fromhex(match[2])


# ── Sessions ──────────────────────────────────────────────────────────────────


class Subscriber:
    """Follows a session from the subscriber's side, over all its connections."""

    def __init__(self, session):
        self.lineage, self.trust, self.root = bytes.fromhex(session["lineage"]), trust_of(session["trust"]), None
        self.decoder = Decoder()
        self.manifests, self.active, self.rule_set = {}, None, {}
        self.applied, self.kinds = [], {}

    def connection(self, turns):
        frames = {"publisher": Frames(), "subscriber": Frames()}
        self.offered = self.transfer = self.candidate = self.wanted = None
        self.questions, self.nonces, self.newest = set(), [], None
        for turn in turns:
            for kind, transaction, body in frames[turn["from"]].feed(bytes.fromhex(turn["hex"])):
                name, content = message(kind, body)
                need(transaction == 0 or name in ("QUERY", "ANSWER"), "bad-message", "a transaction")
                self.kinds[name] = self.kinds.get(name, 0) + 1
                handler = getattr(self, f"on_{name.lower()}", None)
                if name in ("QUERY", "ANSWER"):
                    (self.questions.add if name == "QUERY" else self.questions.remove)(transaction)
                elif handler:
                    handler(content)
        for direction in frames.values():
            direction.end()
        need(not self.questions, "unexpected-message", "a question without an answer")

    def on_hello(self, body):
        claimed = body.get("holds", {}).get("hash")
        need(claimed == self.active, "unexpected-message", "HELLO claims another release")
        known = {"hash": self.root["hash"], "number": self.root["number"]} if self.root else {"hash": self.trust[1]}
        need(body.get("root") == known, "unexpected-message", "HELLO believes another root")
        self.on_ping(body)

    def on_ping(self, body):
        if "nonce" in body:
            self.nonces.append(body["nonce"])

    def on_fresh(self, body):
        signatures, data = signed_in(body)
        reader = Reader(data, "bad-signature")
        said = [reader.take(4), reader.take(16), reader.take(16), reader.take(32)]
        need(said[1] in self.nonces, "not-fresh", "an answer to nothing that was asked")
        need(said == [b"RCF1", said[1], self.lineage, self.root["hash"]], "bad-signature", "a statement")
        need(is_signed(self.root, "freshness", signatures, data), "bad-signature", "a statement")
        self.nonces = self.nonces[self.nonces.index(said[1]) + 1 :]
        self.newest = reader.u64(), reader.u64(), reader.take(32)
        reader.end()

    def on_welcome(self, body):
        need(body["lineage"] == self.lineage and body["protocol"] == 2, "wrong-lineage", "WELCOME")

    def on_root(self, body):
        self.root = followed(self.trust, self.root, body)

    def signed(self, body):
        signatures, data = signed_in(body)
        need(self.root and is_signed(self.root, "release", signatures, data), "bad-signature", "a manifest")
        manifest = manifest_of(data)
        need(manifest["lineage"] == self.lineage, "wrong-lineage", "a manifest")
        need(self.root["floor"] <= manifest["epoch"] <= self.root["ceiling"], "epoch-not-granted", "a manifest")
        return hashlib.sha256(data).digest(), manifest

    def on_offer(self, body):
        self.offered, manifest = self.signed(body)
        if self.active:
            held = self.manifests[self.active]
            order = lambda m: (m["epoch"], m["version"])
            need(order(manifest) > order(held), "not-newer", "an offer")
        newest = self.newest
        need(newest or self.active, "not-fresh", "nothing says that it is the newest")
        if newest and newest[2] != self.offered:
            need((manifest["epoch"], manifest["version"]) > newest[:2], "not-fresh", "an offer below what was stated")
        self.manifests[self.offered] = manifest

    def on_proof(self, body):
        need(self.signed(body)[0] == self.active, "unknown-release", "PROOF of another release")

    def on_want(self, body):
        need(body["hash"] == self.offered, "unexpected-message", "WANT of another release")
        need(body.get("base") in (None, self.active), "unexpected-message", "WANT from another release")
        self.wanted = body

    def on_begin(self, body):
        need(self.wanted, "unexpected-message", "BEGIN without WANT")
        need(body.get("snapshot") or "base" in self.wanted, "bad-base", "a chain where a snapshot was wanted")
        need("from" not in body, "bad-transfer", "it goes on, and this is one connection")
        self.transfer = {**body, "stream": b""}

    def on_chunk(self, body):
        need(self.transfer, "unexpected-message", "CHUNK")
        self.transfer["stream"] += body

    def on_abort(self, _):
        self.transfer = None

    def on_end(self, _):
        need(self.transfer, "unexpected-message", "END")
        stream = self.transfer["stream"]
        need(len(stream) == self.transfer["bytes"], "bad-transfer", "another length")
        base = {} if self.transfer.get("snapshot") else self.rule_set
        rule_set = self.decoder.chain(stream, base, self.manifests[self.offered])
        self.verify(self.manifests[self.offered], rule_set)
        self.candidate, self.transfer = rule_set, None

    def verify(self, manifest, rule_set):
        records = records_of(rule_set)
        check_totals(manifest, totals_of(records))
        need(catalogue_digest(records) == manifest["catalogue"], "bad-digest", "the catalogue")

    def on_applied(self, body):
        need(body["hash"] == self.offered and self.candidate is not None, "unexpected-message", "APPLIED")
        manifest = self.manifests[self.offered]
        self.active, self.rule_set, self.candidate = self.offered, self.candidate, None
        parts = [{**part, "digest": part["digest"].hex()} for part in records_of(self.rule_set)]
        identity = {"epoch": manifest["epoch"], "version": manifest["version"], "hash": self.active.hex()}
        self.applied.append({**identity, "parts": parts})

    def on_nack(self, body):
        need(body["hash"] == self.offered, "unexpected-message", "NACK of another release")
        need(body.get("keeps") == self.active, "unexpected-message", "NACK keeps another release")
        self.candidate = None


def result_of(session):
    subscriber = Subscriber(session)
    try:
        for turns in session["connections"]:
            subscriber.connection(turns)
    except Refused as refused:
        return {"error": refused.code, "text": str(refused)}
    return {"applied": subscriber.applied, "kinds": subscriber.kinds, "forms": subscriber.decoder.forms}


if __name__ == "__main__":
    json.dump([result_of(session) for session in json.load(sys.stdin)], sys.stdout)
