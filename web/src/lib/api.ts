// The engine's API. The page knows nothing that this file does not ask for.

import { byItself } from './background';
import { t } from './i18n.svelte';
import { refusal } from './words';
import type { components } from './openapi';
import type { Tree } from './tree';

/** A refusal of the engine (RFC 9457). */
export class Problem extends Error {
  constructor(
    readonly status: number,
    readonly code: string,
    detail: string,
  ) {
    super(detail);
  }
}

export interface Session {
  user: string;
  groups: string[];
  view: 'counts' | 'metadata' | 'masked' | 'full';
  permissions: string[];
  csrf: string;
  expires_at: string | null;
  ends_in_seconds?: number | null;
  emergency_until: string | null;
}

export interface Destination {
  destination: string;
  state: string;
  delivered?: number;
  pending?: number;
  in_flight?: number;
  retry?: number;
  held?: number;
  behind?: number;
  dead?: number;
  oldest_seconds?: number | null;
  breaker?: string;
  last_error?: string | null;
  stalled?: string | null;
  paused?: { by: string; reason: string; at: string } | null;
  lagging?: boolean;
  next_attempt?: string | null;
}

export interface Lane {
  message: string | null;
  seq: number;
  state: string;
  cause: string;
  since: string;
  behind: number;
}

export interface Endpoint {
  endpoint: string;
  healthy: boolean;
  in_flight: number;
  last_error: string | null;
}

export interface DestinationDetail extends Destination {
  endpoints: Endpoint[];
  lanes: Lane[];
}

export interface Source {
  kind: string;
  listens: string | null;
  connections: number;
  received: number;
  refused: number;
  last_message_at: string | null;
  last_refusal: string | null;
}

export interface Channel {
  channel: string;
  version: number;
  sources: Source[];
  destinations: Destination[];
  stopped?: { by: string; reason: string; at: string } | null;
}

export interface Refused {
  file: string;
  findings: string[];
}

export interface Key {
  name: string;
  value: string;
}

export interface MessageSummary {
  id: string;
  seq: number;
  received_at: string;
  channel: string;
  kind: string;
  event: string;
  control_id: string;
  content_type: string;
  keys: Key[];
}

export interface Attempt {
  number: number;
  at: string;
  milliseconds: number;
  outcome: string;
  code: string;
  text: string;
}

export interface Delivery {
  destination: string;
  version: number;
  state: string;
  attempts: Attempt[];
  at?: string;
  attempts_made?: number;
  milliseconds?: number;
  code?: string;
  text?: string;
  cause?: string;
  since?: string;
  due?: string;
}

export interface Message extends MessageSummary {
  size_bytes: number;
  origin: { parent: string; by: string; reason: string } | null;
  deliveries: Delivery[];
}

export interface Exception {
  destination: string;
  message: string | null;
  seq: number;
  state: string;
  cause: string;
  attempts_made: number;
  since: string;
  due: string;
  code: string;
  text: string;
}

export interface MessageSearch {
  name?: string;
  value?: string;
  channel?: string;
  since?: string;
  until?: string;
  before?: number;
  limit?: number;
}

export interface User {
  name: string;
  /** What a change must be made to. */
  etag?: string;
  display: string;
  roles: string[];
  groups?: string[];
  view: string;
  second_factor: boolean;
  disabled: boolean;
  locked: boolean;
  created_at: string;
}

export interface NewUser {
  name: string;
  display?: string;
  password: string;
  roles: string[];
  view?: string;
  groups?: string[];
}

export interface UserChange {
  display?: string;
  password?: string;
  roles?: string[];
  groups?: string[];
  view?: string;
  disabled?: boolean;
  second_factor?: false;
  locked?: false;
}

export interface Token {
  name: string;
  etag?: string;
  roles: string[];
  view: string;
  created_by: string;
  created_at: string;
  ends_at: string;
  revoked: boolean;
}

export interface AuditRecord {
  number: number;
  at: string;
  actor: string;
  address: string;
  action: string;
  outcome: string;
  object: string;
  reason: string;
}

export interface AuditSearch {
  actor?: string;
  action?: string;
  object?: string;
  since?: string;
  until?: string;
  before?: number;
  limit?: number;
}

export type Verified = { whole: true; records: number; head: string } | { whole: false; record: number; why: string };

export interface Subscription {
  id: string;
  channel: string;
  destination: string;
  status: string;
  since: string;
  topic: string;
  endpoint: string;
  content: string;
  events: number;
  failures: number;
  failing_since: string | null;
  last_success: string | null;
  last_failure: string | null;
  signed: boolean;
  delivery: {
    pending: number;
    in_flight: number;
    retry: number;
    behind: number;
    dead: number;
    paused: string | null;
    next_attempt: string | null;
  } | null;
}

export interface Neighbour {
  name: string;
  previous: string | null;
  next: string | null;
}

export interface Explained {
  destination: string;
  chosen: boolean;
  accepted: boolean;
  filter: string | null;
  line: number | null;
  column: number | null;
  terms: { text: string; value: string; result: boolean }[];
}

export interface Finding {
  severity: string;
  code: string;
  text: string;
  hint?: string | null;
  path?: string | null;
  line?: number | null;
  column?: number | null;
}

export interface Job {
  id: string;
  act: string;
  state: string;
  total: number | null;
  done: number;
  failed: number;
  by: string;
  reason: string;
  started_at: string;
  ended_at: string | null;
  last_error: string | null;
}

export interface Selection {
  state?: string;
  destination?: string;
  cause?: string;
  code?: string;
  fingerprint?: string;
  ids?: string[];
}

export interface Group {
  destination: string;
  state: string;
  cause: string;
  code: string;
  text: string;
  /** Names the text in a selection; nothing below the full view, where texts do not tell groups apart. */
  fingerprint?: string | null;
  count: number;
  oldest: string;
  newest: string;
  sample: string | null;
}

export type Trial = components['schemas']['Trial'];
export type View = components['schemas']['View'];
export type NewView = components['schemas']['NewView'];

export interface GraphNode {
  id: string;
  kind: 'source' | 'topic' | 'channel' | 'destination';
  label: string;
  transport?: string | null;
}

export interface GraphEdge {
  from: string;
  to: string;
  when: string | null;
}

export interface ChannelDetail {
  channel: string;
  title: { en: string | null; zh: string | null } | null;
  state: string;
  version: number;
  hash: string;
  file: string;
  yaml: string;
  findings: Finding[];
  graph: { nodes: GraphNode[]; edges: GraphEdge[] };
  versions: { version: number; at: string | null; by: string | null; hash: string; reason: string | null }[];
  tests: { passed: number; failed: number; ran_at: string | null; failures: string[] } | null;
  document: string;
  group?: string | null;
  owner?: string | null;
  description?: string | null;
  stopped?: { by: string; reason: string; at: string } | null;
  refused?: string | null;
}

export interface System {
  version: string;
  build: string;
  store: { kind: string; path: string; size_bytes: number; wal_bytes: number; free_bytes: number | null };
  retention: Record<string, unknown>;
  certificates: { place: string; subject: string | null; not_after: string | null; days: number | null }[];
  config: { path: string; hash: string; loaded_at: string; by: string | null };
  uptime_seconds: number;
}

export interface History {
  points: { at: string; received: number; delivered: number; failed: number; backlog: number }[];
}

export type Render = 'as_sent' | 'anew';

let csrf = '';
let onSignedOut: () => void = () => {};

/** Tells the page when the session has ended. */
export function whenSignedOut(act: () => void): void {
  onSignedOut = act;
}

/** Keeps the session's own token against forged requests; it lives in memory alone. */
export function remember(session: Session): void {
  csrf = session.csrf;
}

/** Keys of changes that got no answer: the same change sent again carries the same key and is done once. */
const unanswered = new Map<string, string>();

/** A random name; `crypto.randomUUID` is there on pages with TLS alone. */
const drawn = () => [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, '0')).join('');

async function call(method: string, path: string, body?: unknown, match?: string): Promise<Response> {
  const headers: Record<string, string> = { accept: 'application/json' };
  if (body !== undefined) headers['content-type'] = 'application/json';
  if (method !== 'GET') headers['x-csrf-token'] = csrf;
  if (match) headers['if-match'] = match;
  if (byItself()) headers['x-medway-background'] = '1';
  const request: RequestInit = { method, headers, credentials: 'same-origin', cache: 'no-store' };
  if (body !== undefined) request.body = JSON.stringify(body);
  const once = method === 'POST' && !/^\/(session|setup)|\/(search|groups|groups\/test|preview)$/.test(path) ? `${path} ${request.body}` : '';
  if (once) {
    const key = unanswered.get(once) ?? drawn();
    unanswered.set(once, key);
    headers['idempotency-key'] = key;
  }
  let response: Response;
  try {
    response = await fetch(`/api/v1${path}`, request);
  } catch {
    throw new Problem(0, 'unreachable', t('app.noAnswer'));
  }
  unanswered.delete(once);
  if (response.ok) return response;
  const said = await response.json().catch(() => ({}));
  const problem = new Problem(response.status, said.code ?? 'fault', refusal(said.code ?? 'fault', said.detail ?? response.statusText));
  if (response.status === 401 && !/^\/(session|setup)/.test(path)) onSignedOut();
  throw problem;
}

async function json<T>(method: string, path: string, body?: unknown, match?: string): Promise<T> {
  return (await call(method, path, body, match)).json() as Promise<T>;
}

const part = encodeURIComponent;
/** `channel/destination` as two segments of a path. */
const place = (destination: string) => destination.split('/').map(part).join('/');

export const api = {
  session: () => json<Session>('GET', '/session'),
  signIn: (user: string, password: string, code?: string) =>
    json<Session>('POST', '/session', { user, password, ...(code ? { code } : {}) }),
  signInWays: () => json<{ password: boolean; provider?: { label: string; href: string } }>('GET', '/session/ways'),
  signOut: () => call('DELETE', '/session'),
  setup: (token: string, user: string, password: string) =>
    json<Session>('POST', '/setup', { token, user, password }),
  status: () => json<{ version: string; ready: boolean; not_ready: string[]; store: Record<string, unknown> }>('GET', '/status'),
  channels: () => json<{ channels: Channel[]; refused: Refused[] }>('GET', '/channels'),
  destination: (name: string) => json<DestinationDetail>('GET', `/destinations/${place(name)}`),
  destinationAct: (name: string, act: 'pause' | 'resume', reason: string) =>
    call('POST', `/destinations/${place(name)}/${act}`, { reason }),
  search: (query: MessageSearch) =>
    json<{ messages: MessageSummary[]; next: number | null }>('POST', '/messages/search', query),
  message: (id: string) => json<Message>('GET', `/messages/${part(id)}`),
  body: async (id: string) => (await call('GET', `/messages/${part(id)}/body`)).arrayBuffer(),
  sent: async (id: string, destination: string) =>
    (await call('GET', `/messages/${part(id)}/sent/${place(destination)}`)).arrayBuffer(),
  tree: (id: string, destination?: string) =>
    json<Tree>('GET', `/messages/${part(id)}/tree${destination ? `?destination=${part(destination)}` : ''}`),
  neighbours: (id: string) => json<{ keys: Neighbour[] }>('GET', `/messages/${part(id)}/neighbours`),
  explain: (id: string) => json<{ routes: Explained[] }>('GET', `/messages/${part(id)}/explain`),
  preview: (id: string, destination: string, payload?: string) =>
    json<{ payload: string; findings: Finding[] }>('POST', `/messages/${part(id)}/preview`, { destination, ...(payload === undefined ? {} : { payload }) }),
  replay: (id: string, destinations: string[], reason: string, more: { render?: Render; payload?: string } = {}) =>
    json<{ message: string; destinations: string[] }>('POST', `/messages/${part(id)}/replay`, { destinations, reason, ...more }),
  exceptions: (query: { state?: string; destination?: string; after?: [number, number]; limit?: number }) =>
    json<{ exceptions: Exception[]; next: [number, number] | null }>('POST', '/exceptions/search', query),
  groups: (query: { state?: string; destination?: string }) =>
    json<{ groups: Group[]; cut?: boolean }>('POST', '/exceptions/groups', query),
  /** What would become of the messages of a group; nothing is sent. */
  testGroup: (group: Group) =>
    json<Trial>('POST', '/exceptions/groups/test', { destination: group.destination, state: group.state, cause: group.cause, code: group.code }),
  views: async () => (await json<components['schemas']['Views']>('GET', '/views')).views,
  addView: (view: NewView) => json<View>('POST', '/views', view),
  changeView: (id: number, view: NewView) => json<View>('PUT', `/views/${id}`, view),
  removeView: (id: number) => call('DELETE', `/views/${id}`),
  jobs: () => json<{ jobs: Job[] }>('GET', '/jobs'),
  addJob: (act: string, selection: Selection, reason: string, rate?: number) =>
    json<{ id: string }>('POST', '/jobs', { act, selection, reason, ...(rate === undefined ? {} : { rate_per_second: rate }) }),
  abortJob: (id: string, reason: string) => call('POST', `/jobs/${part(id)}/abort`, { reason }),
  channel: (name: string) => json<ChannelDetail>('GET', `/channels/${part(name)}`),
  channelVersion: (name: string, version: number) => json<{ yaml: string }>('GET', `/channels/${part(name)}/versions/${version}`),
  channelAct: (name: string, act: 'start' | 'stop', reason: string) => call('POST', `/channels/${part(name)}/${act}`, { reason }),
  system: () => json<System>('GET', '/system'),
  history: (minutes: number) => json<History>('GET', `/metrics/history?minutes=${minutes}`),
  users: () => json<{ users: User[]; roles: string[] }>('GET', '/users'),
  addUser: (user: NewUser) => json<User>('POST', '/users', user),
  changeUser: (name: string, change: UserChange, match?: string) => json<User>('PUT', `/users/${part(name)}`, change, match),
  tokens: () => json<{ tokens: Token[] }>('GET', '/tokens'),
  addToken: (token: { name: string; roles: string[]; view?: string; days: number }) =>
    json<{ name: string; token: string; ends_at: string }>('POST', '/tokens', token),
  revokeToken: (name: string, match?: string) => call('DELETE', `/tokens/${part(name)}`, undefined, match),
  password: (old: string, fresh: string) => call('POST', '/session/password', { old, new: fresh }),
  drawFactor: () => json<{ drawn: string; link: string }>('POST', '/session/second-factor', {}),
  enrolFactor: (drawn: string, code: string) => json<{ enrolled: boolean }>('POST', '/session/second-factor', { drawn, code }),
  emergency: (password: string, reason: string) =>
    json<{ emergency_until: string }>('POST', '/session/emergency', { password, reason }),
  audit: (query: AuditSearch) => json<{ records: AuditRecord[]; next: number | null }>('POST', '/audit/search', query),
  verifyAudit: () => json<Verified>('GET', '/audit/verify'),
  subscriptions: () => json<{ subscriptions: Subscription[] }>('GET', '/subscriptions'),
  subscription: (id: string) => json<Subscription>('GET', `/subscriptions/${part(id)}`),
  subscriptionAct: (id: string, act: string, reason: string, event?: number) =>
    json<{ accepted?: boolean; code?: string | null }>('POST', `/subscriptions/${part(id)}/${act}`, { reason, ...(event === undefined ? {} : { event }) }),
  subscriptionSecret: (id: string, reason: string, overlap: number) =>
    json<{ secret: string | null; public: string | null; overlap_seconds: number }>('POST', `/subscriptions/${part(id)}/secret`, { reason, overlap_seconds: overlap }),
  reload: (reason: string) => json<unknown>('POST', '/reload', { reason }),
  deliveryAct: (destination: string, message: string, act: string, reason: string) =>
    call('POST', `/deliveries/${place(destination)}/${part(message)}/${act}`, { reason }),
};

/** What only newer engines, or fewer people, are given: nothing in place of a refusal. */
export async function optional<T>(work: Promise<T>): Promise<T | undefined> {
  try {
    return await work;
  } catch (error) {
    if (error instanceof Problem && [403, 404, 405].includes(error.status)) return undefined;
    throw error;
  }
}
