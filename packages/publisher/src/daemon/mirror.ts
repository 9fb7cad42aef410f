/** The publisher's side of fetched releases: a depot in a directory, and a listener for reports. */

import type { DepotConfig } from '@rulecast/formats';
import { PacedLog } from '@rulecast/program';
import { readReportKey } from '@rulecast/program/report-key';
import type { RelayHost } from '@rulecast/sessions';
import { Depot } from '../depot/depot.ts';
import { DepotDirectory } from '../depot/directory.ts';
import { relayHostOf } from '../depot/relay-host.ts';
import { Fleet } from '../fleet/fleet.ts';
import { listenForReports } from '../fleet/listener.ts';
import type { Publisher } from '../release/publisher.ts';
import { hostOf } from '../sessions/host.ts';
import type { FleetSettings } from './settings.ts';

export interface Mirror {
  readonly depot: Depot | undefined;
  readonly fleet: Fleet | undefined;
  /** Undefined without a depot. */
  readonly relays: RelayHost | undefined;
  close(): Promise<void>;
}

/**
 * Throws DepotError, DirectoryError, LockedError if another publisher writes the depot, and IdentityError,
 * EndpointError and EndpointInUseError of reports.
 */
export async function openMirror(
  publisher: Publisher,
  depotConfig: DepotConfig | undefined,
  settings: FleetSettings | undefined,
): Promise<Mirror> {
  const depot = depotConfig && (await openDepot(publisher, depotConfig));
  const reporting = settings && (await openFleet(publisher, settings));
  const fleet = reporting?.fleet;
  const takeReports = fleet && ((reports: readonly Uint8Array[]) => fleet.takeReports(reports));
  return {
    depot,
    fleet,
    relays: depot && relayHostOf(depot, takeReports),
    close: async () => {
      await reporting?.stop();
      await fleet?.close();
      await depot?.close();
    },
  };
}

async function openDepot(publisher: Publisher, config: DepotConfig): Promise<Depot> {
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

async function openFleet(
  publisher: Publisher,
  { secret: file, reports, everyMs }: FleetSettings,
): Promise<{ readonly fleet: Fleet; readonly stop: () => Promise<void> }> {
  const { store, clock, nowMs, turn, subscribers } = publisher;
  const secret = readReportKey(file);
  const logger = new PacedLog(publisher.logger, () => clock.monotonicMs());
  const expected = (): readonly string[] =>
    [...(subscribers.isConfigured ? subscribers.expected() : [])].filter(
      (name) => subscribers.find(name) === undefined,
    );
  const shared = { store, clock, nowMs, turn, logger, publisher, view: hostOf(publisher), expected };
  const fleet = await Fleet.open({ ...shared, secret, everyMs });
  subscribers.leaveOut((name) => fleet.hears(name));
  const stop = await listenForReports(reports, (all) => fleet.takeReports(all), logger);
  return { fleet, stop };
}
