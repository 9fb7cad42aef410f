/** Which page is at which path. */

import { askPage } from './pages/ask.ts';
import { listPage, listsPage } from './pages/lists.ts';
import { refusedPage } from './pages/refused.ts';
import { releasePage, releasesPage } from './pages/releases.ts';
import { statusPage } from './pages/status.ts';
import type { View } from './server.ts';

export const view: View = async (model, path, query) => {
  const [first, name, ...rest] = path.split('/');
  if (rest.length > 0) return undefined;
  if (name !== undefined) {
    if (first === 'lists') return listPage(model, name);
    return first === 'releases' ? releasePage(model, name) : undefined;
  }
  switch (first) {
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
};
