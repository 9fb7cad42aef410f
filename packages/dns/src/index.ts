/**
 * DNS that the firewall owns: so far its messages.
 *
 * Begin with message/wire.ts, the numbers; then name, message (reading), writer, and stream (messages behind
 * one another).
 */

export { MessageFault, MessageReader } from './message/message.ts';
export { nameText, newNameScratch, readName, sameName, turnCase } from './message/name.ts';
export { MessageStream } from './message/stream.ts';
export { WRITTEN_MAX_BYTES, writeAnswer, writeQuestion, writeTruncated } from './message/writer.ts';
