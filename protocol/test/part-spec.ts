/** From the texts of test vectors to parts and rule sets. */

import {
  nameListOf,
  type Policy,
  type Prefix,
  type PrefixSet,
  parsePrefix,
  parseRule,
  prefixListOf,
  prefixSetOf,
  type RuleSet,
  RunBuilder,
  type Runs,
} from '@rulecast/rules';
import { type Part, PartKind, partOfList } from '../src/content/part.ts';
import type { PartSpec } from './slow-encoder.ts';

export function bytesOfHex(hex: string): Uint8Array {
  return Uint8Array.from(Buffer.from(hex.replaceAll(' ', ''), 'hex'));
}

export function hexOf(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('hex');
}

export function prefixes(texts: readonly string[]): PrefixSet {
  const parsed = texts.map((text): Prefix => {
    const prefix = parsePrefix(text);
    if (typeof prefix === 'string') throw new TypeError(`${text}: ${prefix}`);
    return prefix;
  });
  return prefixSetOf(parsed);
}

export function runs(lines: readonly string[], direction: 'egress' | 'ingress'): Runs {
  const builder = new RunBuilder();
  for (const line of lines) {
    const result = parseRule(line, direction, 0);
    if (result.kind !== 'rule') throw new TypeError(`${line}: ${result.reason}`);
    builder.push(result.rule);
  }
  return builder.build();
}

export function partOf(spec: PartSpec): Part {
  switch (spec.kind) {
    case 'list':
      return partOfList(spec.name, prefixListOf(prefixes(spec.prefixes)));
    case 'names':
      return partOfList(spec.name, nameListOf(spec.names, spec.resolve, spec.exceptions));
    case 'policy': {
      const policy: Policy = {
        name: spec.name,
        prefixes: prefixes(spec.prefixes),
        defaultAction: spec.defaultAction,
        ...(spec.blocked && { blocked: spec.blocked }),
        ...(spec.unlisted && { unlisted: spec.unlisted }),
        exceptions: {
          egress: runs(spec.exceptions?.egress ?? [], 'egress'),
          ingress: runs(spec.exceptions?.ingress ?? [], 'ingress'),
        },
        egress: runs(spec.egress, 'egress'),
        ingress: runs(spec.ingress, 'ingress'),
      };
      return { kind: PartKind.policy, name: spec.name, policy };
    }
    case 'resolutions': {
      const entries = Object.entries(spec.names).map(([name, texts]) => [name, prefixes(texts)] as const);
      return { kind: PartKind.resolutions, name: '', resolutions: new Map(entries) };
    }
    case 'unmatched':
      return { kind: PartKind.unmatched, name: '', unmatched: spec.action };
  }
}

export function ruleSetOf(specs: readonly PartSpec[]): RuleSet {
  return ruleSetOfParts(specs.map(partOf));
}

export function ruleSetOfParts(parts: readonly Part[]): RuleSet {
  const lists = new Map(parts.flatMap((part) => ('list' in part ? [[part.name, part.list] as const] : [])));
  const policies = new Map(
    parts.flatMap((part) => ('policy' in part ? [[part.name, part.policy] as const] : [])),
  );
  const resolutions = parts.find((part) => part.kind === PartKind.resolutions)?.resolutions ?? new Map();
  const unmatched = parts.find((part) => part.kind === PartKind.unmatched)?.unmatched;
  return { lists, policies, resolutions, unmatched };
}
