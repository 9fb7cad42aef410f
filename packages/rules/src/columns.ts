/**
 * Addresses and names as columns, without the language: what the process with rights (`rulecast-applier`)
 * needs. Whatever is exported here runs there, with all that it imports.
 */

export { isLeft } from './name-lookup.ts';
export { NAME_ADDRESSES_MAX, NAME_QUBES_MAX, nameRoomOf } from './name-room.ts';
export { readNames } from './names.ts';
export { bitsOf, PrefixBuilder, parseAddress, strideOf } from './prefix.ts';
export { canonicalPrefixes, memberContaining } from './prefix-set.ts';
export { isNetworkAddress, isPrivateAddress } from './private-address.ts';
