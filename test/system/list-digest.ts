/** What a publisher has to make of a pushed list. */

import { importList } from '@rulecast/formats';
import { digestOf, partOfList } from '@rulecast/protocol';

/** The digest (hex) of the list that a text of entries is. */
export function listDigest(name: string, text: string): string {
  const { list } = importList('', Buffer.from(text), { format: 'plain' });
  return Buffer.from(digestOf(partOfList(name, list))).toString('hex');
}
