/** For each part of the head, the version that gave it its content. */

import { type Catalogue, comparePartIds, type PartId } from '@rulecast/protocol';
import type { ReleaseKey } from './stored.ts';

export class PartVersions {
  /** The catalogue of the head. */
  readonly catalogue: Catalogue | undefined;
  /** In the catalogue's order. */
  readonly versions: Float64Array;

  constructor(catalogue?: Catalogue, versions: Float64Array = new Float64Array()) {
    this.catalogue = catalogue;
    this.versions = versions;
  }

  /** Undefined for a part that is not there. */
  of(part: PartId): number | undefined {
    const records = this.catalogue?.records ?? [];
    let [low, high] = [0, records.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (comparePartIds(records[middle]!, part) < 0)
        low = middle + 1; // middle < length
      else high = middle;
    }
    const isThere = low < records.length && comparePartIds(records[low]!, part) === 0; // low < length
    return isThere ? this.versions[low] : undefined;
  }

  /**
   * The versions for the next release: its own for parts that it changes or adds, and for all parts of a new
   * epoch.
   */
  next(catalogue: Catalogue, [epoch, version]: ReleaseKey, head: ReleaseKey | undefined): PartVersions {
    const old = head?.[0] === epoch ? (this.catalogue?.records ?? []) : [];
    let at = 0;
    const versions = Float64Array.from(catalogue.records, (record) => {
      while (at < old.length && comparePartIds(old[at]!, record) < 0) at++; // at < length
      const was = old[at];
      const isSame =
        was !== undefined &&
        comparePartIds(was, record) === 0 &&
        Buffer.compare(was.digest, record.digest) === 0;
      return isSame ? (this.versions[at] ?? version) : version;
    });
    return new PartVersions(catalogue, versions);
  }
}
