/**
 * The shape of a rule set document as a JSON schema. Every scalar is text here; see tree.ts.
 * Faults of meaning (addresses, rules, what goes with what) are document.ts's.
 */

const RULES = {
  type: ['array', 'object'],
  items: { type: 'string' },
  properties: { file: { type: 'string' } },
  required: ['file'],
  description: 'write a sequence of rules, or file: NAME',
  additionalProperties: false,
} as const;

const RULES_OF_BOTH = { egress: RULES, ingress: RULES } as const;

/** Of `private: true` in a list of other names. */
export const PRIVATE_MISPLACED =
  "private: is for names that the firewall's DNS knows: say resolve: firewall for this list, or leave it out";

/** The settings for names in a policy, for the firewall's own DNS. */
export const OF_NAMES = {
  blocked: { enum: ['nxdomain', 'refused', 'null'] },
  unlisted: { enum: ['answer', 'nxdomain'] },
} as const;

export const DOCUMENT_SCHEMA = {
  $schema: 'http://json-schema.org/draft-07/schema#',
  title: 'Rulecast rule set document',
  type: 'object',
  additionalProperties: false,
  properties: {
    lists: {
      type: 'object',
      additionalProperties: {
        type: 'object',
        additionalProperties: false,
        properties: {
          entries: { type: 'array', items: { type: 'string' } },
          names: { type: 'array', items: { type: 'string' } },
          exceptions: { type: 'array', items: { type: 'string' } },
          file: { type: 'string' },
          resolve: { enum: ['true', 'false', 'publisher', 'firewall'] },
          private: { enum: ['true', 'false'] },
          suffixes: { enum: ['as-names'] },
          subdomains: { enum: ['true', 'false'] },
          'allow-public-suffixes': { enum: ['true', 'false'] },
          'host-bits': { enum: ['reject', 'mask'] },
        },
      },
    },
    first: {
      type: 'object',
      additionalProperties: false,
      properties: RULES_OF_BOTH,
      description: 'write first: with egress: or ingress: below it, and rules that drop below that',
    },
    common: {
      type: 'object',
      additionalProperties: false,
      properties: {
        ...RULES_OF_BOTH,
        ...OF_NAMES,
        exceptions: {
          not: {},
          description:
            'common has no exceptions, since nothing comes before it: write them as its first rules',
        },
      },
    },
    policies: {
      type: 'object',
      additionalProperties: {
        type: 'object',
        additionalProperties: false,
        properties: {
          prefixes: { type: 'array', items: { type: 'string' } },
          default: { enum: ['accept', 'drop'] },
          ...RULES_OF_BOTH,
          ...OF_NAMES,
          exceptions: {
            type: 'object',
            additionalProperties: false,
            properties: RULES_OF_BOTH,
            description: 'write exceptions: with egress: or ingress: below it, and the rules below that',
          },
        },
      },
    },
    unmatched: { enum: ['drop', 'accept'] },
  },
} as const;
