/**
 * Metrics as Prometheus reads them: its text format 0.0.4, which the textfile collector and promtool read, or
 * OpenMetrics 1.0. docs/reference/metrics.md has each of them.
 */

import type { ControlRecordOf } from '@rulecast/protocol';

export interface Metric {
  readonly name: string;
  /** `gauge`, `counter`, `summary` or `info`. */
  readonly type: string;
  readonly labels: readonly string[];
  readonly help: string;
  /** Families of the publisher by what is added to the name of a sample. */
  readonly families: Readonly<Record<string, string>>;
  /** Whether the publisher sends it in milliseconds. */
  readonly isTime: boolean;
}

/** A metric of `rulectl` itself: the time of its request. */
const EXPORTED = 'exported';

/**
 * In the order in which they are printed: type, family of the publisher, name, labels, and what it is. Two
 * spaces are between them.
 */
const TABLE = `
gauge  exported  exported_timestamp_seconds  -  When rulectl asked for these
info  build  build_info  version,protocol  The publisher
gauge  start-time  start_time_seconds  -  When the publisher started, and sums began
gauge  degraded  degraded  reason  Things that do not work as they should, as rulectl status has them
gauge  warnings  warnings  code  Things that are odd about the rule set
gauge  root-refresh-by  root_refresh_by_timestamp_seconds  -  When the next root has to be there
gauge  epochs-left  epochs_left  -  Epochs that the root grants above that of the head
gauge  store  store_bytes  -  The file of the store
gauge  head-epoch  head_epoch  -  Of the newest release
gauge  head-version  head_version  -  Of the newest release
gauge  head-created  head_created_timestamp_seconds  -  When the newest release was made
gauge  head-entries  head_entries  -  Entries of all its lists
gauge  head-rules  head_rules  -  Rules of all its policies
gauge  head-lists  head_lists  -  Its lists
gauge  head-policies  head_policies  -  Its policies
counter  releases  releases_total  cause  Releases
counter  refusals  release_refusals_total  guard  What guards refused
summary  commit  store_commit_seconds  -  From the judged draft of a release to the disk
counter  outcomes  outcomes_total  state  What became of releases at firewalls
summary  apply  apply_seconds  -  From a release received to one in force, at firewalls
counter  control-requests  control_requests_total  command,code  Requests of rulectl
counter  fetch-bytes  fetch_bytes_total  -  Of downloads for lists and tables, without content encoding
summary  fetch  fetch_duration_seconds  -  Of downloads that succeeded, with what they waited for
gauge  list-entries  list_entries  list  Entries of a released list
gauge  list-ok  list_ok  list  1: the source of a list is as fresh as it should be
gauge  list-fetched  list_last_success_timestamp_seconds  list  When a list was read last
gauge  list-interval  list_interval_seconds  list  Between two readings of a list that is not read as it changes
counter  list-refusals  list_refusals_total  list  Times that what the source of a list said was not taken
counter  list-packets  list_packets_total  list,verdict  Packets that rules with a list decided
counter  policy-packets  policy_packets_total  policy,verdict  Packets that a policy decided, at all firewalls
counter  unmatched-packets  unmatched_packets_total  -  Packets dropped of qubes that no policy names
counter  log-lost  log_lost_total  -  What firewalls refused and could not note
counter  dns-questions  dns_questions_total  outcome  Names that qubes asked rulecast-dns for
summary  dns-upstream  dns_upstream_seconds  -  From a question of rulecast-dns to the answer of an upstream
gauge  subscriber-expected  subscriber_expected  subscriber  1: it has to apply what is released
gauge  subscriber-connected  subscriber_connected  subscriber  1: it is connected
gauge  subscriber-matches-head  subscriber_matches_head  subscriber  1: the newest release is in force there
gauge  subscriber-stale  subscriber_stale  subscriber  1: nothing told it that its release is the newest
gauge  subscriber-log-off  subscriber_log_off  subscriber  1: it is to keep a log of what it refuses, and cannot
gauge  subscriber-names-open  subscriber_names_open  subscriber  Addresses that are open there by name
gauge  subscriber-active-version  subscriber_active_version  subscriber  The release in force there
gauge  subscriber-last-seen  subscriber_last_seen_timestamp_seconds  subscriber  When it was heard last
gauge  subscriber-applied  subscriber_applied_timestamp_seconds  subscriber  When it applied a release last
counter  subscriber-sent  subscriber_sent_bytes_total  subscriber  Sent to it
counter  subscriber-judged-packets  subscriber_judged_packets_total  subscriber  Packets judged
counter  subscriber-dropped-packets  subscriber_dropped_packets_total  subscriber  Packets dropped
counter  subscriber-repairs  subscriber_repairs_total  subscriber  Times that its kernel was found changed, and repaired
gauge  fleet-names  fleet_names  state  Names that report, by what they reported last
gauge  fleet-refused  fleet_refused  code  Those of them that refuse the newest release
gauge  left-out  series_left_out  kind  Firewalls, lists and policies without series of their own
`;

export const METRICS: readonly Metric[] = TABLE.trim().split('\n').map(metricOf);

function metricOf(row: string): Metric {
  const [type = '', family = '', name = '', labels = '', help = ''] = row.split('  ');
  const isSummary = type === 'summary';
  return {
    name: `rulecast_${name}`,
    type,
    labels: labels === '-' ? [] : labels.split(','),
    help,
    families: isSummary ? { _sum: `${family}-time`, _count: `${family}-count` } : { '': family },
    isTime: name.endsWith('_seconds'),
  };
}

const SHARED_LABELS_MAX = 2;
type Rows = readonly (readonly [labels: readonly string[], value: number])[];

/** The publisher's samples, by family; unknown families are ignored. */
export class Samples {
  readonly #rows = new Map<string, (readonly [readonly string[], number])[]>();

  constructor(nowMs: number) {
    this.#rows.set(EXPORTED, [[[], nowMs]]);
  }

  put({ family, labels, values }: ControlRecordOf<'samples'>): void {
    const each = labels.length / Math.max(1, values.length);
    if (!Number.isInteger(each) || each > SHARED_LABELS_MAX) return;
    const rows = this.#rows.get(family) ?? [];
    this.#rows.set(family, rows);
    for (const [i, value] of values.entries()) rows.push([labels.slice(i * each, (i + 1) * each), value]);
  }

  of(family: string): Rows {
    return this.#rows.get(family) ?? [];
  }
}

/** Ends with a newline. */
export function renderMetrics(samples: Samples, isOpenMetrics: boolean): string {
  const [started] = samples.of('start-time');
  const texts = METRICS.map((metric) => textOf(metric, samples, isOpenMetrics, started?.[1] ?? 0));
  return `${texts.join('')}${isOpenMetrics ? '# EOF\n' : ''}`;
}

function textOf(metric: Metric, samples: Samples, isOpenMetrics: boolean, startedMs: number): string {
  const { name, type, labels, help, families, isTime } = metric;
  const lines: string[] = [];
  for (const [suffix, family] of Object.entries(families)) {
    for (const [values, value] of samples.of(family)) {
      if (values.length !== labels.length) continue;
      const told = labels.map((label, i) => `${label}="${escaped(values[i] ?? '')}"`);
      const shown = told.length === 0 ? '' : `{${told.join(',')}}`;
      lines.push(`${name}${suffix}${shown} ${isTime && suffix !== '_count' ? value / 1000 : value}\n`);
      if (isOpenMetrics && type === 'counter')
        lines.push(`${name.replace(/_total$/, '_created')}${shown} ${startedMs / 1000}\n`);
    }
  }
  if (lines.length === 0) return '';
  const family = isOpenMetrics ? name.replace(/_(?:total|info)$/, '') : name;
  const kind = type === 'info' && !isOpenMetrics ? 'gauge' : type;
  return `# HELP ${family} ${help}.\n# TYPE ${family} ${kind}\n${lines.join('')}`;
}

function escaped(label: string): string {
  return label.replaceAll('\\', '\\\\').replaceAll('"', '\\"').replaceAll('\n', '\\n');
}
