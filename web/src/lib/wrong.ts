// Everything that is wrong, of whatever kind it is, as one list: since when, why, and what to do first.

import type { Channel, Destination, Refused, Subscription, System } from './api';
import { t, texts_, type TextKey } from './i18n.svelte';
import { code, findings, words } from './words';

/** A certificate is a matter for somebody when so many days are left. */
export const CERTIFICATE_SOON_DAYS = 30;

/** One thing that needs somebody. */
export interface Wrong {
  id: string;
  name: string;
  href?: string;
  /** As `State` shows it. */
  state: string;
  since?: string | undefined;
  causes: string[];
  /** What to do first, and where. */
  first: TextKey;
  act: { text: TextKey; href: string };
}

/** What is known of the engine. */
export interface Seen {
  notReady: string[];
  channels: Channel[];
  /** Destinations that no channel has any more, with what waits there. */
  removed?: Destination[] | undefined;
  refused: Refused[];
  subscriptions: Subscription[];
  system: System | undefined;
  /** Since when the oldest is stuck, by destination and state: `trial/emr dead`. */
  stuckSince: Record<string, string>;
}

/** What keeps the most from flowing stands first. */
const ORDER = ['notReady', 'stalled', 'blocked', 'removed', 'stopped', 'expired', 'paused', 'refused', 'error', 'failing', 'dead', 'expiring', 'retrying'];

const ago = (seconds: number | null | undefined, now: number) => (seconds ? new Date(now - seconds * 1000).toISOString() : undefined);
const sum = (...counts: (number | null | undefined)[]) => counts.reduce<number>((total, count) => total + (count ?? 0), 0);

/** Since when its oldest is held or tried again, or else is a dead letter. */
const stuckSince = (one: Destination, seen: Seen) => {
  const known = (['held', 'retry'] as const).flatMap((state) => ((one[state] ?? 0) > 0 ? (seen.stuckSince[`${one.destination} ${state}`] ?? []) : []));
  return known.sort()[0] ?? ((one.dead ?? 0) > 0 ? seen.stuckSince[`${one.destination} dead`] : undefined);
};

function destination(one: Destination, seen: Seen, now: number): Wrong | undefined {
  const dead = one.dead ?? 0;
  if (one.state === 'flowing' && dead === 0) return undefined;
  const state = one.state === 'flowing' ? 'dead' : one.state;
  const waiting = sum(one.pending, one.held, one.behind, one.retry);
  const causes = [];
  if (one.paused) causes.push(t('destination.pausedBy', { by: texts_.actor(one.paused.by), reason: one.paused.reason }));
  const why = one.stalled ?? one.last_error;
  if (why && state !== 'paused') causes.push(words(why));
  if (waiting > 0) causes.push(t('now.waiting', { count: waiting }));
  if (dead > 0) causes.push(`${texts_.named('destination.dead')}${texts_.number(dead)}`);
  const here = `/destinations/${one.destination}`;
  const stuck = { text: 'now.act.stuck', href: `/stuck?${new URLSearchParams({ state: 'dead', destination: one.destination })}` } as const;
  return {
    id: `destination ${one.destination}`,
    name: one.destination,
    href: here,
    state,
    since: one.paused?.at ?? ago(one.oldest_seconds, now) ?? stuckSince(one, seen),
    causes,
    first: `now.first.${state}` as TextKey,
    act: state === 'dead' ? stuck : { text: 'now.act.destination', href: here },
  };
}

function channel(one: Channel): Wrong[] {
  if (!one.stopped) return [];
  const href = `/channels/${encodeURIComponent(one.channel)}`;
  return [
    {
      id: `channel ${one.channel}`,
      name: one.channel,
      href,
      state: 'stopped',
      since: one.stopped.at,
      causes: [t('channel.stoppedBy', { by: texts_.actor(one.stopped.by), reason: one.stopped.reason })],
      first: 'now.first.channelStopped',
      act: { text: 'now.act.channel', href },
    },
  ];
}

/** How a subscription stands: what is active and cannot be reached is not well. */
export function subscriptionState(one: Subscription): string {
  if (one.delivery?.paused) return 'paused';
  return one.status === 'active' && one.failing_since != null ? 'failing' : one.status;
}

function subscription(one: Subscription): Wrong[] {
  const dead = one.delivery?.dead ?? 0;
  const failing = one.failing_since != null || one.status === 'error' || one.status === 'off' || dead > 0;
  if (!failing && !one.delivery?.paused) return [];
  const href = `/subscriptions/${encodeURIComponent(one.id)}`;
  const causes = [];
  if (one.error) causes.push(words(one.error));
  if (one.failures > 0) causes.push(t('now.failures', { count: one.failures, code: code(one.last_failure ?? '') }));
  if (one.delivery?.paused) causes.push(words(one.delivery.paused));
  if (dead > 0) causes.push(`${texts_.named('destination.dead')}${texts_.number(dead)}`);
  return [
    {
      id: `subscription ${one.id}`,
      name: one.endpoint ?? one.id,
      href,
      state: one.delivery?.paused ? 'paused' : one.failing_since != null && one.status === 'active' ? 'failing' : 'error',
      since: one.failing_since ?? one.since,
      causes,
      first: one.delivery?.paused ? 'now.first.paused' : 'now.first.subscription',
      act: { text: 'now.act.subscription', href },
    },
  ];
}

function certificates(system: System | undefined): Wrong[] {
  return (system?.certificates ?? []).flatMap((one, index) => {
    const left = one.days ?? null;
    if (left !== null && left > CERTIFICATE_SOON_DAYS) return [];
    const over = left !== null && left < 0;
    const until = one.not_after ? [t('now.validUntil', { time: texts_.time(one.not_after) })] : [];
    return [
      {
        id: `certificate ${index}`,
        name: one.place,
        state: left === null || over ? 'expired' : 'expiring',
        since: over ? (one.not_after ?? undefined) : undefined,
        causes: [...(one.subject ? [one.subject] : []), ...until, left === null ? t('system.unreadable') : over ? t('now.over') : t('system.days', { count: left })],
        first: 'now.first.certificate' as const,
        act: { text: 'now.act.system' as const, href: '/system' },
      },
    ];
  });
}

/** All that needs somebody, the worst and oldest first. */
export function wrongs(seen: Seen, now: number): Wrong[] {
  const system = { text: 'now.act.system', href: '/system' } as const;
  const list: Wrong[] = [
    ...seen.notReady.map((why): Wrong => ({ id: `engine ${why}`, name: t('app.name'), state: 'notReady', causes: [words(why)], first: 'now.first.notReady', act: system })),
    ...seen.channels.flatMap((one) => [...channel(one), ...one.destinations.flatMap((each) => destination(each, seen, now) ?? [])]),
    ...(seen.removed ?? []).flatMap((each) => destination(each, seen, now) ?? []),
    ...seen.refused.map(
      (one): Wrong => ({ id: `file ${one.file}`, name: one.file, state: 'refused', since: seen.system?.config.loaded_at, causes: [findings(one.findings)], first: 'now.first.refused', act: system }),
    ),
    ...seen.subscriptions.flatMap(subscription),
    ...certificates(seen.system),
  ];
  const rank = (one: Wrong) => ORDER.indexOf(one.state);
  return list.sort((a, b) => rank(a) - rank(b) || (a.since ?? '~').localeCompare(b.since ?? '~') || a.id.localeCompare(b.id));
}
