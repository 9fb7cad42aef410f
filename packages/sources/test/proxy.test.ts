import { describe, expect, it } from 'vitest';
import { ProxyError, proxyChoice } from '../src/fetch/proxy.ts';

function choose(
  environment: Readonly<Record<string, string>>,
  url: string,
  setting?: string,
): string | undefined {
  return proxyChoice(setting, environment)(new URL(url))?.href;
}

const HTTP = { http_proxy: 'http://p1:1', https_proxy: 'http://p2:2' };

describe('the proxy of a URL', () => {
  it.each([
    [{}, 'https://a.example/', undefined],
    [HTTP, 'http://a.example/', 'http://p1:1/'],
    [HTTP, 'https://a.example/', 'http://p2:2/'],
    [{ http_proxy: 'http://p1:1' }, 'https://a.example/', undefined],
    [{ all_proxy: 'p3:3' }, 'https://a.example/', 'http://p3:3/'],
    [{ all_proxy: 'p3:3', http_proxy: 'p1:1' }, 'http://a.example/', 'http://p1:1/'],
    [{ HTTP_PROXY: 'p1:1' }, 'http://a.example/', 'http://p1:1/'],
    [{ HTTP_PROXY: 'p1:1', http_proxy: 'p2:2' }, 'http://a.example/', 'http://p2:2/'],
    [{ http_proxy: '' }, 'http://a.example/', undefined],
    [{ http_proxy: ' p1:1 ' }, 'http://a.example/', 'http://p1:1/'],
    [{ https_proxy: 'https://u:p@p:4' }, 'https://a.example/', 'https://u:p@p:4/'],
    [{ https_proxy: 'http://127.0.0.1:8082/' }, 'https://a.example/', 'http://127.0.0.1:8082/'],
    [{ https_proxy: 'qubes' }, 'https://a.example/', 'http://127.0.0.1:8082/'],
  ])('with %o for %s is %s', (environment, url, proxy) => {
    expect(choose(environment as Record<string, string>, url)).toBe(proxy);
  });

  it('is what the setting says: none, that of Qubes, or one for everything', () => {
    expect(choose(HTTP, 'http://a.example/', 'none')).toBeUndefined();
    expect(choose(HTTP, 'http://a.example/', 'environment')).toBe('http://p1:1/');
    expect(choose({}, 'https://a.example/', 'qubes')).toBe('http://127.0.0.1:8082/');
    expect(choose(HTTP, 'https://a.example/', 'http://p9:9')).toBe('http://p9:9/');
  });

  it.each([
    ['*', 'http://a.example/', false],
    ['a.example', 'http://a.example/', false],
    ['a.example', 'http://A.Example/', false],
    ['A.EXAMPLE', 'http://a.example/', false],
    ['a.example', 'http://b.a.example/', false],
    ['.a.example', 'http://b.a.example/', false],
    ['.a.example', 'http://a.example/', false],
    ['*.a.example', 'http://b.a.example/', false],
    ['a.example', 'http://ba.example/', true],
    ['b.example, a.example', 'http://a.example/', false],
    ['b.example a.example', 'http://a.example/', false],
    ['a.example:80', 'http://a.example/', false],
    ['a.example:443', 'http://a.example/', true],
    ['a.example:8080', 'http://a.example:8080/', false],
    ['127.0.0.1', 'http://127.0.0.1:9/', false],
    ['::1', 'http://[::1]/', false],
    ['[::1]', 'http://[::1]/', false],
    ['[::1]:81', 'http://[::1]/', true],
    ['', 'http://a.example/', true],
    [',', 'http://a.example/', true],
  ])('with no_proxy %j for %s is used: %s', (exceptions, url, isUsed) => {
    expect(choose({ ...HTTP, no_proxy: exceptions }, url) !== undefined).toBe(isUsed);
  });

  it.each(['socks5://127.0.0.1:9050', 'http://', 'http://[', 'ftp://p:1'])('is not %s', (text) => {
    expect(() => proxyChoice(undefined, { http_proxy: text })).toThrow(ProxyError);
    expect(() => proxyChoice(text, {})).toThrow(ProxyError);
  });
});
