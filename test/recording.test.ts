/** The picture of README: what it takes from the demo, and how it draws that. */

import { readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { ROOT } from './docs/blocks.ts';
import { pictureOf, sceneOf } from './recording.mjs';

const TRANSCRIPT = `
── Push three real lists
$ rulectl push examples/firewall.yaml
$ ping -c 1 198.18.0.2    # in the qube
From 10.138.0.1 icmp_seq=1 Packet filtered

── Why? Asked of the live table in the firewall
$ rulectl test '10.137.0.5 > 198.18.0.2 icmp/8'
10.137.0.5 > 198.18.0.2 icmp/8: drop

── Push a changed list
$ rulectl push /tmp/rulecast-demo-7i0Yjg/office.txt
in force at 1 of 1 subscriber
$ ping -c 1 198.18.0.2    # in the qube
64 bytes from 198.18.0.2: icmp_seq=1

── Back to what was released first
`;

const LINES = [
  '$ ping -c 1 198.18.0.2    # in the qube',
  'From 10.138.0.1 icmp_seq=1 Packet filtered',
  '',
  '── Why? Asked of the live table in the firewall',
  "$ rulectl test '10.137.0.5 > 198.18.0.2 icmp/8'",
  '10.137.0.5 > 198.18.0.2 icmp/8: drop',
  '',
  '── Push a changed list',
  '$ rulectl push office.txt',
  'in force at 1 of 1 subscriber',
  '$ ping -c 1 198.18.0.2    # in the qube',
  '64 bytes from 198.18.0.2: icmp_seq=1',
];

describe('the recording', () => {
  it('shows a refused packet, why, a push, and a packet that passes', () => {
    expect(sceneOf(TRANSCRIPT)).toEqual(LINES);
  });

  it.each([
    ['no packets', TRANSCRIPT.replaceAll('$ ping', '$ pong')],
    ['no question why', TRANSCRIPT.replace('── Why?', '── What?')],
    ['no push', TRANSCRIPT.replace('── Push a changed list', '── Change')],
    ['no scene after the push', TRANSCRIPT.replace(/── Back.*/, '')],
  ])('refuses a demo with %s', (_, transcript) => {
    expect(() => sceneOf(transcript)).toThrow('npm run demo');
  });

  it('is text as a terminal shows it, line after line', () => {
    expect(pictureOf(LINES.slice(4, 7), 'light').split('\n').slice(-6)).toEqual([
      '<rect width="100%" height="100%" rx="6" fill="#f6f8fa"/>',
      `<text x="16" y="29" style="animation-delay:1200ms"><tspan class="command">$ rulectl test '10.137.0.5 &gt; 198.18.0.2 icmp/8'</tspan></text>`,
      '<text x="16" y="47" style="animation-delay:1320ms">10.137.0.5 &gt; 198.18.0.2 icmp/8: <tspan class="refused">drop</tspan></text>',
      '<text x="16" y="65" style="animation-delay:1440ms"></text>',
      '</svg>',
      '',
    ]);
  });

  it('is the same on light and on dark ground, but for the colours', () => {
    const withoutColours = (theme: 'light' | 'dark') => pictureOf(LINES, theme).replace(/#[0-9a-f]{6}/g, '');
    expect(withoutColours('light')).toBe(withoutColours('dark'));
    expect(pictureOf(LINES, 'light')).not.toBe(pictureOf(LINES, 'dark'));
  });

  it.each(['light', 'dark'])('is in README, small, with what is seen in words, for %s', (theme) => {
    const path = `docs/images/demo-${theme}.svg`;
    expect(statSync(join(ROOT, path)).size).toBeLessThan(60_000);
    const picture = /<picture>[\s\S]*?<\/picture>/.exec(readFileSync(join(ROOT, 'README.md'), 'utf8'))?.[0];
    expect(picture).toContain(`"${path}"`);
    expect(picture).toMatch(/ alt="[^"]*refused[^"]*push[^"]*"/);
  });
});
