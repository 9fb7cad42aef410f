/** How many logs are followed at once. CONTROL.md "LOG". */

import { ErrorCode, FOLLOWED_LOGS_MAX, ProtocolError } from '@rulecast/protocol';

/** Logs that are followed: they hold their connections for as long as they like, and others need some too. */
export class FollowedLogs {
  #count = 0;

  /** One more is followed until the function is called. Throws ProtocolError `rate-limited`. */
  enter(): () => void {
    if (this.#count === FOLLOWED_LOGS_MAX) {
      const text = `${FOLLOWED_LOGS_MAX} logs are followed already: end one, or leave out --follow`;
      throw new ProtocolError(ErrorCode.rateLimited, text);
    }
    this.#count++;
    return () => {
      this.#count--;
    };
  }
}
