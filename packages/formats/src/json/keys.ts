/**
 * Keys under which JSON of no known kind holds an array of entries: what tells it to be a list, and where it
 * is read.
 */
export const ARRAY_KEYS: ReadonlySet<string> = new Set(
  ['addresses', 'ipv6_addresses', 'entries', 'prefixes', 'cidrs', 'networks', 'ips', 'ipv4', 'ipv6'].concat([
    'domains',
    'hosts',
    'names',
    'list',
    'data',
    'items',
    'results',
  ]),
);
