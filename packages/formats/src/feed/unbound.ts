/**
 * Configurations of Unbound (unbound.conf(5)) that block names:
 *
 *     local-zone: "name" type
 *
 * A type that refuses holds for the name and all below it; `transparent` and its like are exceptions, and the
 * nearest zone decides. Zones with data redirect their names, and are skipped.
 */

import { KeyByte } from '@rulecast/rules';
import type { Collector } from '../collect/collector.ts';
import { HASH } from '../text/ascii.ts';
import { latin1, quoteBytes } from '../text/bytes.ts';
import { eachLine } from '../text/lines.ts';

const ZONE = /^local-zone:\s*"?([^"\s]+)"?\s+"?([a-z_]+)"?\s*(?:#.*)?$/;
const SETTING = /^[a-z][a-z0-9-]*:/;
const REFUSING: ReadonlySet<string> = new Set(
  ['deny', 'refuse', 'static', 'inform_deny', 'always_refuse', 'always_nxdomain'].concat([
    'always_nodata',
    'always_null',
    'always_deny',
  ]),
);

export function importUnbound(collector: Collector, start: number): void {
  const { bytes } = collector;
  eachLine(collector, start, (from, end) => {
    const text = latin1(bytes, from, end);
    const [, name, type] = ZONE.exec(text) ?? [];
    if (bytes[from] === HASH) collector.skip('comment');
    else if (name !== undefined && type !== undefined) {
      const at = from + text.indexOf(name, 'local-zone:'.length);
      if (REFUSING.has(type)) collector.name(bytes, at, at + name.length, KeyByte.both);
      else if (type.endsWith('transparent')) collector.exception(bytes, at, at + name.length, KeyByte.both);
      else collector.skip('redirect');
    } else if (SETTING.test(text) && !text.startsWith('local-zone:')) collector.skip('directive');
    else {
      const reason = `${quoteBytes(bytes, from, end)} is no setting of Unbound: write local-zone: "name" always_nxdomain`;
      collector.reject(from, 'bad-unbound-line', reason);
    }
  });
}
