/**
 * The question and the answer in work, as messages: their content, the parts left out of the answer, and the
 * bytes for the qube. One object serves all questions, as each is handled completely before the next.
 */

import { NAME_ADDRESSES_OF_ONE_MAX } from '@rulecast/nftables/openings';
import { addressesTold, addressKey, type ToldAddress } from '../message/addresses.ts';
import { withoutOurs } from '../message/hop.ts';
import { MessageReader, Section } from '../message/message.ts';
import { newNameScratch, readName, sameName } from '../message/name.ts';
import { HEADER_BYTES, MESSAGE_MAX_BYTES, RecordType } from '../message/wire.ts';
import { isWhole, type Telling, writeWithout } from '../message/without.ts';
import {
  EDNS_BYTES,
  type OwnAnswer,
  PLAIN_BYTES,
  readdress,
  WRITTEN_MAX_BYTES,
  writeAnswer,
  writeQuestion,
  writeTruncated,
} from '../message/writer.ts';
import { ALIASES_MAX } from './limits.ts';

/** Types that are useful without addresses: they are sent without those that are not open. */
const SERVICE_TYPES: readonly number[] = [RecordType.svcb, RecordType.https];

export class Exchange {
  readonly question = new MessageReader();
  readonly answer = new MessageReader();
  readonly #owner = newNameScratch();
  readonly #written = new Uint8Array(WRITTEN_MAX_BYTES);
  readonly #shortened = new Uint8Array(MESSAGE_MAX_BYTES);

  /** Whether services are asked for, which are of use without addresses. */
  get isOfService(): boolean {
    return SERVICE_TYPES.includes(this.question.type);
  }

  /** The question as it goes to an upstream; the bytes are the caller's. */
  asked(id: number, isPadded: boolean): Uint8Array {
    return this.#written.slice(0, writeQuestion(this.question, id, this.#written, isPadded));
  }

  /** Whether it answers the question as it was sent; the case of the name may differ. */
  isOf(id: number, name: Uint8Array): boolean {
    const { answer, question } = this;
    if (!answer.isResponse || !answer.isQuery || answer.id !== id) return false;
    if (answer.nameEnd - HEADER_BYTES !== name.length) return false;
    return (
      answer.type === question.type &&
      answer.class === question.class &&
      sameName(answer.bytes.subarray(HEADER_BYTES), name, name.length)
    );
  }

  /** The names in the answer's alias chain; undefined: too many. */
  aliases(): readonly Uint8Array[] | undefined {
    const { answer } = this;
    const aliases: Uint8Array[] = [];
    const name = newNameScratch();
    for (let i = 0; i < answer.recordCount; i++) {
      if (answer.sections[i] !== Section.answer) continue;
      const at = answer.targetOf(i);
      if (at < 0) continue;
      if (aliases.length === ALIASES_MAX) return undefined;
      aliases.push(name.slice(0, readName(answer.bytes, at, name)));
    }
    return aliases;
  }

  /** Removes parts of the answer that must not be sent; false if nothing remains. */
  leaveOut(telling: Telling): boolean {
    const { answer } = this;
    if (isWhole(answer, telling)) return true;
    const byteCount = writeWithout(answer, telling, this.#shortened);
    return byteCount > 0 && answer.read(this.#shortened.slice(0, byteCount)) === undefined;
  }

  /**
   * Leaves out of the answer what could not be opened, whatever comes: addresses of names that were not asked
   * for, nor stand for that, and more than a qube may use for one name, and of services those of other names
   * that do not open by themselves, and addresses that stand beside them. The addresses left; undefined:
   * nothing is.
   */
  narrow(opens: (name: Uint8Array) => boolean): readonly ToldAddress[] | undefined {
    const { answer, question } = this;
    const target = (bytes: Uint8Array, at: number): boolean => {
      const name = newNameScratch();
      const length = readName(bytes, at, name);
      const isOwn = length === question.nameEnd - HEADER_BYTES;
      if (isOwn && sameName(name, question.bytes.subarray(HEADER_BYTES), length)) return true;
      return opens(name.slice(0, length));
    };
    const names = [question.bytes.subarray(HEADER_BYTES), ...(this.aliases() ?? [])];
    const owner = (bytes: Uint8Array, at: number): boolean => {
      const length = readName(bytes, at, this.#owner);
      return names.some((name) => sameName(this.#owner, name, length));
    };
    const own: Telling = { address: () => true, owner, ...(this.isOfService && { target }) };
    if (!this.leaveOut(own)) return undefined;
    const some = new Map([...addressesTold(answer)].slice(0, NAME_ADDRESSES_OF_ONE_MAX));
    return this.leaveOut({ address: (bytes) => some.has(addressKey(bytes)) })
      ? [...some.values()]
      : undefined;
  }

  /** The answer for the client; truncated if it is too long for a datagram. */
  forwarded(transport: 'udp' | 'tcp'): Uint8Array {
    const { answer, question } = this;
    const bytes = withoutOurs(answer, question.opt >= 0);
    readdress(bytes, question);
    const room = Math.min(EDNS_BYTES, Math.max(PLAIN_BYTES, question.ednsBytes));
    if (transport === 'tcp' || (bytes.length <= room && !answer.isTruncated)) return bytes;
    answer.read(bytes); // for its new id
    return this.#written.slice(0, writeTruncated(answer, this.#written));
  }

  /** An answer of ours to the question. */
  own(answer: OwnAnswer): Uint8Array {
    return this.#written.slice(0, writeAnswer(this.question, answer, this.#written));
  }
}
