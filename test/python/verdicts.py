"""
Verdict vectors by the evaluator of meaning.py.

    verdicts.py check FILE...         compares the verdicts of vectors; writes a line for each that differs, and ends with 1 then
    verdicts.py make SEED COUNT       writes COUNT random cases with their verdicts: protocol/vectors/verdicts-random.json
"""

import json
import random
import sys

import meaning

ABOUT = (
    "Verdicts of random rule sets, written by test/python/verdicts.py, which was written from PROTOCOL.md. The form is that of verdicts.json."
)
PACKETS = 12
HOSTS = ["a.example", "b.example", "c.example"]
ADDRESSES4 = ["0.0.0.0", "10.1.0.0", "10.1.0.1", "10.1.255.255", "10.2.0.0", "127.255.255.255", "128.0.0.0", "192.0.2.0", "192.0.2.1", "192.0.2.127", "192.0.2.128", "192.0.2.255", "192.0.3.0", "255.255.255.255"]
ADDRESSES6 = ["::", "2001:db8::", "2001:db8::1", "2001:db8::ffff", "2001:db8:0:1::", "2001:db9::", "fd00::1", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"]
LENGTHS = {4: [0, 1, 8, 15, 16, 24, 25, 31, 32, 32], 6: [0, 1, 16, 32, 48, 64, 65, 112, 127, 128, 128]}
PORTS = [0, 1, 52, 53, 54, 80, 443, 65534, 65535]
TYPES = [0, 3, 8, 13, 128, 255]
TIMES = [100, 200, 300]


class Maker:
    def __init__(self, seed):
        self.random = random.Random(seed)

    def chance(self, share):
        return self.random.random() < share

    def pick(self, choices):
        return self.random.choice(choices)

    def some(self, most, make):
        return [make() for _ in range(self.random.randrange(most + 1))]

    def prefix(self, family=None):
        family = family or self.pick([4, 4, 6])
        address = meaning.ipaddress.ip_address(self.pick(ADDRESSES4 if family == 4 else ADDRESSES6))
        return str(meaning.ipaddress.ip_network(f"{address}/{self.pick(LENGTHS[family])}", strict=False))

    def line(self, direction, lists, actions):
        side = "dst" if direction == "egress" else "src"
        words = [f"action={self.pick(actions)}"]
        if self.chance(0.15):
            words.append(f"expire={self.pick(TIMES) + self.pick([-1, 0, 1])}")
        kind = self.pick(["", "4", "4", "4", "6", "host", "list"])
        if kind == "list" and lists:
            words.append(f"{side}=@{self.pick(lists)}")
        elif kind == "host":
            words.append(f"{side}host={self.pick(HOSTS + ['never.example'])}")
        elif kind in ("4", "6"):
            words.append(f"{side}{kind}={self.prefix(int(kind))}")
        proto = self.pick(["", "", "tcp", "udp", "icmp"])
        if proto:
            words.append(f"proto={proto}")
        if direction == "egress" and proto != "icmp" and self.chance(0.15):
            words.append("specialtarget=dns")
        elif proto in ("tcp", "udp") and self.chance(0.6):
            first, last = sorted([self.pick(PORTS), self.pick(PORTS)])
            words.append(f"dstports={first}-{last}")
        elif proto == "icmp" and self.chance(0.6):
            words.append(f"icmptype={self.pick(TYPES)}")
        if self.chance(0.05):
            words.append(f"comment={self.pick(['one', 'two: three'])}")
        return " ".join(words)

    def blocks(self, lists, most, directions=("egress", "ingress"), actions=("accept", "drop")):
        made = {direction: self.some(most, lambda: self.line(direction, lists, actions)) for direction in directions}
        # Neighbours that differ in nothing but a prefix are what runs are of.
        for direction, lines in made.items():
            if lines and self.chance(0.5):
                side = "dst4" if direction == "egress" else "src4"
                lines += [f"action=drop {side}={self.prefix(4)}" for _ in range(3)]
        return {direction: lines for direction, lines in made.items() if lines}

    def document(self):
        lists = {"one": {"entries": self.some(5, self.prefix)}, "two": {"entries": self.some(5, self.prefix)}}
        lists["hosts"] = {"names": HOSTS, "resolve": True}
        names = list(lists)
        document, taken = {"lists": lists, "policies": {}}, set()
        if self.chance(0.3):
            document["first"] = self.blocks(names, 2, actions=("drop",))
        if self.chance(0.6):
            document["common"] = self.blocks(names, 2)
        for name in ("work", "home", "all"):
            prefixes = [p for p in apart(self.some(3, self.prefix)) if p not in taken]
            taken.update(prefixes)
            policy = {"prefixes": prefixes, "default": self.pick(["accept", "drop"]), **self.blocks(names, 4)}
            if self.chance(0.4):
                policy["exceptions"] = self.blocks(names, 2)
            document["policies"][name] = policy
        if self.chance(0.4):
            document["policies"]["default"] = {"default": self.pick(["accept", "drop"]), **self.blocks(names, 4, ("egress",))}
        if self.chance(0.5):
            document["unmatched"] = self.pick(["accept", "drop"])
        document["resolutions"] = {name: self.some(3, self.prefix) for name in HOSTS if self.chance(0.8)}
        return pruned(document)

    def packet(self):
        family = self.pick([4, 4, 6])
        address = lambda: self.pick(ADDRESSES4 if family == 4 else ADDRESSES6)
        proto = self.pick([6, 6, 17, 17, 1, 58, 47])
        detail = self.pick(["-"] + (PORTS if proto in (6, 17) else TYPES if proto in (1, 58) else ["-"]))
        direction = self.pick(["egress", "egress", "ingress", "both"])
        src = address() if direction == "both" or self.chance(0.9) else "-"
        return f"{direction} {src} {address()} {proto} {detail}"

    def case(self, number):
        # What is not sound is no release: another is drawn in its place.
        while True:
            document = self.document()
            parts = meaning.parts_of(document)
            if meaning.fault(parts) is None:
                break
        earlier = self.pick(TIMES)
        environment = {"earlier": earlier, "later": earlier + self.pick([0, 0, 100]), "dns": [self.pick(ADDRESSES4), self.pick(ADDRESSES6)]}
        firewall = meaning.Firewall(parts, meaning.environment_of(environment))
        packets = sorted({self.packet() for _ in range(PACKETS)})
        verdicts = {packet: firewall.verdict(meaning.packet_of(packet)).text() for packet in packets}
        return {"title": f"random {number}", "document": document, "environment": environment, "verdicts": verdicts}


def apart(texts):
    """Those that no other holds, which is how a policy has to be written."""
    columns = zip((32, 128), meaning.prefix_set_of(texts))
    return [meaning.prefix_text(prefix, bits) for bits, column in columns for prefix in column]


def pruned(document):
    """Without lists and resolutions that no rule names."""
    text = json.dumps([document.get("first"), document.get("common"), document["policies"]])
    lists = {name: content for name, content in document["lists"].items() if f"=@{name}" in text}
    hosts = "hosts" in lists
    used = {name: said for name, said in document["resolutions"].items() if hosts or f"host={name}" in text}
    return {**document, "lists": lists, "resolutions": used}


def lines_of(document):
    for policy in [document.get("first", {}), document.get("common", {}), *document.get("policies", {}).values()]:
        for block in (policy, policy.get("exceptions", {})):
            for direction in ("egress", "ingress"):
                for line in block.get(direction, []):
                    yield direction, line


def differences(path):
    with open(path, encoding="utf-8") as file:
        cases = json.load(file)["cases"]
    for case in cases:
        parts = meaning.parts_of(case["document"])
        if meaning.fault(parts) is not None:
            yield f"{case['title']}: {meaning.fault(parts)}"
        for direction, line in lines_of(case["document"]):
            if meaning.line_of(meaning.kept_rule(line, direction), direction) != line:
                yield f"{case['title']}: no canonical line: {line}"
        firewall = meaning.Firewall(parts, meaning.environment_of(case.get("environment", {})))
        judge = firewall.flow_verdict if case.get("flow") else firewall.verdict
        for packet, expected in case["verdicts"].items():
            found = judge(meaning.packet_of(packet)).text()
            if found != expected:
                yield f"{case['title']}: {packet}: {found}, not {expected}"


def make(seed, count):
    maker = Maker(seed)
    cases = ",\n".join("  " + json.dumps(maker.case(number)) for number in range(count))
    return f'{{\n "about": {json.dumps(ABOUT)},\n "seed": {seed},\n "cases": [\n{cases}\n ]\n}}\n'


if __name__ == "__main__":
    command, *arguments = sys.argv[1:]
    if command == "make":
        sys.stdout.write(make(int(arguments[0]), int(arguments[1])))
    else:
        found = [line for path in arguments for line in differences(path)]
        sys.stdout.write("".join(f"{line}\n" for line in found))
        sys.exit(bool(found))
