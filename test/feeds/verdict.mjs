/** What a look at a feed says of its entry in the catalogue. Pure. */

/**
 * @typedef {{
 *   readonly key: string,
 *   readonly url: readonly string[],
 *   readonly holds: string,
 *   readonly format: string,
 *   readonly status: string,
 * }} Entry
 * @typedef {Readonly<Record<string, unknown>>} Printed
 */

/**
 * @param {Entry} entry
 * @param {readonly Printed[]} tried what `rulectl lists try KEY` printed; nothing for a table
 * @param {readonly Printed[]} guessed what it printed of the URLs, without a format, if `tried` read nothing
 * @returns {{ readonly what: 'good' | 'moved' | 'shrank' | 'grew' | 'format' | 'refused' | 'nothing', readonly text: string }}
 */
export function verdictOf(entry, tried, guessed) {
  const records = [...tried, ...guessed].filter(({ kind }) => kind === 'tried');
  const [record] = records;
  if (record === undefined) return { what: 'nothing', text: reasonOf([...guessed, ...tried]) };
  const formats = records.flatMap((each) => listOf(each['formats']));
  const other = formats.find((format) => format !== entry.format);
  if (other !== undefined) return { what: 'format', text: `is ${other}, and not ${entry.format}` };
  const size = `${record['entries']} entries`;
  const code = codeOf(tried);
  if (code === 'too-few-entries' || code === 'empty') return { what: 'shrank', text: reasonOf(tried) };
  if (code === 'too-many-entries') return { what: 'grew', text: reasonOf(tried) };
  if (code !== undefined && code !== 'good') return { what: 'refused', text: reasonOf(tried) };
  const moved = records.flatMap((each) => listOf(each['notes'])).find((note) => note.includes(' leads to '));
  return moved === undefined ? { what: 'good', text: size } : { what: 'moved', text: moved };
}

/** @param {unknown} value @returns {readonly string[]} */
function listOf(value) {
  return Array.isArray(value) ? value : [];
}

/** The code of the end. @param {readonly Printed[]} records */
function codeOf(records) {
  return records.find(({ kind }) => kind === 'end')?.['code'];
}

/** @param {readonly Printed[]} records */
function reasonOf(records) {
  const end = records.find(({ kind }) => kind === 'error' || kind === 'end');
  return end === undefined ? 'it took too long' : `${end['code']}: ${end['message'] ?? end['text']}`;
}
