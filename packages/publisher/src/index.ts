/**
 * The management side: pushes and lists of sources become signed releases, which are served to subscribers.
 *
 * Begin with release/publisher.ts, then release/commit.ts; sessions are a package of their own.
 *
 *   push, list ─▶ rule set ─names─▶ draft ─guards─▶ commit: digests, signature ─▶ store, flushed ─▶ OFFER ─WANT─▶ transfer ─▶ APPLIED
 *
 * names/        what names stand for: DNS, when it is asked, what stands in for an answer
 * guards/       what there is against a draft: losses, openings, packets that must get through
 * signer/       who has the keys that sign: a process of its own (signer-main.ts), and the way to it
 * blocks/       what is blocked, allowed and cut off by one line: rows, and rules made of them
 * store/        the identity and the releases on disk, and what was permitted
 * subscribers/  what is known of each subscriber: kept, and shown
 * counts/       what firewalls count, added up; how often things happened here
 * release/      from a rule set to the next release; its history; the class Publisher
 * fleet/        the names that report what they have in force
 * admission/    who may use rulectl, and for what
 * sessions/     the publisher as its sessions see it
 * control/      one connection of `rulectl`, and what its requests share
 * requests/     a file for each request
 * daemon/       the configuration, and the sources that are read by it; daemon.ts is the process
 */

export type { IngestNote, PushedFile, PushInput } from '@rulecast/formats';
export type { AskTable, ServedSubscribers, Service } from '@rulecast/sessions';
export type { Permits } from './guards/permits.ts';
export type { GuardRefusal } from './guards/refusal.ts';
/** @public */
export { type DnsOptions, dnsResolver, type NameAnswer, type ResolveName } from './names/resolve.ts';
/** @public */
export { GuardError, type ReleaseDraft } from './release/commit.ts';
export type { PushOutcome, ReleaseAudit } from './release/outcome.ts';
export { Publisher, type PublisherOptions } from './release/publisher.ts';
export type { PushOptions } from './release/request.ts';
/** @public */
export { WORK_IN_PLACE, type WorkHost } from './release/worker.ts';
/** @public */
export { serveControl } from './requests/serve.ts';
export { serveSubscribers } from './sessions/host.ts';
/** @public */
export { type Release, Store, StoreError, type StoreOptions } from './store/store.ts';
