/**
 * The refusals of guards that a request may permit, by code: `rulectl push --permit CODE,…`. A code overrides
 * the refusals of that code and no other. Help and messages are made from this table, and
 * docs/reference/guards.md repeats it.
 */

/** The requests that can permit a refusal. A rollback counts as a push. */
export type Permitting = 'push' | 'refresh';

interface Permit {
  readonly by: Permitting | 'both';
  /** The effect of a mistake; `either`: a list may block or admit; `holds`: a firewall stays behind. */
  readonly severity: 'opens' | 'closes' | 'either' | 'holds';
  /** For help: what is released all the same. */
  readonly takes: string;
}

function permit(by: Permit['by'], severity: Permit['severity'], takes: string): Permit {
  return { by, severity, takes };
}

export const PERMITS = {
  empty: permit('push', 'either', 'a list that becomes empty, or is new and empty'),
  shrunk: permit(
    'both',
    'either',
    'a list that loses most of its entries, or a policy most of its drop rules',
  ),
  grown: permit('both', 'either', 'a list that gains more than half as many entries as it has'),
  'covers-too-much': permit('both', 'either', 'a list that covers much of the address space'),
  'coverage-changed': permit('both', 'either', 'a list that covers much more, or less, than it did'),
  'all-addresses': permit('both', 'either', 'a list that holds every address of IPv4 or of IPv6'),
  'kind-changed': permit('both', 'either', 'a list that changes from addresses to names, or back'),
  wider: permit('both', 'opens', 'an accepted list whose entries match more names than before'),
  'short-prefix': permit('refresh', 'either', 'a list with CIDRs shorter than /8, or /16 of IPv6'),
  'too-few-entries': permit('refresh', 'either', 'a list below its min-entries'),
  'too-many-entries': permit('refresh', 'either', 'a list above its max-entries'),
  implausible: permit('refresh', 'either', 'a first download that looks like an error page'),
  flapping: permit('refresh', 'either', 'a list that goes back and forth, now'),
  'accept-all': permit('push', 'opens', 'a release that newly accepts half of IPv4 or of IPv6'),
  'drop-all': permit('push', 'closes', 'policies that accept nothing any more; --yes permits it, too'),
  'no-policy': permit('push', 'either', 'a rule set without policies that says unmatched: drop or accept'),
  unreachable: permit('push', 'closes', 'a release that drops what must-reach: names'),
  unresolved: permit('push', 'opens', 'drop rules that match nothing: their names do not resolve'),
  'needs-names': permit('push', 'holds', 'a release that needs rulecast-dns, which a firewall does not run'),
  'needs-openings': permit('push', 'holds', 'a release that opens by name, which a firewall cannot do'),
  'needs-upgrade': permit('push', 'holds', 'a release that a firewall is too old for'),
} satisfies Readonly<Record<string, Permit>>;
export type PermitCode = keyof typeof PERMITS;

/** Codes of a request as they came; one that is not in PERMITS opens nothing. */
export type Permits = ReadonlySet<string>;
export const NO_PERMITS: Permits = new Set();

export function isPermitCode(code: string): code is PermitCode {
  return Object.hasOwn(PERMITS, code);
}

/** The codes that a kind of request can permit. */
export function permitCodes(by: Permitting): readonly PermitCode[] {
  const codes = Object.keys(PERMITS).filter(isPermitCode);
  return codes.filter((code) => [by, 'both'].includes(PERMITS[code].by));
}

/**
 * Until 0.4: the codes that each field of 0.2 permits (`allowShrink`), and the option of that name
 * (`--allow-shrink`). A request ignores those of its codes that it cannot permit.
 */
const OLD_PERMITS = {
  allowEmpty: ['empty'],
  allowShrink: ['shrunk'],
  allowGrowth: ['grown'],
  allowCoverage: ['covers-too-much', 'coverage-changed', 'short-prefix'],
  allowAll: ['all-addresses', 'short-prefix'],
  allowKind: ['kind-changed'],
  allowWider: ['wider'],
  allowAcceptAll: ['accept-all'],
  allowDropAll: ['drop-all'],
  allowNoPolicy: ['no-policy'],
  allowUnreachable: ['unreachable'],
  allowUnresolved: ['unresolved'],
  '+allowUnsupported': ['needs-names', 'needs-openings', 'needs-upgrade'],
  force: permitCodes('refresh'),
} as const satisfies Readonly<Record<string, readonly PermitCode[]>>;

type OldField = keyof typeof OLD_PERMITS;
/** The fields of a request that permit something; of the old ones only `true` does. */
type RequestFields = { readonly [F in OldField]?: boolean | undefined } & {
  readonly '+permit'?: readonly string[] | undefined;
};
type PermitFields = { readonly [F in OldField]?: true } & { readonly '+permit'?: readonly string[] };

/** The old fields of a kind of request, and the codes that each permits. */
export function oldPermits(by: Permitting): ReadonlyMap<OldField, readonly PermitCode[]> {
  const codes = permitCodes(by);
  const rows = Object.entries(OLD_PERMITS) as [OldField, readonly PermitCode[]][]; // as declared
  const own = rows.filter(([field]) => by === 'refresh' || field !== 'force');
  return new Map(own.map(([field, opened]) => [field, opened.filter((code) => codes.includes(code))]));
}

/** The codes that a request permits. */
export function permitsOf(by: Permitting, request: RequestFields): Permits {
  const old = [...oldPermits(by)].filter(([field]) => request[field] === true);
  return new Set([...(request['+permit'] ?? []), ...old.flatMap(([, codes]) => codes)]);
}

/**
 * The fields that permit these codes. A publisher of 0.2 does not know `+permit` and reads the old fields: it
 * gets those that permit no other code.
 */
export function permitFields(by: Permitting, permits: Permits): PermitFields {
  if (permits.size === 0) return {};
  const old = [...oldPermits(by)].filter(
    ([, codes]) => codes.length > 0 && codes.every((code) => permits.has(code)),
  );
  return { '+permit': [...permits], ...Object.fromEntries(old.map(([field]) => [field, true])) };
}

/** For people: codes that no guard needed. `drop-all` is not among them: `--yes` always sends it. */
export function unneededPermits(permits: Permits, needed: readonly string[]): string | undefined {
  const codes = [...permits].filter((code) => code !== 'drop-all' && !needed.includes(code));
  return codes.length === 0 ? undefined : `nothing needed --permit ${codes.join(',')}`;
}
