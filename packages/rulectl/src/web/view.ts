/** The pages by path. */

import type { Model } from './model.ts';
import { askPage } from './pages/ask.ts';
import type { Page } from './pages/frame.ts';
import { listPage, listsPage } from './pages/lists.ts';
import { refusedPage } from './pages/refused.ts';
import { releasePage, releasesPage } from './pages/releases.ts';
import { statusPage } from './pages/status.ts';

/** The page at a path below the base, with its query; undefined if there is none. */
export async function view(model: Model, path: string, query: URLSearchParams): Promise<Page | undefined> {
  const [, list] = /^lists\/([^/]+)$/.exec(path) ?? [];
  if (list !== undefined) return listPage(model, list);
  const [, version] = /^releases\/([1-9]\d{0,14})$/.exec(path) ?? [];
  if (version !== undefined) return releasePage(model, Number(version));
  switch (path) {
    case '':
      return statusPage(model);
    case 'lists':
      return listsPage(model, query);
    case 'releases':
      return releasesPage(model);
    case 'refused':
      return refusedPage(model);
    case 'ask':
      return askPage(model, query);
    default:
      return undefined;
  }
}
