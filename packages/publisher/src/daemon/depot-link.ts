/** The depot of a publisher, in a directory: written from each release until it is closed. */

import type { DepotConfig } from '@rulecast/formats';
import { Depot } from '../depot/depot.ts';
import { DepotDirectory } from '../depot/directory.ts';
import type { Publisher } from '../release/publisher.ts';

/** Throws DepotError, DirectoryError, and LockedError if another publisher writes it. */
export async function openDepot(publisher: Publisher, config: DepotConfig): Promise<Depot> {
  const { directory, ...times } = config;
  const { identity, store, transfers, clock, nowMs, logger } = publisher;
  const files = await DepotDirectory.open(directory);
  const newest = () => (publisher.behind === undefined ? publisher.head : undefined);
  const published = (): void => depot.published();
  const onClosed = (): void => {
    publisher.off('release', published);
    files.close();
  };
  const shared = { identity, store, transfers, clock, nowMs, logger };
  const depot = new Depot({ ...shared, ...times, files, newest, onClosed });
  publisher.on('release', published);
  void depot.start(); // to write one takes a while: subscribers by session do not wait for it
  return depot;
}
