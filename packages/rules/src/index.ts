/**
 * The rule language as values: prefixes, names, lists, rules, policies, rule sets, and the reference
 * evaluators, of packets and of questions of DNS, the slow ones that every fast path is tested against.
 *
 * Begin with rule-set.ts, what is released and enforced, and evaluate.ts, what it means. The files build on
 * one another in this order: pieces (work that may be long); prefix, name, names (columns of them); list
 * (sets of prefixes and of names, and their algebra), special-purpose (space where no host of the Internet
 * is), private-address (what of it is of one's own networks), coverage (how much of the rest a set holds);
 * rule and rule-line (one line of the grammar), run-blocks (what is told of runs from those before), policy
 * (runs of rules), rule-set (what makes one sound); evaluate, and longest-match (many rules as classes of
 * addresses).
 */

export { partOfSpace, routableShare } from './coverage.ts';
export {
  addressJudgedBy,
  beginsFlow,
  type Environment,
  evaluate,
  evaluateFlow,
  FLOWLESS_VERDICT,
  IpProtocol,
  judgingPolicy,
  type Packet,
  type RuleOrigin,
  type Told,
  timeFor,
  type Verdict,
} from './evaluate.ts';
export { evaluateName, type NameQuestion, type NameVerdict, type Stands } from './evaluate-name.ts';
export {
  aggregatePrefixes,
  applyPrefixesDelta,
  canonicalPrefixes,
  columnFor,
  combineSets,
  diffPrefixes,
  EMPTY_PREFIX_SET,
  entryCount,
  intersectPrefixes,
  isCanonical,
  isOfPrivateNames,
  joinedResolve,
  type List,
  type ListChange,
  type ListChanges,
  lastAddressAt,
  memberContaining,
  type NameList,
  nameListOf,
  namesOfFirewall,
  namesOpenedBy,
  type PrefixesDelta,
  type PrefixList,
  type PrefixSet,
  prefixCount,
  prefixListOf,
  prefixSetOf,
  samePrefixSet,
  subtractPrefixes,
  unionPrefixes,
} from './list.ts';
export {
  classesIn,
  FIREWALL_CHAINS_MAX,
  FIREWALL_RULES_MAX,
  type FirewallLoad,
  firewallLoad,
  isOf,
  isUnconditional,
  type Segment,
  segmentsOf,
} from './longest-match.ts';
export { classFor, type MatchClasses } from './match-classes.ts';
export {
  compareHostNames,
  HOST_NAME_MAX_BYTES,
  isPartName,
  isWildcard,
  NameFault,
  parseHostName,
  RESOLVED_LIST,
} from './name.ts';
export {
  FIREWALL_NAME_ADDRESSES_MAX,
  NAME_ADDRESSES_MAX,
  NAME_QUBES_MAX,
  nameRoomOf,
  nameTermsOf,
  openedLists,
} from './name-terms.ts';
export {
  compareKeys,
  diffNames,
  editNames,
  editPieces,
  hasWildcards,
  intersectNames,
  isLabelByte,
  KEY_MAX_BYTES,
  KeyByte,
  KeyWriter,
  keyEnd,
  keyStart,
  type Names,
  NamesBuilder,
  type NamesDelta,
  NO_NAMES,
  namePieces,
  namesAt,
  namesOf,
  namesStandFor,
  nameTexts,
  readNames,
  sameNames,
  skipKeys,
  subtractNames,
  unionNames,
} from './names.ts';
export { bytesOfLeft, isLeft, leftBetween, type NamesLeft } from './names-left.ts';
export { atOnce, inTurns, Pace, PIECE_PARTS, type Pieces } from './pieces.ts';
export {
  allRuns,
  type BlockedAnswer,
  blocksOf,
  COMMON_POLICY,
  DEFAULT_POLICY,
  type DirectedRuns,
  emptyPolicy,
  judgesIngress,
  NO_RUNS,
  type Policy,
  policyOfSameRuns,
  policyRuleCount,
  RULE_BLOCKS,
  type RuleBlock,
  type Run,
  RunBuilder,
  type RunRemote,
  ruleAt,
  ruleCount,
  ruleOfRun,
  runRuleCount,
  runStarts,
  runsOf,
  sameMatch,
  sameRun,
  type UnlistedAnswer,
} from './policy.ts';
export {
  type Address,
  bitsOf,
  columnOf,
  comparePrefixAt,
  compareWordsAt,
  containsAt,
  emptyPrefixes,
  type Family,
  formatAddress,
  formatPrefix,
  formatPrefixAt,
  newPrefixScratch,
  type Prefix,
  PrefixBuilder,
  type Prefixes,
  PrefixFault,
  type PrefixScratch,
  parseAddress,
  parseDottedQuad,
  parsePrefix,
  parsePrefixBytes,
  prefixAt,
  prefixOf,
  samePrefixes,
  strideOf,
  wordMask,
} from './prefix.ts';
export { isNetworkAddress, isPrivateAddress, isPrivateName } from './private-address.ts';
export {
  type Action,
  type Direction,
  formatRule,
  isNarrowed,
  type PortRange,
  type Proto,
  plainRule,
  type Remote,
  type Rule,
  type RuleMatch,
} from './rule.ts';
export { COMMENT_MAX_CHARS, EXPIRE_MAX, parseRule, RuleFault } from './rule-line.ts';
export {
  asksNames,
  checkPieces,
  checkRuleSet,
  EMPTY_RULE_SET,
  leavesUnmatchedOpen,
  needsFirewallDns,
  opensByName,
  opensResolved,
  privateNames,
  RESOLVED_NAMES_MAX,
  type RuleSet,
  type RuleSetProblem,
  RuleSetProblemCode,
  type RuleSetUse,
  resolutionOf,
  ruleSetOfSameRuns,
  saysAnything,
  UNMATCHED_CHOICE,
  usedLists,
  usedNames,
} from './rule-set.ts';
export {
  commonEnds,
  mentionsOfBlocks,
  sumOfBlocks,
} from './run-blocks.ts';
export { isSpecialPurpose } from './special-purpose.ts';
