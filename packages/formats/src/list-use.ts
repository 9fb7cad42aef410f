/** The place where a pushed file uses a list, for messages about a missing one. */

import type { PushedFile } from './pushed.ts';
import { latin1 } from './text/bytes.ts';

export interface UsePlace {
  readonly file: string;
  /** Both from 1. */
  readonly line: number;
  readonly column: number;
}

/** Only the beginning of each file is searched, so that others do not wait. Our choice. */
const SEARCHED_BYTES = 16_777_216;

/** The first `=@NAME` of the files, comments aside; undefined where there is none near their beginning. */
export function listUse(files: readonly PushedFile[], name: string): UsePlace | undefined {
  const use = new RegExp(`^(?![ \\t]*#)(.*?=)@${name.replaceAll('.', '\\.')}(?![\\w.-])`, 'm');
  for (const { name: file, bytes } of files) {
    const text = latin1(bytes, 0, Math.min(bytes.length, SEARCHED_BYTES));
    const found = use.exec(text);
    if (found === null) continue;
    const line = text.slice(0, found.index).split('\n').length;
    return { file, line, column: (found[1] ?? '').length + 1 };
  }
  return undefined;
}
