/** What `rulectl` is told while the publisher starts, and how long nothing else gets a turn meanwhile. */

import type { Message } from '@rulecast/protocol';
import { parseEndpoint } from '@rulecast/vchan';
import { expect, it, onTestFinished } from 'vitest';
import { temporaryDirectory } from '../../../test/kit/directory.ts';
import type { House } from '../src/control/parts.ts';
import { serveRequests } from '../src/requests/serve.ts';
import { openState } from '../src/store/state.ts';
import { freshPublisher, release } from './fresh-publisher.ts';
import { recordsOf, ScriptedRulectl } from './scripted-rulectl.ts';

const STATUS: Message = { kind: 'status', watch: false };

it('STATUS is told that it starts, and other requests wait for it', async () => {
  const publisher = freshPublisher();
  await release(publisher, { 'a.txt': '192.0.2.1\n' });
  let open: (house: House) => void = () => undefined;
  const opening = new Promise<House>((resolve) => {
    open = resolve;
  });
  const control = parseEndpoint('memory:starting?buffer=64KiB');
  const served = await serveRequests(publisher, [control], opening, {});
  onTestFinished(() => served.close());
  const send = async (request: Message): Promise<ScriptedRulectl> => {
    const rulectl = await ScriptedRulectl.connect(control);
    await rulectl.send(request);
    return rulectl;
  };
  const waiting = await send({ kind: 'lists', sourcesOnly: false });
  const early = await (await send(STATUS)).answer();
  expect(early.end).toMatchObject({
    kind: 'fail',
    code: 'not-ready',
    text: 'the publisher is starting: it reads its store',
  });
  expect(early.records).toEqual([]);
  open({ publisher, ask: () => Promise.reject(new Error('nobody is asked')) });
  expect(recordsOf(await waiting.answer(), 'list')).toMatchObject([{ name: 'a' }]);
  expect((await (await send(STATUS)).answer()).end).toMatchObject({ kind: 'done' });
});

it('the store is read in pieces, between which others have their turn, and says the same', async () => {
  const stateDirectory = temporaryDirectory();
  const first = freshPublisher({ stateDirectory });
  const names = Array.from({ length: 4000 }, (_, i) => `h${i}`);
  const files = Array.from({ length: 100 }, (_, list) => [
    `l${list}.txt`,
    names.map((name) => `${name}.l${list}.example\n`).join(''),
  ]);
  const { hash } = await release(first, Object.fromEntries(files));
  await first.close();
  const { store, identity } = openState({ stateDirectory }, 0);
  onTestFinished(() => store.close());
  const pieces = store.loadPieces(identity);
  let turns = 0;
  let piece = pieces.next();
  for (; piece.done !== true; piece = pieces.next()) turns++;
  expect(turns).toBeGreaterThan(10);
  expect(piece.value?.hash).toEqual(hash);
});
