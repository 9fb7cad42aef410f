/** What the bench uses of cidr-matcher, which has no types of its own. */
declare module 'cidr-matcher' {
  export default class CidrMatcher {
    constructor(prefixes: readonly string[]);
    contains(address: string): boolean;
  }
}
