/**
 * Long work off the event loop, in the same way for all packages. Begin with host.ts, which starts a thread,
 * bounds its work, and ends it. hand-over.ts moves large data to a thread and back without a stall, and
 * garbage.ts frees large data soon.
 */
export { Garbage, usedBytes } from './garbage.ts';
export { givenAway, HandOver } from './hand-over.ts';
export { ThreadCode, ThreadError, ThreadHost, type ThreadLine, type WorkLimits } from './host.ts';
