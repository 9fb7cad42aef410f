import { PUSH_MAX_BYTES } from '@rulecast/protocol';
import { describe, expect, it } from 'vitest';
import { PushMemory } from '../src/control/push-memory.ts';

describe('the memory of all pushes', () => {
  it('holds two of the largest, tells a third, and has room again when one is through', () => {
    const memory = new PushMemory();
    const [one, two, three] = [memory.reserve(), memory.reserve(), memory.reserve()];
    one.take(PUSH_MAX_BYTES);
    expect(() => one.take(1)).toThrow('a push holds at most');
    two.take(PUSH_MAX_BYTES - 1);
    three.take(1);
    expect(() => three.take(1)).toThrow('push again when they are done');
    one.leave();
    one.leave();
    three.take(PUSH_MAX_BYTES - 1);
    expect(() => memory.reserve().take(2)).toThrow('push again when they are done');
  });
});
