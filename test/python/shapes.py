"""Reads each sample of test/fixtures/shapes in the plainest way, and prints what it holds, as JSON:
{"shape": ["192.0.2.0/26", …]}, addresses collapsed and names sorted. Shapes that hold no list are not among
them. It knows nothing of the importers that it is compared with.
"""

import csv
import ipaddress
import json
import pathlib
import re
import sys
from urllib.parse import urlsplit

FOLDER = pathlib.Path(sys.argv[1])


def text(shape):
    return (FOLDER / shape).read_text()


def lines(shape):
    return [line.strip() for line in text(shape).splitlines() if line.strip()]


def behind(shape, word, end=None):
    """What stands behind a word, up to a blank or to `end`, in the lines that start with it."""
    found = [line[len(word) :] for line in lines(shape) if line.startswith(word)]
    return [rest.split(end)[0].strip() for rest in found]


def values(node, key):
    """The strings under a key, at any depth, in arrays too."""
    if isinstance(node, list):
        return [value for child in node for value in values(child, key)]
    if not isinstance(node, dict):
        return []
    found = []
    for name, child in node.items():
        if name == key:
            found += child if isinstance(child, list) else [child]
        found += values(child, key)
    return found


def between(first, last):
    return [str(net) for net in ipaddress.summarize_address_range(*map(ipaddress.ip_address, (first, last)))]


def tuples(shape, opening, closing):
    for part in text(shape).split(opening)[1:]:
        yield [word.strip() for word in part.split(closing)[0].split(",")]


def nft():
    for group in tuples("nft-add", "bad { ", " }"):
        for element in group:
            if "-" in element:
                yield from between(*element.split("-"))
            elif element[0].isdigit():
                yield element


def ranges(shape):
    for line in lines(shape):
        if not line.startswith("#"):
            yield from between(*[end.strip() for end in line.split(",")[0].split(" - ")])


ADDRESSES = {
    "tor-exit-addresses": lambda: behind("tor-exit-addresses", "ExitAddress "),
    "ip-port": lambda: [
        line.rpartition(":")[0].strip("[]") for line in lines("ip-port") if not line.startswith("#")
    ],
    "urls": lambda: [
        host for host in (urlsplit(line).hostname for line in lines("urls")[1:]) if not host[-1].isalpha()
    ],
    "bogus-nxdomain": lambda: behind("bogus-nxdomain", "bogus-nxdomain="),
    "dat": lambda: ranges("dat"),
    "rsc": lambda: [
        word[8:] for line in lines("rsc") for word in line.split() if word.startswith("address=")
    ],
    "bird": lambda: behind("bird", "route "),
    "bgpq4-cisco": lambda: behind("bgpq4-cisco", "ip prefix-list NN permit "),
    "bgpq4-juniper": lambda: [line[:-1] for line in lines("bgpq4-juniper") if line.endswith(";")],
    "bgpq4-json": lambda: values(json.loads(text("bgpq4-json")), "prefix"),
    "iptables-save": lambda: behind("iptables-save", "-A INPUT -s "),
    "ufw": lambda: behind("ufw", "-A ufw-user-input -s "),
    "nft-add": lambda: nft(),
    "suricata": lambda: [
        address
        for line in lines("suricata")
        if line.startswith("alert")
        for address in line.split(" ")[2].strip("[]").split(",")
    ],
    "reputation": lambda: [line.split("#")[0] for line in lines("reputation")],
    "iprep": lambda: [row[0] for row in csv.reader(lines("iprep"))],
    "crowdsec-csv": lambda: [row["ip"].split(":")[1] for row in csv.DictReader(lines("crowdsec-csv"))],
    "crowdsec-lapi": lambda: [decision["value"] for decision in json.loads(text("crowdsec-lapi"))],
    "stix2": lambda: [
        pattern.split("'")[1] for pattern in values(json.loads(text("stix2")), "pattern")
    ],
    "vrp-json": lambda: [roa["prefix"] for roa in json.loads(text("vrp-json"))["roas"]],
    "o365": lambda: [ip for record in json.loads(text("o365")) for ip in record.get("ips", [])],
    "datadog": lambda: values(json.loads(text("datadog")), "prefixes_ipv4")
    + values(json.loads(text("datadog")), "prefixes_ipv6"),
    "imperva": lambda: json.loads(text("imperva"))["ipRanges"] + json.loads(text("imperva"))["ipv6Ranges"],
    "jsonl-asn": lambda: [json.loads(line)["CIDR"] for line in lines("jsonl-asn")],
    "pfx2as": lambda: ["/".join(line.split("\t")[:2]) for line in lines("pfx2as")],
    "irr": lambda: behind("irr", "route:") + behind("irr", "route6:"),
    "pipe": lambda: [line.split("|")[2].strip() for line in lines("pipe")[1:]],
}

# A name that starts with a dot stands for all below it as well.
NAMES = {
    "wildcard": lambda: [line[1:] for line in lines("wildcard") if line.startswith("*")],
    "dot-names": lambda: lines("dot-names"),
    "unbound": lambda: ["." + line.split('"')[1] for line in lines("unbound") if "local-zone" in line],
    "bind-zone": lambda: [line.split('"')[1] for line in lines("bind-zone") if line.startswith("zone")],
    "clash-yaml": lambda: [
        ("." if "SUFFIX" in line or "+" in line else "") + re.split("[,+]\\.?", line.strip("'"))[-1]
        for line in lines("clash-yaml")[1:]
    ],
    "mixed": lambda: [line for line in lines("mixed") if line[-1].isalpha() and not line.startswith("#")],
    "lsrules": lambda: json.loads(text("lsrules"))["denied-remote-domains"],
    "abp-suffix": lambda: [
        "." + line[2:-1]
        for line in lines("abp-suffix")
        if line.startswith("||") and line.endswith("^")
    ],
    "hosts-short": lambda: behind("hosts-short", "0 "),
}


def collapsed(texts):
    nets = [ipaddress.ip_network(one) for one in texts]
    families = [[net for net in nets if net.version == version] for version in (4, 6)]
    return [str(net) for family in families for net in ipaddress.collapse_addresses(family)]


read = {shape: collapsed(list(of())) for shape, of in ADDRESSES.items()}
read.update({shape: sorted(set(of())) for shape, of in NAMES.items()})
json.dump(read, sys.stdout)
