/**
 * The firewall's own DNS: it blocks names, and has resolved addresses opened. `@rulecast/dns/feed` is the
 * subscriber's end. Begin with proxy/machine.ts, which is the proxy without its sockets, then judge/judge.ts,
 * the verdict on a name, and match/matcher.ts, which finds the lists that contain it. message/ reads and
 * writes DNS messages, pipe/ follows a subscriber's releases, and daemon.ts is the program.
 */

export { NameMatcher } from './match/matcher.ts';
export { MessageFault, MessageReader } from './message/message.ts';
export { nameBytes, nameText, newNameScratch, readName, sameName, turnCase } from './message/name.ts';
export { MessageStream } from './message/stream.ts';
export { WRITTEN_MAX_BYTES, writeAnswer, writeQuestion, writeTruncated } from './message/writer.ts';
export { type Client, DnsProxy, type ProxyEffect } from './proxy/machine.ts';
