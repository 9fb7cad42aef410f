/**
 * For bundles: how wide text is on a screen is asked of plain text nearly always, and the library that knows
 * it of any text takes a sixth of a command's time to read its table of emoji. So it is read when something
 * else comes.
 */

/** Printable ASCII, which is as wide as it is long. */
const PLAIN = '/^[ -~]*$/';
/** Colours, which have no width. */
const COLOURS = String.raw`/\u001b\[\d*m/g`;

/** @type {import('esbuild').Plugin} */
export const plainWidth = {
  name: 'plain-width',
  setup(building) {
    building.onResolve({ filter: /^string-width$/ }, ({ kind }) =>
      kind === 'import-statement' ? { path: 'string-width', namespace: 'plain-width' } : undefined,
    );
    building.onLoad({ filter: /.*/, namespace: 'plain-width' }, () => ({
      contents: `export default function plainWidth(text, options) {
        const shown = typeof text === 'string' ? text.replace(${COLOURS}, '') : '\\n';
        if (options === undefined && ${PLAIN}.test(shown)) return shown.length;
        return require('string-width').default(text, options);
      }`,
      resolveDir: import.meta.dirname,
    }));
  },
};
