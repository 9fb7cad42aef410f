import { PUSH_MAX_BYTES } from '@rulecast/protocol';
import { describe, expect, it } from 'vitest';
import { PushRoom } from '../src/control/push-room.ts';

describe('the room of all pushes', () => {
  it('holds two of the largest, tells a third, and has room again when one is through', () => {
    const room = new PushRoom();
    const [one, two, three] = [room.enter(), room.enter(), room.enter()];
    one.take(PUSH_MAX_BYTES);
    expect(() => one.take(1)).toThrow('a push holds at most');
    two.take(PUSH_MAX_BYTES - 1);
    three.take(1);
    expect(() => three.take(1)).toThrow('push again when they are through');
    one.leave();
    one.leave();
    three.take(PUSH_MAX_BYTES - 1);
    expect(() => room.enter().take(2)).toThrow('push again when they are through');
  });
});
