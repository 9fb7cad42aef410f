"""Codes of names, both ways, written from CONTENT.md "Codes of names" as plainly as it goes: the twin of the
codec. As a program it reads cases as JSON, {before, after, resolve} with names as text, and prints what a put
or, with before, a patch of them is, in hexadecimal.
"""

import json
import sys

CHARACTERS = b"\0\3-0123456789_abcdefghijklmnopqrstuvwxyz"
DEPTHS = [3, 4, 6, 7, 7, 7, 8, 8, 8, 9, 9, 8, 9, 9, 4, 6, 6, 5, 4, 6, 6, 5, 4, 7, 7, 6, 5, 4, 4, 6, 6, 5, 4, 5, 6, 6, 5, 6, 7, 7]
PACES = [32768, 21846, 16384, 13108, 10923, 9363, 8192, 7282, 6554, 5958, 5462, 5042, 4682, 4370, 4096, 3856]
SHARES = [52, 86, 110, 128, 143, 154, 163, 171, 178, 183, 188, 192, 196, 200, 203, 205]
SEPARATOR = 3


def paths():
    """The decisions that lead to each character: the next path that is free, from the left."""
    found, path, depth = [], -1, 0
    for deep in DEPTHS:
        path += 1
        path = path << deep - depth if deep > depth else path >> depth - deep
        depth = deep
        found.append(tuple(path >> level & 1 for level in reversed(range(depth))))
    return found


PATHS = paths()
LEAVES = {path: number for number, path in enumerate(PATHS)}
INNER = sorted({path[:level] for path in PATHS for level in range(len(path))}, key=lambda way: (len(way), way))
SLOT_NODE = {way: node if node < 32 else node - 7 for node, way in enumerate(INNER)}


class Coder:
    """Decisions in contexts. With `code` it reads them, without it writes those that it is told."""

    def __init__(self, names, code=None):
        bits = 10
        while bits < 15 and 2 ** (bits + 1) < names:
            bits += 1
        self.slots = 2**bits
        self.contexts = {}
        self.range, self.low, self.shifts = 2**32 - 1, 0, 0
        self.data, self.at = code, 4
        if code is not None:
            self.code = int.from_bytes(code[:4].ljust(4, b"\0"), "big")

    def narrow(self, chance, decision):
        bound = (self.range >> 16) * chance
        if self.data is not None:
            decision = int(self.code >= bound)
        if decision:
            self.low += bound
            self.range -= bound
            if self.data is not None:
                self.code -= bound
        else:
            self.range = bound
        while self.range < 2**24:
            self.range <<= 8
            self.low <<= 8
            self.shifts += 1
            if self.data is not None:
                byte = self.data[self.at] if self.at < len(self.data) else 0
                self.code, self.at = self.code << 8 | byte, self.at + 1
        return decision

    def learn(self, context, chance, seen, decision):
        target = 0 if decision else 65536
        moved = max(64, chance + ((target - chance) * PACES[seen] >> 16))
        self.contexts[context] = moved & 0xFFF0, min(15, seen + 1)

    def decide(self, context, decision=0):
        chance, seen = self.contexts.get(context, (0x8000, 0))
        decision = self.narrow(chance, decision)
        self.learn(context, chance, seen, decision)
        return decision

    def decide_mixed(self, pair, slot, decision=0):
        chance, seen = self.contexts.get(pair, (0x8000, 0))
        chance4, seen4 = self.contexts.get(slot, (chance, 0))
        share = SHARES[seen4]
        decision = self.narrow((chance4 * share + chance * (256 - share)) >> 8, decision)
        self.learn(pair, chance, seen, decision)
        self.learn(slot, chance4, seen4, decision)
        return decision

    def even(self, decision=0):
        return self.narrow(0x8000, decision)

    def finish(self):
        return ((self.low + 2**24 - 1) >> 24).to_bytes(self.shifts + 1, "big")

    def exhausted(self):
        return self.at > len(self.data) + 3

    def complete(self):
        return self.at == len(self.data) + 3 and self.code < 2**24


class Walk:
    """Names one after the other. To read, what is wanted is left out."""

    def __init__(self, coder, wildcards):
        self.coder, self.wildcards = coder, wildcards
        self.last, self.shared, self.stands = b"\0", 0, 0

    def number(self, about, value=0):
        wanted, bits, node = value + 1, (value + 1).bit_length() - 1, 1
        for bit in reversed(range(5)):
            node = node << 1 | self.coder.decide((about, "bits", node), bits >> bit & 1)
        bits, number, head = node & 31, 1, 1
        for bit in reversed(range(bits)):
            if bits - 1 - bit < 3:
                said = self.coder.decide((about, bits, head), wanted >> bit & 1)
                head = head << 1 | said
            else:
                said = self.coder.even(wanted >> bit & 1)
            number = number << 1 | said
        return number - 1

    def end(self, wanted=0):
        before, self.stands = self.stands, self.coder.decide(("end", self.stands, 0), int(wanted > 0))
        if self.stands:
            self.stands += self.coder.decide(("end", before, 1), int(wanted == 2))
        return self.stands

    def how_much_is_shared(self, by, known, wanted):
        node, want = 1, min(wanted - known, 63)
        for bit in reversed(range(6)):
            node = node << 1 | self.coder.decide((by, node), want >> bit & 1)
        shared = node & 63
        if shared == 63:
            for bit in reversed(range(8)):
                node = node << 1 | self.coder.even(wanted - known - 63 >> bit & 1)
            shared += node & 255
        return known + shared

    def name(self, following=None, wanted=None):
        """The key of the next name, above the last one and below the following one, if there is one."""
        last = self.last
        known = 0 if following is None else common(last, following)
        by = ("after", min(self.shared, 63)) if following is None else ("between", min(known, 63))
        shared = self.how_much_is_shared(by, known, common(last, wanted) if wanted else known)
        need(shared < len(last), "shares more than there is")
        self.shared = shared
        key = bytearray(last[:shared])
        numbers = [0, 0, 0, 0] + [CHARACTERS.index(byte) for byte in key]
        below = following if shared == known else None
        while True:
            here = len(key)
            lower = number_of(last[here]) if here == shared else None
            upper = None if below is None else number_of(below[here])
            want = PATHS[number_of(wanted[here])] if wanted else ()
            label = bytes(key).rpartition(b"\3")[2]
            if here == shared:
                first = "first", min(2, bytes(key).count(3)), label == b"", lower
                contexts = lambda way: (first + (way,),)
            else:
                c4, c3, c2, c1 = numbers[-4:]
                product = (((c4 * 40 + c3) * 40 + c2) * 40 + c1) * 0x9E3779B1 % 2**32
                slot = (product ^ product >> 15) % self.coder.slots
                contexts = lambda way: (("pair", c2, c1, way), ("slot", slot, SLOT_NODE[way]))
            number = self.character(contexts, lower, upper, want)
            need(lower is None or number > lower, "is not above the one before")
            if number < 2:
                need(is_label(label, len(label) == here), "is no host name")
            else:
                need(len(label) < 63 and (label or number != 2), "is no host name")
            need(here < 253 or number == 0, "is too long")
            if upper != number:
                below = None
            if number == 0:
                need(below is None, "is there already")
                self.last = bytes(key) + bytes([self.end(wanted[-1] if wanted else 0) if self.wildcards else 0])
                return self.last
            key.append(CHARACTERS[number])
            numbers.append(number)

    def character(self, contexts, lower, upper, want):
        """Decisions that follow from what the character is above and at most are not said."""
        way, above, below = (), lower is None, upper is None
        while way not in LEAVES:
            level = len(way)
            if not above and level < len(PATHS[lower]) and PATHS[lower][level] == 1:
                decision = 1
            elif not below and PATHS[upper][level] == 0:
                decision = 0
            else:
                told = want[level] if level < len(want) else 0
                found = contexts(way)
                decision = self.coder.decide(*found, told) if len(found) == 1 else self.coder.decide_mixed(*found, told)
                above, below = above or decision == 1, below or decision == 0
            way += (decision,)
        return LEAVES[way]


class Refused(Exception):
    pass


def need(holds, reason):
    if not holds:
        raise Refused(reason)


def common(a, b):
    count = 0
    while a[count] == b[count] and a[count] >= SEPARATOR:
        count += 1
    return count


def number_of(byte):
    return 0 if byte < SEPARATOR else CHARACTERS.index(byte)


def is_label(label, is_last):
    if not label or label.endswith(b"-"):
        return False
    digits = label[2:] if label.startswith(b"0x") else label
    allowed = b"0123456789abcdef" if label.startswith(b"0x") else b"0123456789"
    return not is_last or any(byte not in allowed for byte in digits)


def key_of(text):
    end = 1 if text.startswith("*.") else 2 if text.startswith(".") else 0
    labels = text.lstrip("*").lstrip(".").split(".")
    return "\3".join(reversed(labels)).encode() + bytes([end])


def text_of(key):
    labels = key[:-1].decode().split("\3")
    return ("", "*.", ".")[key[-1]] + ".".join(reversed(labels))


def leb128(value):
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes(out) + bytes([value])


# Keys here are bytes with the end last; `column` is a list of them in order.


def flags_of(resolve, wildcards):
    return {False: 0, True: 1, "firewall": 4, "firewall-private": 8}[resolve] | wildcards << 1


def write_column(resolve, column):
    wildcards = any(key[-1] for key in column)
    walk = Walk(Coder(len(column)), wildcards)
    for key in column:
        walk.name(wanted=key)
    return bytes([flags_of(resolve, wildcards)]) + leb128(len(column)) + walk.coder.finish()


def read_column(flags, count, code):
    walk = Walk(Coder(count, code), flags & 2)
    column = []
    for _ in range(count):
        column.append(walk.name())
        need(not walk.coder.exhausted(), "ends too soon")
    need(walk.coder.complete(), "other bytes than its own")
    need(bool(flags & 2) == any(key[-1] for key in column), "no wildcard where one is announced")
    return column


def write_edit(resolve, before, after):
    old = {key[:-1]: key[-1] for key in before}
    new = {key[:-1]: key[-1] for key in after}
    removed = [i for i, key in enumerate(before) if key[:-1] not in new]
    changed = [(i, new[key[:-1]]) for i, key in enumerate(before) if new.get(key[:-1], key[-1]) != key[-1]]
    added = [key for key in after if key[:-1] not in old]
    wildcards = any(key[-1] for key in added)
    walk = Walk(Coder(len(added)), wildcards)
    at, start = 0, 0
    for i in removed:
        if i + 1 in removed:
            continue
        start = next(first for first in range(i + 1) if all(other in removed for other in range(first, i + 1)))
        walk.number("kept", start - at)
        walk.number("removed", i - start)
        at = i + 1
    at = 0
    for i, end in changed:
        walk.number("unchanged", i - at)
        walk.end(end)
        at = i + 1
    at = 0
    for i, key in enumerate(added):
        ordinal = sum(other[:-1] < key[:-1] for other in before)
        walk.number("passed", ordinal - at)
        if ordinal > at or i == 0:
            walk.last = before[ordinal - 1] if ordinal > 0 else b"\0"
        walk.name(before[ordinal] if ordinal < len(before) else None, key)
        at = ordinal
    counts = b"".join(map(leb128, (len(removed), len(changed), len(added))))
    return bytes([flags_of(resolve, wildcards)]) + counts + walk.coder.finish()


def read_edit(flags, counts, code, before, beyond):
    """`beyond` raises what is to be raised where the edit does not fit the names before."""
    removed_count, changed_count, added_count = counts
    walk = Walk(Coder(added_count, code), flags & 2)
    ends, at, got = {}, 0, 0
    while got < removed_count:
        kept, length = walk.number("kept"), walk.number("removed") + 1
        need(not walk.coder.exhausted(), "ends too soon")
        got += length
        need(got <= removed_count and (kept > 0 or at == 0), "removed names of another number")
        beyond(at + kept + length <= len(before))
        ends.update((i, None) for i in range(at + kept, at + kept + length))
        at += kept + length
    at = 0
    for _ in range(changed_count):
        at += walk.number("unchanged")
        end = walk.end()
        need(not walk.coder.exhausted(), "ends too soon")
        beyond(at < len(before) and at not in ends and before[at][-1] != end)
        ends[at], at = end, at + 1
    added, at = [], 0
    for i in range(added_count):
        passed = walk.number("passed")
        need(not walk.coder.exhausted(), "ends too soon")
        at += passed
        beyond(at <= len(before))
        if passed > 0 or i == 0:
            walk.last = before[at - 1] if at > 0 else b"\0"
        added.append(walk.name(before[at] if at < len(before) else None))
        need(not walk.coder.exhausted(), "ends too soon")
    need(walk.coder.complete(), "other bytes than its own")
    need(bool(flags & 2) == any(key[-1] for key in added), "no wildcard where one is announced")
    kept = [key if i not in ends else key[:-1] + bytes([ends[i]]) for i, key in enumerate(before) if ends.get(i, 0) is not None]
    return sorted(kept + added)


def main():
    out = []
    for case in json.load(sys.stdin):
        after = sorted(map(key_of, case["after"]))
        if case.get("before") is None:
            out.append(write_column(case["resolve"], after).hex())
        else:
            out.append(write_edit(case["resolve"], sorted(map(key_of, case["before"])), after).hex())
    json.dump(out, sys.stdout)


if __name__ == "__main__":
    main()
