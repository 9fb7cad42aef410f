/** A release, and its outcome at subscribers. Pure. */

import type { ControlRecordOf } from '@rulecast/protocol';
import type { Colors } from '../terminal/terminal.ts';
import { formatAmount, formatBytes, formatCount, formatDuration } from './amounts.ts';

export function renderRelease(release: ControlRecordOf<'release'>): string {
  const { version, epoch, previousVersion, parts, entries, rules, deltaBytes } = release;
  const from = previousVersion === 0 || release.dryRun ? '' : ` from version ${formatCount(previousVersion)}`;
  const delta =
    deltaBytes === 0 ? 'the same as the head before' : `a delta of ${formatBytes(deltaBytes)}${from}`;
  const content = `${formatAmount(entries, 'entry', 'entries')} and ${formatAmount(rules, 'rule')}`;
  if (!release.changed) {
    return version === 0
      ? 'no change: nothing is released yet, and this is nothing'
      : `no change: version ${formatCount(version)} has this content already`;
  }
  if (release.dryRun) {
    const base = version === 0 ? 'as the first release' : `on top of version ${formatCount(version)}`;
    return `dry run: would release ${content} ${base}, ${delta}`;
  }
  return `released version ${formatCount(version)} (epoch ${epoch}): ${formatAmount(parts, 'part')}, ${content}, ${delta}`;
}

/** The outcome of a release at one subscriber. */
export function renderApplied(applied: ControlRecordOf<'applied'>, colors: Colors): string {
  const { subscriber, version, ms, bytes } = applied;
  switch (applied.state) {
    case 'applied': {
      const lasting = applied.persisted === false ? ', not kept over a restart' : '';
      return `${colors.green('applied')} by ${subscriber} in ${formatDuration(ms)}, ${formatBytes(bytes)} sent${lasting}`;
    }
    case 'superseded':
      return `${colors.green('superseded')} at ${subscriber}: it applied version ${formatCount(version)} in ${formatDuration(ms)}`;
    case 'refused':
      return `${colors.red('refused')} by ${subscriber}: ${applied.code ?? 'no code'}: ${applied.text ?? 'it does not say why'}`;
    case 'timeout':
      return `${colors.yellow('on its way')} to ${subscriber}: no answer yet after ${formatDuration(ms)}`;
    case 'disconnected':
      return `${colors.red('disconnected')}: ${subscriber}; it gets the release when it is back`;
    case 'absent':
      return `${colors.red('absent')}: ${subscriber} is expected and not connected; it gets the release when it is back`;
  }
}

/** The last line of a push that was to be applied. */
export function renderAppliedSummary(applied: readonly ControlRecordOf<'applied'>[], colors: Colors): string {
  const inForce = applied.filter(({ state }) => state === 'applied' || state === 'superseded').length;
  const onItsWay = applied.filter(({ state }) => state === 'timeout').length;
  if (onItsWay > 0) {
    const there = inForce === 0 ? '' : `in force at ${formatCount(inForce)}, and `;
    const of = `${formatCount(onItsWay)} of ${formatAmount(applied.length, 'subscriber')}`;
    return colors.yellow(`${there}on its way to ${of}: rulectl status says how far it is`);
  }
  const refused = applied.filter(({ state }) => state === 'refused').length;
  if (inForce === 0) {
    const why =
      refused > 0
        ? `refused by ${formatCount(refused)} of ${formatAmount(applied.length, 'subscriber')}`
        : 'subscribers get the release when they connect';
    return colors.red(`in force nowhere: ${why}`);
  }
  const text = `in force at ${formatCount(inForce)} of ${formatAmount(applied.length, 'subscriber')}`;
  return inForce === applied.length ? colors.green(text) : colors.red(text);
}

/** Warnings about parts that the request did not change; status shows them. */
export function renderOtherWarnings(count: number, colors: Colors): string {
  return `${colors.yellow(formatAmount(count, 'warning'))} about other parts: rulectl status shows them`;
}
