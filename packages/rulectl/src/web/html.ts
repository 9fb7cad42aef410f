/**
 * HTML, safe by default: a value in a template is escaped as text, unless it is HTML from another template.
 * Attributes are always in quotes. Pure.
 */

/** Only `html` makes it, so that no text that came from elsewhere can pass for it. */
export class Html {
  readonly text: string;

  constructor(text: string) {
    this.text = text;
  }
}

export type Piece = Html | string | number | undefined | readonly Piece[];

const ESCAPES: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&#39;',
};

export function html(texts: TemplateStringsArray, ...pieces: readonly Piece[]): Html {
  return new Html(texts.reduce((all, text, i) => `${all}${textOf(pieces[i - 1])}${text}`));
}

function textOf(piece: Piece): string {
  if (piece === undefined) return '';
  if (piece instanceof Html) return piece.text;
  if (typeof piece === 'string') return escaped(piece);
  return typeof piece === 'number' ? String(piece) : piece.map(textOf).join('');
}

/** Also replaces characters that change the order of text or hide it. */
function escaped(text: string): string {
  return text
    .replace(/(?![\n\t])[\p{Cc}\p{Cf}\p{Cs}]/gu, '\u{fffd}')
    .replace(/[&<>"']/g, (mark) => ESCAPES[mark] ?? '');
}
