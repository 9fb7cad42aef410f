/**
 * Companies by name: the addresses that one publishes, or else the numbers of its autonomous systems. The
 * meaning of a name may change with a version of this file; for a list that must not change, use `url` or
 * `asn`.
 */

import type { ReadingConfig } from './reading.ts';

/** A company's published lists and how to read them, or its autonomous systems. */
export type Company = Partial<Pick<ReadingConfig, 'format' | 'service' | 'asn'>> & {
  readonly urls?: readonly string[];
};

/** At most 20, as their data needs upkeep: users list others themselves. */
export const COMPANIES = {
  akamai: { asn: [12222, 16625, 20940] },
  alibaba: { asn: [24429, 37963, 45102] },
  amazon: { urls: ['https://ip-ranges.amazonaws.com/ip-ranges.json'], format: 'aws' },
  apple: { asn: [714, 6185] },
  bytedance: { asn: [138699, 396986] },
  cloudflare: {
    urls: ['https://www.cloudflare.com/ips-v4', 'https://www.cloudflare.com/ips-v6'],
    format: 'plain',
  },
  digitalocean: { urls: ['https://digitalocean.com/geo/google.csv'], format: 'geofeed' },
  fastly: { asn: [54113] },
  // Its actions run at Microsoft, which is not GitHub.
  github: {
    urls: ['https://api.github.com/meta'],
    format: 'github',
    service: ['hooks', 'web', 'api', 'git', 'packages', 'pages'],
  },
  google: { urls: ['https://www.gstatic.com/ipranges/goog.json'], format: 'google' },
  hetzner: { asn: [24940, 213230] },
  meta: { asn: [32934, 54115, 63293] },
  microsoft: { asn: [8068, 8069, 8075, 12076] },
  netflix: { asn: [2906, 40027, 55095, 394406] },
  oracle: { urls: ['https://docs.oracle.com/en-us/iaas/tools/public_ip_ranges.json'], format: 'oracle' },
  ovh: { asn: [16276] },
  telegram: { urls: ['https://core.telegram.org/resources/cidr.txt'], format: 'plain' },
  tencent: { asn: [45090, 132203, 133478] },
  vk: { asn: [28709, 47541, 47542, 47764] },
  yandex: { asn: [13238, 200350] },
} as const satisfies { readonly [name: string]: Company };

export type CompanyName = keyof typeof COMPANIES;
export const COMPANY_NAMES = Object.keys(COMPANIES) as readonly CompanyName[]; // a constant's own keys
