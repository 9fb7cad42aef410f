/** A bare DEALER, which obeys nobody: neither credit nor CLOSE. */
import * as zmq from 'zeromq';

/** `sendHighWaterMark`: messages that ZeroMQ keeps for who does not take them. */
export function rawDealer(path: string, sendHighWaterMark = 1000): zmq.Dealer {
  const dealer = new zmq.Dealer({ linger: 0, sendHighWaterMark });
  dealer.connect(`ipc://${path}`);
  return dealer;
}
