/** Options of the sink: a word that is none of those known must not be taken for one of them. */

import { describe, expect, it } from 'vitest';
import { createNftSink, type NftSinkOptions } from '../src/sink/sink.ts';

describe('createNftSink refuses', () => {
  it.each([
    ['an unknown answer', '{"answer":"Silent"}', 'answer "Silent": write "reject" or "silent"'],
    ['an answer that is a list', '{"answer":["silent"]}', 'answer ["silent"]'],
    ['a group that is none', '{"downstreamGroup":1.5}', 'downstreamGroup 1.5'],
    ['a negative group', '{"downstreamGroup":-1}', 'downstreamGroup -1'],
    ['a group beyond 32 bits', '{"downstreamGroup":4294967296}', 'downstreamGroup 4294967296'],
    ['a group as text', '{"downstreamGroup":"2"}', 'downstreamGroup 2'],
  ])('%s', (_what, json, message) => {
    const options: NftSinkOptions = JSON.parse(json);
    expect(() => createNftSink(options)).toThrow(TypeError);
    expect(() => createNftSink(options)).toThrow(message);
  });
});
