/** How many subscribers fit in the process's limit of open files. */

import { SUBSCRIBERS_MAX } from '@rulecast/protocol';

/**
 * Open files besides subscribers: store, threads, rulectl, downloads, connections before HELLO. Our choice.
 */
const OTHER_FILES = 512;

/** `limits` is /proc/self/limits, if there is one; at least 1. */
export function placesFor(limits: string | undefined, boundCount: number): number {
  const files = /^Max open files +(\d+)/m.exec(limits ?? '')?.[1]; // a word means that there is no limit
  if (files === undefined) return SUBSCRIBERS_MAX;
  return Math.max(1, Math.min(SUBSCRIBERS_MAX, Number(files) - OTHER_FILES - boundCount));
}
