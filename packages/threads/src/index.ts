/**
 * Long work off the event loop, the same way for all who have some. Begin with host.ts.
 *
 *   owner ─▶ host (one thread, one piece of work at a time, its bounds) ─post─▶ thread
 *              ◀─ an answer, or a coded error once the thread is gone ─
 *
 * - `host.ts`: starts a thread, bounds what it does, and ends it.
 * - `hand-over.ts`: what is large goes to a thread, and comes back, without stalling anybody.
 * - `garbage.ts`: what is large and no longer held is given back.
 */
export { Garbage, usedBytes } from './garbage.ts';
export { givenAway, HandOver } from './hand-over.ts';
export { ThreadCode, ThreadError, ThreadHost, type ThreadLine, type WorkLimits } from './host.ts';
