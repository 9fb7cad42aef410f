/** Files of CURVE keys: the keys are those ZeroMQ itself makes, and what is wrong with a file is said. */

import { chmodSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { curveKeyPair } from 'zeromq';
import { EndpointError } from '../src/channel/endpoint.ts';
import {
  curveKeyPairOf,
  curvePeerKeys,
  newCurveKeyPair,
  openCurveKeyPair,
  readCurveKeyPair,
} from '../src/zeromq/curve-key.ts';

/** The example of RFC 32's siblings, curve_keypair(3): these two belong together. */
const PUBLIC = 'Yne@$w-vo<fVvi]a<NY6T1ed:M$fCG*[IaLV{hID';
const SECRET = 'D:)Q[IlAW!ahhC2ac:9*A}h:p?([4%wOTJ%JR%cs';

let directory: string;
beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), 'curve-key-'));
});
afterAll(() => rmSync(directory, { recursive: true, force: true }));

function write(name: string, text: string, mode = 0o600): string {
  const path = join(directory, name);
  writeFileSync(path, text, { mode });
  chmodSync(path, mode);
  return path;
}

describe('a pair', () => {
  it('has the public key that ZeroMQ derives from the secret one', () => {
    expect(curveKeyPairOf(SECRET)).toEqual({ publicKey: PUBLIC, secretKey: SECRET });
    for (let i = 0; i < 20; i++) {
      const pair = curveKeyPair();
      expect(curveKeyPairOf(pair.secretKey)).toEqual(pair);
    }
  });

  it('is another each time, of 40 characters each', () => {
    const pairs = [newCurveKeyPair(), newCurveKeyPair()];
    expect(new Set(pairs.flatMap(({ publicKey, secretKey }) => [publicKey, secretKey])).size).toBe(4);
    for (const pair of pairs) {
      expect(pair.secretKey).toHaveLength(40);
      expect(curveKeyPairOf(pair.secretKey)).toEqual(pair);
    }
  });
});

describe('a file', () => {
  it('is made for its owner alone, and found the next time', () => {
    const path = join(directory, 'new.key');
    const pair = openCurveKeyPair(path);
    expect(statSync(path).mode & 0o777).toBe(0o600);
    expect(openCurveKeyPair(path)).toEqual(pair);
    expect(readCurveKeyPair(path)).toEqual(pair);
    expect(readFileSync(path, 'utf8').split('\n')[2]).toBe(pair.secretKey);
  });

  it('of public keys holds one a line, with remarks', () => {
    const path = write(
      'peers',
      `# firewalls\n\n${PUBLIC} sys-firewall\n  ${SECRET}\n#${PUBLIC.slice(1)}\n`,
      0o644,
    );
    expect(curvePeerKeys(path)).toEqual([PUBLIC, SECRET]);
    expect(curvePeerKeys(PUBLIC)).toEqual([PUBLIC]);
  });

  it.each([
    [
      'that is not there',
      () => curvePeerKeys(join(directory, 'none')),
      'is neither a key nor a file that can be read: check the path',
    ],
    ['without a key', () => curvePeerKeys(write('empty', '# nothing\n')), 'holds no key'],
    [
      'with a line that is no key',
      () => curvePeerKeys(write('bad', `${PUBLIC}\n${SECRET}x\n`)),
      'bad, line 2,',
    ],
    ['with two secret keys', () => readCurveKeyPair(write('two', `${SECRET}\n${SECRET}\n`)), 'holds 2 keys'],
    ['that others may read', () => readCurveKeyPair(write('open', SECRET, 0o640)), 'chmod 600'],
    [
      'that cannot be made',
      () => openCurveKeyPair(join(directory, 'no', 'key')),
      'cannot be written: check the path',
    ],
  ])('%s is refused, and no key is shown', (_what, run, text) => {
    let message = '';
    try {
      run();
    } catch (error) {
      expect(error).toBeInstanceOf(EndpointError);
      message = error instanceof Error ? error.message : '';
    }
    expect(message).toContain(text);
    expect(message).not.toContain(SECRET.slice(0, 10));
  });
});
