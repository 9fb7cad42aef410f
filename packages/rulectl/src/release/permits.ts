/**
 * What guards of the publisher refuse of a push or a rollback, and the options that take it: each opens the
 * guard of its own name and no other.
 */

import type { MessageOf } from '@rulecast/protocol';
import type { Argv } from 'yargs';

const PERMITS = {
  'allow-empty': 'take a list of which nothing is left, or that is new and empty',
  'allow-shrink': 'take a list that loses more than half of its entries, or a policy of its drop rules',
  'allow-growth': 'take a list that gains more than half as many entries as it has',
  'allow-coverage': 'take a list that covers more of the address space, or whose coverage changes more',
  'allow-all': 'take a list that holds every address of IPv4 or of IPv6',
  'allow-kind': 'take names in place of addresses, or addresses in place of names',
  'allow-wider': 'take a list that rules accept although entries stand for more names than before',
  'allow-accept-all': 'take what comes to accept half of IPv4 or IPv6, or more',
  'allow-no-policy': 'take a rule set that has no policies any more, and says unmatched: drop or accept',
  'allow-unreachable': 'take a release that drops what must-reach: of the configuration names',
  'allow-unresolved': 'take drop rules that match nothing, for their names do not resolve',
  'allow-unsupported': 'take a release that a firewall cannot take, which then keeps what it has',
} as const;
type Permit = keyof typeof PERMITS;

/** The permit that is asked for, and that `--yes` gives. */
export const DROP_ALL = 'drop-all';

export type PermitArgs = { readonly [P in Permit]?: boolean | undefined };
type PermitFields = Pick<
  MessageOf<'push'>,
  | 'allowEmpty'
  | 'allowShrink'
  | 'allowGrowth'
  | 'allowCoverage'
  | 'allowAll'
  | 'allowKind'
  | 'allowWider'
  | 'allowAcceptAll'
  | 'allowNoPolicy'
  | 'allowUnreachable'
  | 'allowUnresolved'
  | '+allowUnsupported'
>;

/** Adds the options. */
export function withPermitOptions<A>(yargs: Argv<A>): Argv<A & PermitArgs> {
  const option = (permit: Permit) => ({ type: 'boolean', describe: PERMITS[permit] }) as const;
  return yargs
    .option('allow-empty', option('allow-empty'))
    .option('allow-shrink', option('allow-shrink'))
    .option('allow-growth', option('allow-growth'))
    .option('allow-coverage', option('allow-coverage'))
    .option('allow-all', option('allow-all'))
    .option('allow-kind', option('allow-kind'))
    .option('allow-wider', option('allow-wider'))
    .option('allow-accept-all', option('allow-accept-all'))
    .option('allow-no-policy', option('allow-no-policy'))
    .option('allow-unreachable', option('allow-unreachable'))
    .option('allow-unresolved', option('allow-unresolved'))
    .option('allow-unsupported', option('allow-unsupported'));
}

/** What PUSH and ROLLBACK say of it; a field that opens nothing is left out. */
export function permitFieldsOf(args: PermitArgs): PermitFields {
  const isGiven = (permit: Permit): true | undefined => (args[permit] === true ? true : undefined);
  return {
    allowEmpty: isGiven('allow-empty'),
    allowShrink: isGiven('allow-shrink'),
    allowGrowth: isGiven('allow-growth'),
    allowCoverage: isGiven('allow-coverage'),
    allowAll: isGiven('allow-all'),
    allowKind: isGiven('allow-kind'),
    allowWider: isGiven('allow-wider'),
    allowAcceptAll: isGiven('allow-accept-all'),
    allowNoPolicy: isGiven('allow-no-policy'),
    allowUnreachable: isGiven('allow-unreachable'),
    allowUnresolved: isGiven('allow-unresolved'),
    '+allowUnsupported': isGiven('allow-unsupported'),
  };
}
