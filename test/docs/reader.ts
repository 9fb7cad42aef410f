/**
 * What a reader of the documents has before a block: a sandbox, daemons, a configuration. A sandbox is
 * closed after its test; where that fails, all that daemons said is printed.
 */

import { afterAll, afterEach, beforeAll, expect } from 'vitest';
import { blockText } from './blocks.ts';
import { type FeedProxy, openFeedProxy } from './feeds.ts';
import { Sandbox } from './sandbox.ts';

const FROM_CHECKOUT = blockText('docs/how-to/from-checkout.md#Run it from the checkout');
const PATH = /^export PATH=.*$/m.exec(FROM_CHECKOUT)?.[0] ?? '';

let feeds: FeedProxy;
let sandbox: Sandbox | undefined;

beforeAll(async () => {
  feeds = await openFeedProxy();
});

afterEach(async ({ task }) => {
  if (task.result?.state === 'fail') console.log(sandbox?.said());
  await sandbox?.close();
  sandbox = undefined;
});

afterAll(() => feeds.close());

/** A new sandbox without the commands on its path, and without feeds. */
export function bare(): Sandbox {
  sandbox = new Sandbox();
  return sandbox;
}

/** A new sandbox with the commands on its path, closed after the test. */
export async function fresh(): Promise<Sandbox> {
  sandbox = new Sandbox(feeds.environment);
  await sandbox.run(PATH);
  return sandbox;
}

/** A sandbox in which publisher and subscriber run, as from the checkout. */
export async function withDaemons(): Promise<Sandbox> {
  const box = await fresh();
  await box.run(FROM_CHECKOUT);
  return box;
}

/** A sandbox whose `publisher.yaml` is a block, beside the files that it names. */
export async function withConfiguration(text: string): Promise<Sandbox> {
  const box = await fresh();
  box.write('publisher.yaml', text);
  box.write('lists/office.txt', '198.51.100.0/24\n');
  box.write('allowed.txt', '198.51.100.7\n');
  box.write('incidents/today.txt', '203.0.113.9\n');
  box.write('incidents.txt', '203.0.113.9\n');
  box.write('us.netset', '6.0.0.0/7\n64.0.0.0/2\n'); // short, and more than a quarter of IPv4
  return box;
}

/** A sandbox whose publisher has a depot, and a release in it. */
export async function withDepot(text: string): Promise<Sandbox> {
  const box = await withConfiguration(text);
  await box.run('rulectl check publisher.yaml');
  await box.run('rulecast-publisher --config publisher.yaml --state ./publisher');
  await box.run('rulectl push --no-wait examples/firewall.yaml');
  return box;
}

/** The configuration is sound, and a publisher makes the first release of its lists from it. */
export async function expectReleased(
  text: string,
  files: Readonly<Record<string, string>> = {},
): Promise<void> {
  const box = await withConfiguration(text);
  for (const [name, content] of Object.entries(files)) box.write(name, content);
  await box.run('rulectl check publisher.yaml');
  await box.run('rulecast-publisher --config publisher.yaml --state ./publisher');
  await box.logged(({ msg }) => msg === 'released');
  await box.run('rulectl lists refresh');
  expect(box.errors()).toEqual([]);
}
