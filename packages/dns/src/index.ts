/**
 * DNS that the firewall owns: what blocks by name, and has addresses opened. `@rulecast/dns/feed` is the
 * subscriber's end.
 *
 *     question ─message: read─▶ name ─match─▶ lists ─judge─▶ own answer, or ─proxy─▶ upstream ─▶ aliases ─judge─▶ answer
 *
 * Begin with message/wire.ts, the numbers; then name, message (reading), addresses, writer, without
 * (addresses that are left out), hop (what was for the way to us), and stream (messages behind one
 * another). Then match/matcher.ts, which lists stand for a name, and what it is made of: classes, and table.
 * judge/judge.ts says what a qube gets, by the programs of policies. proxy/machine.ts is all of it without
 * sockets, askers.ts what each qube may ask, exchange.ts question and answer as messages, upstreams.ts which
 * upstream is asked, and line.ts one over TLS; sockets have server.ts, datagrams.ts,
 * upstream.ts, tls.ts and applier.ts, by native.ts, the calls of the C library, and watch.ts, which says who
 * has something; daemon.ts is the program. pipe/ has it follow releases: change.ts (what one has other than
 * another), frame.ts, then feed.ts at the subscriber and follower.ts here.
 */

export { NameMatcher } from './match/matcher.ts';
export { MessageFault, MessageReader } from './message/message.ts';
export { nameBytes, nameText, newNameScratch, readName, sameName, turnCase } from './message/name.ts';
export { MessageStream } from './message/stream.ts';
export { WRITTEN_MAX_BYTES, writeAnswer, writeQuestion, writeTruncated } from './message/writer.ts';
export { type Client, DnsProxy, type ProxyEffect } from './proxy/machine.ts';
