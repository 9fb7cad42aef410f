"""
A second subscriber, written from PROTOCOL.md: whole sessions with a publisher over a Unix socket, its states by the very table of the
document. It enforces nothing; it verifies releases and answers questions with the evaluator of meaning.py.

    subscriber.py TRUST-LINE SOCKET NAME [CAPABILITY...]

Commands come line by line on standard input: `leave` ends the connection, `join` makes another, `forget` drops what is held but not the
floor. What happens is told on standard output, a JSON object a line. It ends with its standard input.
"""

import hashlib
import json
import os
import selectors
import socket
import struct
import sys
import time
from pathlib import Path

import meaning
from decoder import (
    MESSAGES, Decoder, Frames, Refused, catalogue_digest, check_totals, followed, is_signed, manifest_of, message, need,
    records_of, signed_in, totals_of, trust_of,
)  # fmt: skip
from wire import Writer

DOCUMENT = Path(__file__).resolve().parents[2] / "protocol" / "WIRE.md"
CAPABILITIES = ("names", "exceptions", "unmatched")
SKIPPABLE_FROM = 128
LIMITS = {"entries": 2**24, "bytes": 2**28, "parts": 65536}
STATES = ("greeting", "idle", "wanting", "receiving", "draining", "applying", "closed")
PAUSES_MS = (0, 1000, 4000, 16000, 60000)
QUERIES_PER_SECOND = 20


def rows_of(text, head):
    """The cells of the table below a head, row by row."""
    rows = text.split(head, 1)[1].split("\n\n", 1)[0].splitlines()[1:]
    return [[cell.strip() for cell in row.strip("|").split("|")] for row in rows]


def table_of(document):
    """The subscriber's table in WIRE.md: (state, event) to (next state, action)."""
    section = document.split("\n### Subscriber\n", 1)[1].split("\n### ", 1)[0]
    rows = rows_of(section, "| event | " + " | ".join(STATES[:-1]) + " |\n")
    for events, cell in rows_of(document, "| event | cell |\n"):
        rows += [[event] + [cell] * (len(STATES) - 1) for event in events.split(", ")]
    table = {}
    for event, *cells in rows:
        for state, cell in zip(STATES, cells + ["·"]):
            following, _, action = cell.partition(": ")
            if cell == "·":
                table[state, event] = state, None
            elif cell == "—":
                table[state, event] = "closed", "bye unexpected-message"
            elif cell == "never":
                table[state, event] = None
            else:
                table[state, event] = following, action or None
    return table


def tell(**fields):
    print(json.dumps({k: v.hex() if isinstance(v, bytes) else v for k, v in fields.items()}), flush=True)


class Held:
    """What outlives connections: the release in force, the floor, what was refused for good, and patience with streams."""

    def __init__(self, trust):
        self.trust, self.lineage = trust, trust[0]
        self.root = None  # the newest it believes
        self.active = None  # {hash, manifest, signed, parts}
        self.floor = None  # {hash, manifest, signed}; of this lineage, for one process trusts one
        self.refused = {}  # hash to NACK
        self.faults, self.patient_until, self.failed_chain = 0, 0.0, None
        self.generation = 0
        self.cut = None  # {hash, stream, bytes, received}: a snapshot that a connection did not bring to its end

    def standing_floor(self):
        """The floor, unless who released it may not any more."""
        floor = self.floor
        return floor if floor and is_signed(self.root, "release", *signed_in(floor["signed"])) else None


class Session:
    def __init__(self, held, name, path, table, capabilities):
        self.held, self.table, self.state = held, table, "greeting"
        self.frames, self.writer, self.decoder = Frames(), Writer(), Decoder()
        self.offer = self.transfer = self.want_base = None
        self.heartbeat, self.next_ping, self.heard = 5.0, None, time.monotonic()
        self.questions, self.skipped = [], 0
        self.is_newest = None
        self.asks, self.newest = [], None  # (nonce, floor) that may be answered; (number, hash) that was
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.connect(path)
        hello = {"protocolMin": 2, "protocolMax": 2, "name": name, "lineage": held.lineage}
        hello["root"] = {"hash": held.root["hash"], "number": held.root["number"]} if held.root else {"hash": held.trust[1]}
        if held.active:
            hello["holds"] = number_of(held.active)
        floor = held.standing_floor()
        if floor and floor["hash"] != (held.active or {}).get("hash"):
            hello["floor"] = number_of(floor)
        self.send("HELLO", {**hello, "refused": list(held.refused)[-32:], "limits": LIMITS, "capabilities": capabilities, "nonce": self.ask()})

    # ── Bytes ──────────────────────────────────────────────────────────────

    def send(self, name, body, transaction=0):
        try:
            self.socket.sendall(self.writer.frame(name, body, transaction))
        except OSError:
            self.raise_event("disconnected")

    def readable(self):
        try:
            data = self.socket.recv(65536)
        except OSError:
            data = b""
        try:
            if not data:
                self.frames.end()
                return self.raise_event("disconnected")
            self.heard = time.monotonic()
            for kind, transaction, body in self.frames.feed(data):
                if self.state == "closed":
                    return None
                if kind >= SKIPPABLE_FROM and kind not in MESSAGES:
                    self.skipped += 1
                    continue
                name, content = message(kind, body)
                need(transaction == 0 or name in ("QUERY", "ANSWER"), "bad-message", "a transaction")
                self.take(name, content, transaction)
        except Refused as refused:
            self.bye(refused.code, str(refused))
            self.state = "closed"
        return None

    def tick(self):
        now = time.monotonic()
        if self.state == "closed":
            return
        if self.next_ping is not None and now >= self.next_ping:
            self.send("PING", {**self.alive(), "nonce": self.ask()})
            self.next_ping = now + self.heartbeat
        if now - self.heard > (10 if self.state == "greeting" else 3 * self.heartbeat):
            self.raise_event("timeout")

    # ── Events ─────────────────────────────────────────────────────────────

    def take(self, name, content, transaction):
        if name == "OFFER":
            return self.judge(content)
        if name == "ROOT" and self.state == "idle":
            self.held.root = followed(self.held.trust, self.held.root, content)
        known = ("WELCOME", "ROOT", "BEGIN", "CHUNK", "END", "ABORT", "UNSUPPORTED", "FRESH", "QUERY", "PROVE", "PING", "PONG", "BYE")
        self.raise_event(name.lower() if name in known else "other", content, transaction)

    def raise_event(self, event, content=None, transaction=0):
        step = self.table[self.state, event]
        if step is None:
            raise AssertionError(f"{event} while {self.state}")
        before, (self.state, action) = self.state, step
        if action is None:
            if event == "welcome":
                self.welcomed(content)
        elif action.startswith("bye"):
            self.bye(action.partition(" ")[2] or "shutting-down", f"{event} while {before}")
        elif action == "close":
            if event == "bye":
                tell(event="bye", code=content["code"])
            self.close()
        elif action == "nack":
            self.nack(event, content)
        else:
            getattr(self, f"do_{action}")(content, transaction)

    def judge(self, body):
        """WIRE.md "Offers", in its order."""
        held, (signatures, data) = self.held, signed_in(body)
        digest = hashlib.sha256(data).digest()
        if held.active and held.active["hash"] == digest:
            return self.raise_event("offerActive")
        if digest in held.refused:
            return self.raise_event("offerRefused", held.refused[digest])
        never = True
        try:
            need(held.root and is_signed(held.root, "release", signatures, data), "bad-signature", "not signed by who may")
            manifest = manifest_of(data)
            need(manifest["lineage"] == held.lineage, "wrong-lineage", "another lineage")
            need(held.root["floor"] <= manifest["epoch"] <= held.root["ceiling"], "epoch-not-granted", "not in this root")
            floor = held.standing_floor()
            if floor and floor["hash"] != digest:
                order, least = [(said["epoch"], said["version"]) for said in (manifest, floor["manifest"])]
                need(order != least, "forked", "another release of that number was in force")
                need(order > least, "not-newer", "older than what was in force")
            need(manifest["prefixes"] + manifest["others"] <= LIMITS["entries"], "over-limit", "too many entries")
            never = False
            number, newest = (manifest["epoch"], manifest["version"]), self.newest
            need(newest or floor, "not-fresh", "nothing says that it is the newest")
            if newest and newest[1] != digest:
                need(number != newest[0], "forked", "another release of that number is the newest")
                need(number > newest[0], "not-fresh", "it is not the newest")
        except Refused as refused:
            never = never and refused.code not in ("bad-signature", "epoch-not-granted")
            nack = self.refusal(digest, refused, "never" if never else "later")
            if never:
                held.refused[digest] = nack
            return self.raise_event("offerRefused", nack)
        pause_ms = int(1000 * (held.patient_until - time.monotonic()))
        if pause_ms > 0:
            nack = self.refusal(digest, Refused("bad-transfer", "nothing is wanted for a while"), "later")
            return self.raise_event("offerRefused", {**nack, "retryAfterMs": pause_ms})
        self.offer = {"hash": digest, "manifest": manifest, "signed": body}
        return self.raise_event("offer")

    def refusal(self, digest, refused, retry):
        keeps = self.held.active and self.held.active["hash"]
        return {"hash": digest, "code": refused.code, "text": str(refused)[:512], "retry": retry, "keeps": keeps}

    # ── Actions ────────────────────────────────────────────────────────────

    def welcomed(self, welcome):
        need(welcome["protocol"] == 2 and welcome["lineage"] == self.held.lineage, "wrong-lineage", "not the publisher trusted")
        self.heartbeat = welcome["heartbeatMs"] / 1000
        self.next_ping = time.monotonic() + self.heartbeat
        tell(event="welcome", publisher=welcome["name"])

    def do_want(self, *_):
        held = self.held
        self.transfer = None
        self.want_base = held.active["hash"] if held.active and held.failed_chain != self.offer["hash"] else None
        if held.cut and held.cut["hash"] != self.offer["hash"]:
            held.cut = None
        has = held.cut and {"stream": held.cut["stream"], "bytes": len(held.cut["received"])}
        self.send("WANT", {"hash": self.offer["hash"], "base": self.want_base, "has": has})

    def do_receive(self, begin, _):
        cut, self.held.cut, start = self.held.cut, None, begin.get("from", 0)
        self.transfer = {**begin, "received": cut["received"] if start else bytearray()}
        try:
            goes_on = cut and begin.get("snapshot") and begin.get("stream") == cut["stream"] and begin["bytes"] == cut["bytes"]
            need(not start or goes_on and start == len(cut["received"]), "bad-transfer", "it goes on where none was cut")
            need(begin.get("snapshot") or self.want_base, "bad-base", "a chain where a snapshot was wanted")
            need(begin["bytes"] <= LIMITS["bytes"], "over-limit", "too long a stream")
        except Refused as refused:
            self.raise_event("refused", self.fault(refused))

    def do_store(self, chunk, _):
        self.transfer["received"] += chunk
        if len(self.transfer["received"]) > self.transfer["bytes"]:
            self.raise_event("refused", self.fault(Refused("bad-transfer", "more bytes than announced")))

    def do_apply(self, *_):
        started, transfer, offer = time.monotonic(), self.transfer, self.offer
        stream = bytes(transfer["received"])
        signed = False
        try:
            need(len(stream) == transfer["bytes"], "bad-transfer", "fewer bytes than announced")
            base = {} if transfer.get("snapshot") else self.held.active["parts"]
            parts = self.decoder.chain(stream, base, offer["manifest"])
            verify(offer["manifest"], parts)
            signed = True
            need(meaning.fault(parts) is None, "bad-rule-set", str(meaning.fault(parts)))
        except Refused as refused:
            return self.raise_event("refused", self.fault(refused, signed))
        held, manifest = self.held, offer["manifest"]
        held.active = {**offer, "parts": parts}
        held.floor = offer
        held.generation += 1
        held.faults, held.patient_until, held.failed_chain = 0, 0.0, None
        self.transfer = None
        self.verify_ms = int(1000 * (time.monotonic() - started))
        tell(
            event="applied", hash=offer["hash"], epoch=manifest["epoch"], version=manifest["version"],
            forms=sorted(self.decoder.forms), chain=not transfer.get("snapshot"), bytes=len(stream), parts=manifest["parts"],
        )  # fmt: skip
        self.raise_event("applied")
        return self.compare()

    def fault(self, refused, signed=False):
        """The NACK for a transfer: for good only if what was signed is at fault."""
        digest, held = self.offer["hash"], self.held
        if signed:
            held.refused[digest] = self.refusal(digest, refused, "never")
            return held.refused[digest]
        pause = PAUSES_MS[min(held.faults, len(PAUSES_MS) - 1)]
        held.faults, held.patient_until = held.faults + 1, time.monotonic() + pause / 1000
        if not self.transfer.get("snapshot"):
            held.failed_chain = digest
        return {**self.refusal(digest, refused, "later"), "retryAfterMs": pause}

    def nack(self, event, content):
        self.transfer = None
        if event == "abort":
            content = self.refusal(self.offer["hash"], Refused(content["code"], content["text"]), "later")
        tell(event="nack", code=content["code"], retry=content["retry"])
        self.send("NACK", content)

    def do_applied(self, *_):
        fields = {"receiveMs": 0, "verifyMs": getattr(self, "verify_ms", 0), "compileMs": 0, "flipMs": 0}
        self.send("APPLIED", {**number_of(self.held.active), **fields, "persisted": False, "generation": self.held.generation})

    def do_proof(self, *_):
        self.send("PROOF", (self.held.standing_floor() or self.held.active)["signed"])

    def do_trust(self, *_):
        self.held.refused = {}
        tell(event="root", number=self.held.root["number"])

    def ask(self):
        """A nonce, with the number and hash of what is not to be gone below."""
        floor, nonce = self.held.standing_floor(), os.urandom(16)
        self.asks = [*self.asks, (nonce, floor and ((floor["manifest"]["epoch"], floor["manifest"]["version"]), floor["hash"]))][-4:]
        return nonce

    def do_learn(self, body, _):
        """WIRE.md "Freshness"."""
        held, (signatures, data) = self.held, signed_in(body)
        asked = [nonce for nonce, _ in self.asks]
        if len(data) != 116 or data[:4] != b"RCF1" or data[4:20] not in asked:
            return
        at = asked.index(data[4:20])
        least, self.asks = self.asks[at][1], self.asks[at + 1 :]
        if data[20:36] != held.lineage or data[36:68] != held.root["hash"] or not is_signed(held.root, "freshness", signatures, data):
            return tell(event="doubt", code="bad-signature")
        number, digest = struct.unpack("<QQ", data[68:84]), data[84:]
        if least and held.standing_floor():
            if number < least[0]:
                return tell(event="doubt", code="not-newer")
            if number == least[0] and digest != least[1]:
                return tell(event="doubt", code="forked")
        self.newest = number, digest
        self.compare()

    def compare(self):
        """Tells whether what is in force is the newest, where that is news."""
        if self.newest and self.held.active:
            (number, digest), active = self.newest, number_of(self.held.active)
            is_newest = active["hash"] == digest or (active["epoch"], active["version"]) > number
            if is_newest != self.is_newest:
                tell(event="fresh" if is_newest else "outdone", version=active["version"])
            self.is_newest = is_newest

    def do_tell(self, unsupported, _):
        tell(event="unsupported", hash=unsupported["hash"], capabilities=unsupported["capabilities"])

    def alive(self):
        return {"hash": self.held.active and self.held.active["hash"]}

    def do_pong(self, *_):
        self.send("PONG", self.alive())

    def do_answer(self, query, transaction):
        now = time.monotonic()
        self.questions = [at for at in self.questions if now - at < 1]
        if len(self.questions) >= QUERIES_PER_SECOND:
            return self.send("ANSWER", {"ok": False, "code": "rate-limited", "text": "too many questions"}, transaction)
        self.questions.append(now)
        active, said = self.held.active, {"ok": True}
        parts = active["parts"] if active else {}
        if query["question"] == "test":
            said["verdict"] = verdict_fields(parts, query["packet"])
        if active:
            said |= number_of(active)
        said["generation"] = self.held.generation
        if query["question"] == "stats":
            said["stats"] = {"generation": self.held.generation, "skipped": self.skipped}
        return self.send("ANSWER", said, transaction)

    def bye(self, code, text):
        tell(event="left", code=code, text=text)
        self.send("BYE", {"code": code, "text": text[:512]})
        self.close()

    def close(self):
        if self.transfer and self.transfer.get("snapshot") and self.transfer.get("stream"):
            self.held.cut = {**self.transfer, "hash": self.offer["hash"]}
        self.socket.close()


def number_of(release):
    """A release as HELLO, APPLIED and ANSWER name it."""
    manifest = release["manifest"]
    return {"hash": release["hash"], "epoch": manifest["epoch"], "version": manifest["version"]}


def verify(manifest, parts):
    """A rule set against its manifest."""
    records = records_of(parts)
    check_totals(manifest, totals_of(records))
    need(catalogue_digest(records) == manifest["catalogue"], "bad-digest", "the catalogue")


def verdict_fields(parts, packet):
    """What ANSWER says of a packet."""
    address = lambda data: data and meaning.ipaddress.ip_address(data)
    asked = meaning.Packet(packet["direction"], address(packet.get("src")), address(packet["dst"]), packet["proto"], packet.get("port"), packet.get("icmpType"))
    now = int(time.time())
    verdict = meaning.Firewall(parts, meaning.Environment(now, now)).verdict(asked)
    fields = {"action": verdict.action, "direction": verdict.direction, "policy": verdict.policy}
    if verdict.block is None:
        return fields
    home = "common" if verdict.block == "common" else verdict.policy
    kept = meaning.rules_of(parts[meaning.POLICY, home], verdict.direction, verdict.block)[verdict.rule]
    line = meaning.line_of(kept, verdict.direction)[:1536]
    where = {"rulePolicy": home, "block": verdict.block, "rule": line, "ruleIndex": verdict.rule, "run": verdict.run}
    return {**fields, **where, "list": verdict.list, "prefix": verdict.prefix}


def main(trust, path, name, *capabilities):
    held, table = Held(trust_of(trust)), table_of(DOCUMENT.read_text(encoding="utf-8"))
    session = None
    while True:
        sources = selectors.DefaultSelector()
        sources.register(sys.stdin, selectors.EVENT_READ)
        if session is not None and session.state != "closed":
            sources.register(session.socket, selectors.EVENT_READ)
        ready = [key.fileobj for key, _ in sources.select(0.2)]
        sources.close()
        if session is not None and session.socket in ready:
            session.readable()
        if sys.stdin in ready:
            command = sys.stdin.buffer.raw.readline().decode().strip()
            if command == "join":
                session = Session(held, name, path, table, list(capabilities or CAPABILITIES))
            elif command == "leave":
                session.raise_event("stop")
            elif command == "forget":
                held.active = None
            elif command == "":
                return
        if session is not None:
            session.tick()


if __name__ == "__main__":
    main(*sys.argv[1:])
