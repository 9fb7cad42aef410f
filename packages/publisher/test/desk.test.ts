/** What becomes of a request at the release desk, by a whole publisher: what is asked, stored and told. */

import { describe, expect, it } from 'vitest';
import type { Publisher } from '../src/release/publisher.ts';
import type { PushOptions, ReleaseStage } from '../src/release/request.ts';
import { freshPublisher, pushOf, release } from './fresh-publisher.ts';

const LIST = { 'a.txt': '192.0.2.1\n192.0.2.2\n' };
const OTHER = { 'a.txt': '192.0.2.1\n192.0.2.3\n' };
const EMPTY = { 'a.txt': '' };
const SHRUNK = { permits: new Set(['empty']) };
const PROVED = { hash: new Uint8Array(32), epoch: 1, version: 9 };

/** What was pushed as `files`: its outcome, the stages in the turn, and whether there is a new head. */
async function outcomeOf(
  publisher: Publisher,
  files: Readonly<Record<string, string>>,
  options: PushOptions,
): Promise<readonly [kind: string, stages: string, isReleased: boolean]> {
  const { head } = publisher;
  const stages: ReleaseStage[] = [];
  const onStage = (stage: ReleaseStage): unknown => stages.push(stage);
  const outcome = await publisher.push(pushOf(files), { ...options, onStage });
  expect(stages.slice(0, 3)).toEqual(['reading', 'names', 'turn']);
  return [outcome.kind, stages.slice(3).join(' '), publisher.head !== head];
}

describe('a request', () => {
  it.each<[string, Readonly<Record<string, string>>, PushOptions, string, string, boolean]>([
    ['what changes', OTHER, {}, 'released', 'draft judge store', true],
    ['what says the same', LIST, {}, 'unchanged', 'draft', false],
    ['what says the same in a new epoch', LIST, { asNewEpoch: true }, 'released', 'draft store', true],
    ['a dry run', OTHER, { dryRun: true }, 'planned', 'draft judge', false],
    ['a dry run of what says the same', LIST, { dryRun: true }, 'planned', 'draft', false],
    ['what a guard refuses', EMPTY, {}, 'guarded', 'draft judge', false],
    ['what a guard refuses, in a dry run', EMPTY, { dryRun: true }, 'guarded', 'draft judge', false],
    ['what a guard refuses, in a new epoch', EMPTY, { asNewEpoch: true }, 'guarded', 'draft judge', false],
    ['what is permitted', EMPTY, SHRUNK, 'released', 'draft judge store', true],
    ['what is permitted, in a dry run', EMPTY, { ...SHRUNK, dryRun: true }, 'planned', 'draft judge', false],
    ['what another permit is for', EMPTY, { permits: new Set(['grown']) }, 'guarded', 'draft judge', false],
  ])('about %s', async (_, files, options, kind, stages, isReleased) => {
    const publisher = freshPublisher();
    await release(publisher, LIST);
    expect(await outcomeOf(publisher, files, options)).toEqual([kind, stages, isReleased]);
  });

  it('while the publisher is behind is refused before a draft, unless it opens an epoch', async () => {
    const publisher = freshPublisher();
    await release(publisher, LIST);
    await publisher.proved(PROVED, 'fw');
    const stages: string[] = [];
    const refused = publisher.push(pushOf(OTHER), { onStage: (stage) => void stages.push(stage) });
    await expect(refused).rejects.toMatchObject({ code: 'publisher-behind' });
    expect(stages).not.toContain('draft');
    expect(await outcomeOf(publisher, LIST, { asNewEpoch: true, dryRun: true })).toEqual([
      'planned',
      'draft',
      false,
    ]);
    expect(await outcomeOf(publisher, LIST, { asNewEpoch: true })).toEqual(['released', 'draft store', true]);
    expect(publisher.head?.manifest).toMatchObject({ epoch: 2, version: 2 });
    expect(publisher.behind).toBeUndefined();
  });

  it('that fails in its draft, a guard or the store changes nothing', async () => {
    const publisher = freshPublisher();
    await release(publisher, LIST);
    const { head } = publisher;
    const failing = (stage: ReleaseStage) => ({
      onStage: (at: ReleaseStage): void => {
        if (at === stage) throw new Error(`it failed at ${stage}`);
      },
    });
    for (const stage of ['draft', 'judge', 'store'] as const) {
      await expect(publisher.push(pushOf(OTHER), failing(stage))).rejects.toThrow(`it failed at ${stage}`);
      expect(publisher.head).toBe(head);
    }
    expect(await outcomeOf(publisher, OTHER, {})).toEqual(['released', 'draft judge store', true]);
  });
});
