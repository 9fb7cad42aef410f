/** What came of all seeds together, and how it is told. */

/**
 * @typedef {{
 *   seed: number,
 *   simulatedMs: number,
 *   releases: number,
 *   faults: number,
 *   steps: number,
 *   trace: string,
 *   actionCount: number,
 *   pairs: readonly (readonly [string, number])[],
 *   forks: readonly (readonly [string, number])[],
 *   events: readonly (readonly [string, number])[],
 *   names?: { readonly faults: readonly string[], readonly states: readonly string[], readonly forks: readonly string[], readonly events: readonly string[] },
 *   violation: { readonly code: string, readonly text: string } | undefined,
 *   lines: readonly string[],
 *   wanted?: readonly string[] | undefined,
 * }} Told What a simulating process says of one seed.
 */

export class Tally {
  simulatedMs = 0;
  releases = 0;
  faults = 0;
  seeds = 0;
  /** @type {string[]} */
  traces = [];
  /** By `fault, machine state`. @type {Map<string, number>} */
  pairs = new Map();
  /** Numbers given twice, by why. @type {Map<string, number>} */
  forks = new Map();
  /** What came of faults. @type {Map<string, number>} */
  events = new Map();
  /** @type {Required<Told>['names']} */
  names = { faults: [], states: [], forks: [], events: [] };

  /** @param {Told} told */
  add(told) {
    this.seeds += 1;
    this.simulatedMs += told.simulatedMs;
    this.releases += told.releases;
    this.faults += told.faults;
    this.traces.push(told.trace);
    this.names = told.names ?? this.names;
    for (const [key, count] of told.pairs) this.pairs.set(key, (this.pairs.get(key) ?? 0) + count);
    for (const [key, count] of told.events) this.events.set(key, (this.events.get(key) ?? 0) + count);
    for (const [key, count] of told.forks) this.forks.set(key, (this.forks.get(key) ?? 0) + count);
  }

  /** Pairs of fault and state that were not reached. */
  missingPairs() {
    const { faults, states } = this.names;
    return faults
      .flatMap((fault) => states.map((state) => `${fault}, ${state}`))
      .filter((pair) => !this.pairs.has(pair));
  }

  /** What a long run has to reach, and this one did not. */
  missing() {
    const { forks, events } = this.names;
    return [
      ...this.missingPairs(),
      ...forks.filter((why) => !this.forks.has(why)),
      ...events.filter((event) => !this.events.has(event)),
    ];
  }
}

/** Every kind of fault in every state of both machines. @param {Tally} tally */
export function tableOf({ names, pairs, forks }) {
  const width = Math.max(0, ...names.faults.map((fault) => fault.length));
  const heads = names.states.map((state) => state.replace('publisher', 'p').replace('subscriber', 's'));
  const rows = names.faults.map((fault) => {
    const cells = names.states.map((state, i) =>
      `${pairs.get(`${fault}, ${state}`) ?? 0}`.padStart(heads[i]?.length ?? 0),
    );
    return `${fault.padEnd(width)}  ${cells.join('  ')}`;
  });
  const lines = names.forks.map((why) => `a number given twice, ${why}: ${forks.get(why) ?? 0} times`);
  return [`${''.padEnd(width)}  ${heads.join('  ')}`, ...rows, ...lines].join('\n');
}

/** @param {Tally} tally @param {number} tookS */
export function lastLine(tally, tookS) {
  const { simulatedMs, releases, faults, seeds, pairs, names, forks, events } = tally;
  const hours = simulatedMs / 3_600_000;
  const counts = [...pairs.values()];
  const all = names.faults.length * names.states.length;
  const twice = names.forks.map((why) => `${why} ${forks.get(why) ?? 0}`).join(', ');
  return [
    `${(hours / tookS).toFixed(2)} simulated hours per second`,
    `${hours.toFixed(1)} hours of ${seeds} seed${seeds === 1 ? '' : 's'} in ${tookS.toFixed(0)} s`,
    `${releases} releases`,
    `${faults} faults in ${counts.length} of ${all} pairs of fault and state, the rarest ${Math.min(...counts, Number.MAX_SAFE_INTEGER) % Number.MAX_SAFE_INTEGER} times`,
    ...names.events.map((event) => `${event} ${events.get(event) ?? 0}`),
    `numbers given twice: ${twice}`,
  ].join('; ');
}
