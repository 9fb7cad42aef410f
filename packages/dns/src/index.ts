/**
 * DNS that the firewall owns: so far its messages, and which lists stand for a name.
 *
 * Begin with message/wire.ts, the numbers; then name, message (reading), writer, and stream (messages behind
 * one another). Then match/matcher.ts, and what it is made of: classes, and table.
 */

export { NameMatcher } from './match/matcher.ts';
export { MessageFault, MessageReader } from './message/message.ts';
export { nameBytes, nameText, newNameScratch, readName, sameName, turnCase } from './message/name.ts';
export { MessageStream } from './message/stream.ts';
export { WRITTEN_MAX_BYTES, writeAnswer, writeQuestion, writeTruncated } from './message/writer.ts';
