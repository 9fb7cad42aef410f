/** How many subscribers there is room for, by the files that the process may have open. */

import { SUBSCRIBERS_MAX } from '@rulecast/protocol';

/** Open beside subscribers: store, threads, rulectl, downloads, who has not said HELLO. Our choice. */
const OTHER_FILES = 512;

/** `limits` is /proc/self/limits, if there is one; at least 1. */
export function placesFor(limits: string | undefined, boundCount: number): number {
  const files = /^Max open files +(\d+)/m.exec(limits ?? '')?.[1]; // a word says that there is no limit
  if (files === undefined) return SUBSCRIBERS_MAX;
  return Math.max(1, Math.min(SUBSCRIBERS_MAX, Number(files) - OTHER_FILES - boundCount));
}
