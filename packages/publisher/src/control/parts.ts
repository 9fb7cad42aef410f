/** The objects that requests work on: the publisher, and the services beside it. */

import type { List } from '@rulecast/rules';
import type { AskTable } from '@rulecast/sessions';
import type { ListStatus, Permits } from '@rulecast/sources';
import type { Caller } from '../admission/operators.ts';
import type { FleetView } from '../fleet/view.ts';
import type { Publisher } from '../release/publisher.ts';
import type { Release } from '../store/store.ts';
import type { PushMemory } from './push-memory.ts';

export interface ControlParts extends House {
  /** The caller of this request. */
  readonly caller: Caller;
  readonly pushMemory: PushMemory;
}

export interface House {
  readonly publisher: Publisher;
  /** Judges packets by the live tables of subscribers. */
  readonly ask: AskTable;
  /** Undefined if the publisher has no sources. */
  readonly sources?: SourceLists | undefined;
  /** Undefined without a depot. */
  readonly depot?: ReleaseDepot | undefined;
  /** Undefined without a fleet. */
  readonly fleet?: FleetView | undefined;
  /** The version of this program. */
  readonly version?: string | undefined;
}

/** Releases as files. */
export interface ReleaseDepot {
  /** A sentence, while it lacks what is in force. */
  readonly trouble: string | undefined;
  /** See Depot. */
  troubleWith(release: Release): Promise<string | undefined>;
}

/** The lists that the publisher keeps fresh itself. */
export interface SourceLists {
  status(): readonly ListStatus[];
  /** The last good content of one, published or not. */
  list(name: string): List | undefined;
  /** See Sources.refresh. */
  refresh(names: readonly string[], permits: Permits): Promise<readonly ListStatus[]>;
  /** Troubles by topic, each a sentence. */
  readonly degraded: Readonly<Record<'configuration' | 'rules' | 'lists', readonly string[]>>;
}
