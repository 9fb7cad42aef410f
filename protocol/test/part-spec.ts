/** From the texts of test vectors to parts and rule sets. */

import { nameListOf, type Policy, prefixListOf, type RuleSet } from '@rulecast/rules';
import { prefixSetFrom, runsFrom } from '../../test/kit/rules.ts';
import { type Part, PartKind, partOfList } from '../src/content/part.ts';
import type { PartSpec } from './slow-encoder.ts';

export function bytesOfHex(hex: string): Uint8Array {
  return Uint8Array.from(Buffer.from(hex.replaceAll(' ', ''), 'hex'));
}

export function hexOf(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('hex');
}

export function partOf(spec: PartSpec): Part {
  switch (spec.kind) {
    case 'list':
      return partOfList(spec.name, prefixListOf(prefixSetFrom(spec.prefixes)));
    case 'names':
      return partOfList(spec.name, nameListOf(spec.names, spec.resolve, spec.exceptions));
    case 'policy': {
      const policy: Policy = {
        name: spec.name,
        prefixes: prefixSetFrom(spec.prefixes),
        defaultAction: spec.defaultAction,
        ...(spec.blocked && { blocked: spec.blocked }),
        ...(spec.unlisted && { unlisted: spec.unlisted }),
        exceptions: {
          egress: runsFrom('egress', spec.exceptions?.egress ?? []),
          ingress: runsFrom('ingress', spec.exceptions?.ingress ?? []),
        },
        egress: runsFrom('egress', spec.egress),
        ingress: runsFrom('ingress', spec.ingress),
      };
      return { kind: PartKind.policy, name: spec.name, policy };
    }
    case 'resolutions': {
      const entries = Object.entries(spec.names).map(
        ([name, texts]) => [name, prefixSetFrom(texts)] as const,
      );
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
