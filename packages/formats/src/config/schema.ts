/**
 * The shape of the publisher's configuration as a JSON schema. Every scalar is text here; what it means (durations, sizes, addresses, which keys go
 * together) is config.ts's.
 */

import { LIST_FORMATS } from '../collect/format.ts';

const TEXT = { type: 'string' } as const;
const TEXTS = { type: 'array', items: TEXT } as const;
const TEXT_OR_TEXTS = { type: ['string', 'array'], items: TEXT } as const;
const FLAG = { enum: ['true', 'false'] } as const;

/** Keys that `defaults:` gives to every list, and that a list may say for itself. */
const SHARED = {
  interval: TEXT,
  jitter: TEXT,
  timeout: TEXT,
  rejects: TEXT,
  shrink: TEXT,
  growth: TEXT,
  'max-coverage': TEXT,
  'coverage-change': TEXT,
  ttl: TEXT,
  aggregate: FLAG,
  quiet: TEXT,
  unfinished: TEXT,
} as const;

/** How the bytes of a file, download or archive member are read. `country` and `asn` are sources where there is no other. */
const READING = {
  format: { enum: LIST_FORMATS.map(({ name }) => name) },
  'host-bits': { enum: ['reject', 'mask'] },
  column: TEXT,
  'min-score': TEXT,
  country: TEXT_OR_TEXTS,
  asn: TEXT_OR_TEXTS,
  region: TEXT_OR_TEXTS,
  service: TEXT_OR_TEXTS,
  tag: TEXT_OR_TEXTS,
  set: TEXT_OR_TEXTS,
  members: TEXT_OR_TEXTS,
} as const;

const FETCHING = {
  url: TEXT_OR_TEXTS,
  headers: { type: 'object', additionalProperties: TEXT },
  sha256: TEXT,
  'max-bytes': TEXT,
  'allow-private': FLAG,
} as const;

const LIST = {
  type: 'object',
  additionalProperties: false,
  properties: {
    file: TEXT,
    dir: TEXT,
    match: TEXT_OR_TEXTS,
    ...FETCHING,
    table: TEXT,
    names: TEXTS,
    entries: TEXTS,
    union: TEXT_OR_TEXTS,
    intersect: TEXT_OR_TEXTS,
    minus: TEXT_OR_TEXTS,
    ...SHARED,
    ...READING,
    mode: { enum: ['replace', 'merge'] },
    'entry-ttl': TEXT,
    'min-entries': TEXT,
    'max-entries': TEXT,
    purpose: { enum: ['block', 'allow'] },
    'never-block-exempt': TEXTS,
    'allow-all': FLAG,
    'allow-short-prefixes': FLAG,
    'ignore-declared': FLAG,
    resolve: FLAG,
    publish: FLAG,
  },
} as const;

const TABLE = {
  type: 'object',
  additionalProperties: false,
  properties: {
    of: { enum: ['country', 'asn'] },
    format: READING.format,
    file: TEXT_OR_TEXTS,
    ...FETCHING,
    interval: TEXT,
    jitter: TEXT,
    timeout: TEXT,
    members: TEXT_OR_TEXTS,
    quiet: TEXT,
    unfinished: TEXT,
  },
  required: ['of'],
  description: 'write of: country or of: asn',
} as const;

export const CONFIG_SCHEMA = {
  $schema: 'http://json-schema.org/draft-07/schema#',
  title: 'Rulecast publisher configuration',
  type: 'object',
  additionalProperties: false,
  properties: {
    name: TEXT,
    state: TEXT,
    identity: TEXT,
    listen: TEXT_OR_TEXTS,
    control: TEXT,
    proxy: TEXT,
    curve: {
      type: 'object',
      additionalProperties: false,
      properties: { secret: TEXT, clients: TEXT_OR_TEXTS, 'control-clients': TEXT_OR_TEXTS },
      required: ['secret'],
      description: 'curve: takes secret: FILE, and clients: FILE or [FILE, …]',
    },
    subscribers: {
      type: 'object',
      additionalProperties: {
        type: 'object',
        additionalProperties: false,
        properties: {
          'curve-key': TEXT,
          qube: TEXT,
          socket: {
            type: ['string', 'object'],
            additionalProperties: false,
            properties: { path: TEXT, mode: TEXT, group: TEXT },
            required: ['path'],
            description: 'write socket: PATH, or { path: PATH, mode: 0660, group: NAME }',
          },
        },
      },
      description: 'write a mapping by name: subscribers: { sys-firewall: {} }',
    },
    'must-reach': TEXTS,
    dns: {
      type: 'object',
      additionalProperties: false,
      properties: {
        servers: TEXT_OR_TEXTS,
        fixed: { type: 'object', additionalProperties: TEXT_OR_TEXTS },
        'max-age': TEXT,
        'private-zones': TEXT_OR_TEXTS,
      },
    },
    'never-block': {
      type: 'object',
      additionalProperties: false,
      properties: { add: TEXTS, defaults: FLAG },
    },
    limits: {
      type: 'object',
      additionalProperties: false,
      properties: { entries: TEXT, bytes: TEXT, 'archive-members': TEXT, fetches: TEXT },
    },
    defaults: { type: 'object', additionalProperties: false, properties: SHARED },
    tables: { type: 'object', additionalProperties: TABLE },
    lists: { type: 'object', additionalProperties: LIST },
  },
} as const;
