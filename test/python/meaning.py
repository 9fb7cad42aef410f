"""
What a rule set means, a second time: MEANING.md "Meaning", written from the document and sharing nothing with the implementation.

A rule set is what decode_session.py decodes: a dict of parts by (kind, name). Rules are unpacked here, one by one; nothing is fast.
"""

import ipaddress
import re
import struct
from dataclasses import dataclass
from typing import Optional

from decoder import HOST_NAME, NAMES, PART_NAME, POLICY, PREFIXES, RESOLUTIONS, UNMATCHED, labels_of

DROP, ACCEPT = 0, 1
ICMP, TCP, UDP, ICMP6 = 1, 6, 17, 58
BLOCKS = ("exceptions", "common", "own")
RESOLVED_NAMES_MAX = 4096


@dataclass(frozen=True)
class Packet:
    direction: str  # egress, ingress, both
    src: Optional[ipaddress._BaseAddress]
    dst: ipaddress._BaseAddress
    proto: int
    port: Optional[int] = None
    icmp_type: Optional[int] = None


@dataclass(frozen=True)
class Environment:
    earlier: int = 0
    later: int = 0
    dns: tuple = ()


@dataclass(frozen=True)
class Rule:
    action: int
    protocol: int
    dns: bool
    ports: Optional[tuple]
    icmp_type: Optional[int]
    expiry: Optional[int]
    comment: Optional[str]
    remote_kind: int  # 0 any, 1 IPv4 prefix, 2 IPv6 prefix, 3 host name, 4 list
    remote: object  # (address, length), or the name


@dataclass(frozen=True)
class Verdict:
    action: str  # accept, drop, none
    direction: Optional[str] = None
    policy: Optional[str] = None
    block: Optional[str] = None
    rule: Optional[int] = None
    run: Optional[int] = None
    list: Optional[str] = None
    prefix: Optional[str] = None

    def text(self):
        """As the vectors have it."""
        if self.direction is None:
            return self.action
        text = f"{self.action} {self.direction} {self.policy or '-'}"
        if self.block is None:
            return text
        text += f" {self.block} {self.rule} run {self.run}"
        return text + (f" list {self.list}" if self.list else "") + (f" in {self.prefix}" if self.prefix else "")


NONE = Verdict("none")


# ── Rules out of parts ────────────────────────────────────────────────────────


def rule_of(kept):
    """A rule as decode_session.py keeps it: (head bytes, remote kind, remote)."""
    head, kind, remote = kept
    action, protocol, flags = head[:3]
    at = 3
    ports = icmp_type = expiry = comment = None
    if flags & 2:
        ports, at = struct.unpack_from("<HH", head, at), at + 4
    if flags & 4:
        icmp_type, at = head[at], at + 1
    if flags & 8:
        (expiry,), at = struct.unpack_from("<Q", head, at), at + 8
    if flags & 16:
        comment = head[at + 2 :].decode("ascii")
    remote = remote if kind in (1, 2) else remote[1:].decode("ascii")
    return Rule(action, protocol, bool(flags & 1), ports, icmp_type, expiry, comment, kind, remote)


def rules_of(policy, direction, block):
    """The rules of a policy's own block, or of its exceptions."""
    own_egress, own_ingress, egress_exceptions, ingress_exceptions = policy[2:]
    if block == "exceptions":
        return egress_exceptions if direction == "egress" else ingress_exceptions
    return own_egress if direction == "egress" else own_ingress


def runs_of(rules):
    """The index of each rule's run."""
    indices, before, run = [], None, -1
    for head, kind, _ in rules:
        if kind not in (1, 2) or before != (head, kind):
            run += 1
        before = head, kind
        indices.append(run)
    return indices


# ── Addresses ─────────────────────────────────────────────────────────────────


def holds(prefix, address, bits):
    return int(address) >> (bits - prefix[1]) == prefix[0] >> (bits - prefix[1])


def member(prefix_set, address):
    """The member of a set that holds an address; no member lies within another."""
    if address is None:
        return None
    bits = address.max_prefixlen
    for prefix in prefix_set[0 if bits == 32 else 1]:
        if holds(prefix, address, bits):
            return prefix
    return None


def prefix_text(prefix, bits):
    address = (ipaddress.IPv4Address if bits == 32 else ipaddress.IPv6Address)(prefix[0])
    return f"{address}/{prefix[1]}"


# ── Verdicts ──────────────────────────────────────────────────────────────────


class Firewall:
    def __init__(self, parts, environment=Environment()):
        self.environment = environment
        self.policies = {name: part for (kind, name), part in parts.items() if kind == POLICY}
        self.lists = {name: (kind, part) for (kind, name), part in parts.items() if kind in (PREFIXES, NAMES)}
        self.resolutions = parts.get((RESOLUTIONS, ""), {})
        self.unmatched = parts.get((UNMATCHED, ""))

    def verdict(self, packet):
        if packet.direction != "both":
            return self.judged(packet, packet.direction)
        both = [self.judged(packet, direction) for direction in ("egress", "ingress")]
        for action in ("drop", "accept"):
            for verdict in both:
                if verdict.action == action:
                    return verdict
        return NONE

    def flow_verdict(self, packet):
        """Of a firewall that follows flows, for a packet that belongs to none."""
        return self.verdict(packet) if begins_flow(packet) else Verdict("drop")

    def judged(self, packet, direction):
        dropped = "first" in self.policies and self.first_match(packet, direction, "first", "own", "first")
        if dropped:
            return dropped
        name = self.judging(packet, direction)
        if name is None and (direction == "ingress" or self.unmatched is None):
            return NONE
        for block in BLOCKS:
            home = "common" if block == "common" else name
            if home is None or home not in self.policies:
                continue
            verdict = self.first_match(packet, direction, home, block, name)
            if verdict is not None:
                return verdict
        if name is None:
            return NONE if self.unmatched == ACCEPT else Verdict("drop", direction)
        return Verdict("accept" if self.policies[name][0] & 1 == ACCEPT else "drop", direction, name)

    def judging(self, packet, direction):
        qube = packet.src if direction == "egress" else packet.dst
        best, best_length = None, -1
        for name, policy in self.policies.items():
            if name in ("default", "common", "first"):
                continue
            if direction == "ingress" and not (rules_of(policy, "ingress", "own") or rules_of(policy, "ingress", "exceptions")):
                continue
            found = member(policy[1], qube)
            if found is not None and found[1] > best_length:
                best, best_length = name, found[1]
        if best is None and direction == "egress" and "default" in self.policies:
            return "default"
        return best

    def first_match(self, packet, direction, home, block, judging):
        remote = packet.dst if direction == "egress" else packet.src
        rules = rules_of(self.policies[home], direction, block)
        for index, (kept, run) in enumerate(zip(rules, runs_of(rules))):
            rule = rule_of(kept)
            asked = self.asked(rule, packet, remote)
            if asked == "no":
                continue
            held, listed, prefix = self.remote(rule, remote)
            if not held:
                continue
            action = "accept" if rule.action == ACCEPT and asked == "yes" else "drop"
            text = None if prefix is None else prefix_text(prefix, remote.max_prefixlen)
            return Verdict(action, direction, judging, block, index, run, listed, text)
        return None

    def asked(self, rule, packet, remote):
        """Whether all holds that a rule says beside its remote: yes, no, or unreadable."""
        time = self.environment.later if rule.action == ACCEPT else self.environment.earlier
        if rule.expiry is not None and time >= rule.expiry:
            return "no"
        icmp = ICMP if packet.dst.version == 4 else ICMP6
        transport = packet.proto in (TCP, UDP)
        if rule.protocol != 0 and packet.proto != (icmp if rule.protocol == ICMP else rule.protocol):
            return "no"
        if rule.dns and not (transport and remote in self.environment.dns):
            return "no"
        ranges = ([(53, 53)] if rule.dns else []) + ([rule.ports] if rule.ports else [])
        if ranges:
            if not transport:
                return "no"
            if packet.port is None:
                return "unreadable"
            if not all(first <= packet.port <= last for first, last in ranges):
                return "no"
        if rule.icmp_type is not None:
            if packet.proto != icmp:
                return "no"
            if packet.icmp_type is None:
                return "unreadable"
            if packet.icmp_type != rule.icmp_type:
                return "no"
        return "yes"

    def remote(self, rule, remote):
        """Whether a rule's remote holds an address; the list it names, and the prefix that holds it."""
        if rule.remote_kind == 0:
            return True, None, None
        if remote is None:
            return False, None, None
        if rule.remote_kind in (1, 2):
            bits = 32 if rule.remote_kind == 1 else 128
            held = remote.max_prefixlen == bits and holds(rule.remote, remote, bits)
            return held, None, rule.remote if held else None
        if rule.remote_kind == 3:
            prefix = self.resolved(rule.remote, remote)
            return prefix is not None, None, prefix
        kind, part = self.lists.get(rule.remote, (PREFIXES, ([], [])))
        if kind == PREFIXES:
            prefix = member(part, remote)
        else:
            resolve, names, _ = part
            found = [self.resolved(name, remote) for name in names] if resolve == 1 else []
            prefix = min((prefix for prefix in found if prefix is not None), key=lambda p: p[1], default=None)
        return prefix is not None, rule.remote, prefix

    def resolved(self, name, address):
        return member(self.resolutions.get(name, ([], [])), address)


def begins_flow(packet):
    if packet.proto in (TCP, UDP):
        return packet.port is not None
    if packet.proto not in (ICMP, ICMP6):
        return True
    own, asking = (ICMP, (8, 13, 15, 17)) if packet.dst.version == 4 else (ICMP6, (128, 139))
    return packet.proto == own and packet.icmp_type in asking


def fault(parts):
    """Why a rule set is not sound; None: it is."""
    policies = {name: part for (kind, name), part in parts.items() if kind == POLICY}
    owners = {}
    if (PREFIXES, "resolved") in parts or (NAMES, "resolved") in parts:
        return "a list is called resolved"
    if any(name[0] in "*." for (kind, _), part in parts.items() if kind == NAMES and part[0] < 2 for name in part[1]):
        return "a list has a wildcard that the firewall does not resolve"
    for name, policy in policies.items():
        prefixes = [(bits, prefix) for bits, column in zip((32, 128), policy[1]) for prefix in column]
        if name in ("default", "common", "first") and prefixes:
            return f"{name} has prefixes"
        if name == "default" and (policy[3] or policy[5]):
            return "default has ingress"
        if name == "common" and (policy[4] or policy[5]):
            return "common has exceptions"
        if name == "first" and (policy[0] or policy[4] or policy[5]):
            return "first has a base or exceptions"
        if name == "first" and any(rule_of(kept).action == ACCEPT for kept in policy[2] + policy[3]):
            return "first accepts"
        for prefix in prefixes:
            if prefix in owners:
                return f"{name} and {owners[prefix]} have one prefix"
            owners[prefix] = name
        for kept in (kept for rules in policy[2:] for kept in rules):
            rule = rule_of(kept)
            if rule.remote_kind != 4:
                continue
            if rule.remote == "resolved":
                if not rule.action or kept not in policy[2] + policy[4] or rule.dns:
                    return "resolved does not open here"
                continue
            if (PREFIXES, rule.remote) in parts:
                continue
            if (NAMES, rule.remote) not in parts:
                return f"no list {rule.remote}"
            resolve, names, _ = parts[NAMES, rule.remote]
            if resolve in (2, 3):
                is_of_dns = not rule.action and kept in policy[2] + policy[4] and not rule.protocol and not rule.dns
                if not is_of_dns:
                    return f"{rule.remote} is not for DNS here"
                continue
            if resolve != 1 or len(names) > RESOLVED_NAMES_MAX:
                return f"{rule.remote} is not resolved"
    return None


# ── Text ──────────────────────────────────────────────────────────────────────

REMOTES = {"4": 1, "6": 2, "host": 3, "": 4}
PROTOCOLS = {"icmp": ICMP, "tcp": TCP, "udp": UDP}
LINE = re.compile(
    r"action=(?P<action>accept|drop)(?: expire=(?P<expire>\d+))?"
    r"(?: (?P<side>src|dst)(?P<kind>4|6|host|)=(?P<remote>\S+))?"
    r"(?: proto=(?P<proto>tcp|udp|icmp))?(?P<dns> specialtarget=dns)?"
    r"(?: dstports=(?P<first>\d+)-(?P<last>\d+))?(?: icmptype=(?P<type>\d+))?(?: comment=(?P<comment>.+))?"
)


def kept_rule(line, direction):
    """A canonical line as decode_session.py keeps it."""
    match = LINE.fullmatch(line)
    if match is None or match["side"] not in (None, "dst" if direction == "egress" else "src"):
        raise ValueError(f"no canonical line of {direction}: {line}")
    flags, fields = (1 if match["dns"] else 0), b""
    if match["first"] is not None:
        flags, fields = flags | 2, fields + struct.pack("<HH", int(match["first"]), int(match["last"]))
    if match["type"] is not None:
        flags, fields = flags | 4, fields + bytes([int(match["type"])])
    if match["expire"] is not None:
        flags, fields = flags | 8, fields + struct.pack("<Q", int(match["expire"]))
    if match["comment"] is not None:
        comment = match["comment"].encode("ascii")
        flags, fields = flags | 16, fields + struct.pack("<H", len(comment)) + comment
    head = bytes([int(match["action"] == "accept"), PROTOCOLS.get(match["proto"], 0), flags]) + fields
    if match["side"] is None:
        return head, 0, b""
    kind, text = REMOTES[match["kind"]], match["remote"]
    if kind in (1, 2):
        return head, kind, prefix_of(text)[1]
    name = text if kind == 3 else text[1:]
    if kind == 4 and not (text[:1] == "@" and PART_NAME.fullmatch(name)) or kind == 3 and not HOST_NAME.fullmatch(name):
        raise ValueError(f"no remote: {text}")
    return head, kind, bytes([len(name)]) + name.encode("ascii")


def line_of(kept, direction):
    """The canonical line of a rule."""
    rule = rule_of(kept)
    words = [f"action={'accept' if rule.action else 'drop'}"]
    side = "dst" if direction == "egress" else "src"
    if rule.expiry is not None:
        words.append(f"expire={rule.expiry}")
    if rule.remote_kind in (1, 2):
        bits = 32 if rule.remote_kind == 1 else 128
        words.append(f"{side}{4 if bits == 32 else 6}={prefix_text(rule.remote, bits)}")
    elif rule.remote_kind:
        words.append(f"{side}host={rule.remote}" if rule.remote_kind == 3 else f"{side}=@{rule.remote}")
    if rule.protocol:
        words.append("proto=" + {ICMP: "icmp", TCP: "tcp", UDP: "udp"}[rule.protocol])
    if rule.dns:
        words.append("specialtarget=dns")
    if rule.ports:
        words.append(f"dstports={rule.ports[0]}-{rule.ports[1]}")
    if rule.icmp_type is not None:
        words.append(f"icmptype={rule.icmp_type}")
    if rule.comment is not None:
        words.append(f"comment={rule.comment}")
    return " ".join(words)


def prefix_of(text):
    network = ipaddress.ip_network(text)
    return network.max_prefixlen, (int(network.network_address), network.prefixlen)


def prefix_set_of(texts):
    """A set in canonical form: sorted, and no member within another."""
    columns = {32: [], 128: []}
    for bits, prefix in sorted(map(prefix_of, texts)):
        column = columns[bits]
        if not column or not (column[-1][1] <= prefix[1] and holds(column[-1], prefix[0], bits)):
            column.append(prefix)
    return columns[32], columns[128]


def parts_of(document):
    """The parts of a rule set in JSON, as the vectors have it."""
    parts = {}
    for name, content in document.get("lists", {}).items():
        if "entries" in content:
            parts[PREFIXES, name] = prefix_set_of(content["entries"])
        else:
            names = sorted(set(content["names"]), key=labels_of)
            parts[NAMES, name] = int(content.get("resolve") is True), names, []
    policies = dict(document.get("policies", {}))
    for name in ("first", "common"):
        if name in document:
            policies[name] = document[name]
    for name, policy in policies.items():
        blocks = policy, policy.get("exceptions", {})
        rules = [[kept_rule(line, d) for line in block.get(d, [])] for block in blocks for d in ("egress", "ingress")]
        action = ACCEPT if policy.get("default") == "accept" else DROP
        parts[POLICY, name] = (action, prefix_set_of(policy.get("prefixes", [])), *rules)
    resolutions = {name: prefix_set_of(texts) for name, texts in document.get("resolutions", {}).items()}
    if resolutions:
        parts[RESOLUTIONS, ""] = resolutions
    if "unmatched" in document:
        parts[UNMATCHED, ""] = ACCEPT if document["unmatched"] == "accept" else DROP
    return parts


def environment_of(said):
    earlier, later = said.get("earlier", 0), said.get("later", said.get("earlier", 0))
    return Environment(earlier, later, tuple(map(ipaddress.ip_address, said.get("dns", []))))


def packet_of(text):
    """`DIRECTION SRC DST PROTO DETAIL`: `-` is an unknown source, and a port or type that cannot be read or is not there."""
    direction, src, dst, proto, detail = text.split(" ")
    number = None if detail == "-" else int(detail)
    port = number if int(proto) in (TCP, UDP) else None
    icmp_type = number if int(proto) in (ICMP, ICMP6) else None
    return Packet(direction, None if src == "-" else ipaddress.ip_address(src), ipaddress.ip_address(dst), int(proto), port, icmp_type)
