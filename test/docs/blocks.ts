/** The code blocks of everything that people read in this repository. */

import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

export const ROOT = fileURLToPath(new URL('../../', import.meta.url));

export interface Block {
  /** `FILE#SECTION`, with `/N` behind it from the second one of its section on. */
  readonly name: string;
  /**
   * What stands behind the opening fence: `sh`, `yaml`, `js`, `text` for what is only to be looked at; ''
   * where nothing does.
   */
  readonly language: string;
  /** With the end of its last line. */
  readonly text: string;
}

/** All of them, file by file from top to bottom. */
export function allBlocks(): readonly Block[] {
  return markdownBelow('').flatMap((file) => blocksOf(file, readFileSync(join(ROOT, file), 'utf8')));
}

/** The text of one. */
export function blockText(name: string): string {
  const block = allBlocks().find((one) => one.name === name);
  if (block === undefined) throw new Error(`no document has the block ${name}`);
  return block.text;
}

function markdownBelow(directory: string): readonly string[] {
  const entries = readdirSync(join(ROOT, directory), { withFileTypes: true });
  return entries.flatMap((entry) => {
    const path = join(directory, entry.name);
    if (entry.isDirectory()) return /^(\.|node_modules$|dist$)/.test(entry.name) ? [] : markdownBelow(path);
    return entry.name.endsWith('.md') ? [path] : [];
  });
}

function blocksOf(file: string, markdown: string): readonly Block[] {
  const blocks: Block[] = [];
  let section = '';
  let inSection = 0;
  // Either a heading, or a fence with what is up to the one that closes it: a `#` within a block begins no
  // section.
  for (const match of markdown.matchAll(/^#+ (.+)$|^( *)```(\w*)\n([\s\S]*?)^\2```$/gm)) {
    const [, heading, , language = '', text = ''] = match;
    if (heading !== undefined) {
      section = heading;
      inSection = 0;
      continue;
    }
    inSection++;
    blocks.push({ name: `${file}#${section}${inSection > 1 ? `/${inSection}` : ''}`, language, text });
  }
  return blocks;
}
