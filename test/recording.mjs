/**
 * The picture of README: what the demo prints, as a terminal shows it, on light and on dark ground.
 *
 *   npm run recording       runs the demo, and writes docs/images/demo-light.svg and demo-dark.svg
 *
 * Lines appear one after the other. A viewer without animations shows them all.
 */

import { spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { fileURLToPath, pathToFileURL } from 'node:url';

const ROOT = fileURLToPath(new URL('..', import.meta.url));
const DEMO = fileURLToPath(new URL('demo.mjs', import.meta.url));
/** The part that is shown: from the last ping before the first of these scenes to the end of the second. */
const SCENES = /** @type {const} */ (['── Why?', '── Push a changed list']);
const NEXT_SCENE = '\n\n── ';

/** Text, ground, dim, refused, passed, command; each is read well on its ground. */
const THEMES = {
  light: ['#1f2328', '#f6f8fa', '#59636e', '#b3261e', '#116329', '#0550ae'],
  dark: ['#e6edf3', '#161b22', '#9198a1', '#ff7b72', '#56d364', '#79c0ff'],
};

const FONT_PX = 13;
const COLUMN_PX = FONT_PX * 0.602; // of the widest of the usual fonts
const LINE_PX = 18;
const MARGIN_PX = 16;
const BEFORE_COMMAND_MS = 1200; // and before a heading
const BEFORE_LINE_MS = 120;

/** The coloured parts of a line; the first pattern that matches. */
const COLOURS = /** @type {const} */ ([
  ['dim', /^── .*/],
  ['command', /^\$ .*/],
  ['refused', /Packet filtered|(?<=: )drop$/],
  ['passed', /^64 bytes from .*|(?<=: )accept$|^in force at .*/],
]);

/**
 * The lines that the picture shows; throws if the demo sent no packets, or has other scenes.
 *
 * @param {string} transcript what the demo printed
 * @returns {readonly string[]}
 */
export function sceneOf(transcript) {
  const [first, second] = SCENES.map((heading) => transcript.indexOf(`\n${heading}`));
  const start = transcript.lastIndexOf('\n$ ping ', first) + 1;
  const end = transcript.indexOf(NEXT_SCENE, (second ?? -1) + NEXT_SCENE.length);
  if (start <= 0 || first === undefined || second === undefined || first < 0 || second < first || end < 0)
    throw new Error('the demo did not show a refused packet, why, and a push; see npm run demo');
  const text = transcript.slice(start, end).replace(/\/\S*\/(?=office\.txt)/, ''); // its folder is a temporary one
  return text.split('\n');
}

/**
 * @param {readonly string[]} lines
 * @param {keyof typeof THEMES} theme
 * @returns {string} SVG
 */
export function pictureOf(lines, theme) {
  const [text, ground, dim, refused, passed, command] = THEMES[theme];
  const width = Math.ceil(2 * MARGIN_PX + COLUMN_PX * Math.max(...lines.map((line) => line.length)));
  const height = 2 * MARGIN_PX + LINE_PX * lines.length;
  let delayMs = 0;
  const rows = lines.map((line, index) => {
    delayMs += /^(\$|──) /.test(line) ? BEFORE_COMMAND_MS : BEFORE_LINE_MS;
    const y = MARGIN_PX + LINE_PX * index + FONT_PX;
    return `<text x="${MARGIN_PX}" y="${y}" style="animation-delay:${delayMs}ms">${coloured(line)}</text>\n`;
  });
  return `<svg xmlns="http://www.w3.org/2000/svg" xml:space="preserve" viewBox="0 0 ${width} ${height}" width="${width}" height="${height}">
<title>A refused packet, why, a push, and it passes</title>
<style>
text { font: ${FONT_PX}px ui-monospace, SFMono-Regular, Menlo, Consolas, "DejaVu Sans Mono", monospace; white-space: pre; fill: ${text}; animation: show 1ms backwards }
.dim { fill: ${dim} } .refused { fill: ${refused} } .passed { fill: ${passed} } .command { fill: ${command} }
@keyframes show { from { opacity: 0 } }
@media (prefers-reduced-motion: reduce) { text { animation: none } }
</style>
<rect width="100%" height="100%" rx="6" fill="${ground}"/>
${rows.join('')}</svg>
`;
}

/** @type {(line: string) => string} */
function coloured(line) {
  for (const [name, pattern] of COLOURS) {
    const found = pattern.exec(line);
    if (found === null) continue;
    const [before, after] = [line.slice(0, found.index), line.slice(found.index + found[0].length)];
    return `${escaped(before)}<tspan class="${name}">${escaped(found[0])}</tspan>${escaped(after)}`;
  }
  return escaped(line);
}

/** @type {(text: string) => string} */
const escaped = (text) => text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');

if (process.argv[1] !== undefined && import.meta.url === pathToFileURL(process.argv[1]).href) {
  const { status, stdout } = spawnSync(process.execPath, [DEMO], {
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  if (status !== 0) throw new Error(`the demo ended with ${status}`);
  const lines = sceneOf(stdout);
  for (const theme of /** @type {const} */ (['light', 'dark']))
    writeFileSync(`${ROOT}docs/images/demo-${theme}.svg`, pictureOf(lines, theme));
}
