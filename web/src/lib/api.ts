// The engine's API. The page knows nothing that this file does not ask for.

import { byItself, quietly } from './background';
import { t, texts_ } from './i18n.svelte';
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

type Shapes = components['schemas'];
export type Session = Shapes['Session'];
export type Destination = Shapes['Destination'];
/** The description names what a destination's own page has beside the figures. */
export type DestinationDetail = Destination & Shapes['DestinationDetail'];
export type Source = Shapes['SourceShape'];
export type Channel = Shapes['ChannelLine'];
export type Refused = Shapes['RefusedFile'];
export type MessageSummary = Shapes['MessageLine'];
export type Message = Shapes['Message'];
export type Exception = Shapes['ExceptionShape'];
export type MessageSearch = Shapes['MessageSearch'];
export type User = Shapes['User'];
export type NewUser = Shapes['NewUser'];
export type UserChange = Shapes['ChangeUser'];
export type Token = Shapes['ApiToken'];
export type AuditRecord = Shapes['AuditLine'];
export type AuditSearch = Shapes['AuditSearch'];
export type Verified = Shapes['Verified'];
export type Subscription = Shapes['Subscription'];
export type Neighbour = Shapes['Neighbour'];
export type Explained = Shapes['Explained'];
export type Finding = Shapes['Finding'];
export type Job = Shapes['Job'];
export type Selection = Partial<Shapes['Selected']>;
export type Group = Shapes['Group'];
export type Trial = Shapes['Trial'];
export type View = Shapes['View'];
export type NewView = Shapes['NewView'];
export type GraphNode = Shapes['GraphNode'];
export type GraphEdge = Shapes['GraphEdge'];
export type ChannelDetail = Shapes['ChannelDetail'];
export type System = Shapes['SystemView'];
export type Render = Shapes['RenderAs'];

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

/** A list of which the engine may answer a page at a time: the whole of it. */
async function whole<Name extends string, Row, More>(path: string, list: Name): Promise<Record<Name, Row[]> & More> {
  type Page = Record<Name, Row[]> & More & { next?: string | null };
  // Later pages are asked for by whoever asked for the first.
  const quiet = byItself();
  const ask = (after: string) => json<Page>('GET', after ? `${path}?${new URLSearchParams({ after })}` : path);
  let page = await ask('');
  const rows = [...page[list]];
  while (page.next) {
    const after = page.next;
    page = await (quiet ? quietly(() => ask(after)) : ask(after));
    rows.push(...page[list]);
  }
  return { ...page, [list]: rows };
}

const part = encodeURIComponent;
/** `channel/destination` as two segments of a path. */
const place = (destination: string) => destination.split('/').map(part).join('/');

export const api = {
  session: () => json<Session>('GET', '/session'),
  signIn: (user: string, password: string, code?: string) =>
    json<Session>('POST', '/session', { user, password, ...(code ? { code } : {}) }),
  signInWays: () => json<Shapes['SignInWays']>('GET', '/session/ways'),
  signOut: () => call('DELETE', '/session'),
  setup: (token: string, user: string, password: string) =>
    json<Session>('POST', '/setup', { token, user, password }),
  status: () => json<Shapes['Status']>('GET', '/status'),
  channels: () => whole<'channels', Channel, Shapes['Channels']>('/channels', 'channels'),
  destination: (name: string) => json<DestinationDetail>('GET', `/destinations/${place(name)}`),
  destinationAct: (name: string, act: 'pause' | 'resume', reason: string) =>
    call('POST', `/destinations/${place(name)}/${act}`, { reason }),
  search: (query: MessageSearch) =>
    json<Shapes['Messages']>('POST', '/messages/search', query),
  message: (id: string) => json<Message>('GET', `/messages/${part(id)}`),
  body: async (id: string) => (await call('GET', `/messages/${part(id)}/body`)).arrayBuffer(),
  sent: async (id: string, destination: string) =>
    (await call('GET', `/messages/${part(id)}/sent/${place(destination)}`)).arrayBuffer(),
  tree: (id: string, destination?: string) =>
    json<Tree>('GET', `/messages/${part(id)}/tree${destination ? `?destination=${part(destination)}` : ''}`),
  neighbours: (id: string) => json<Shapes['Neighbours']>('GET', `/messages/${part(id)}/neighbours`),
  explain: (id: string) => json<Shapes['Explanation']>('GET', `/messages/${part(id)}/explain`),
  preview: (id: string, destination: string, payload?: string) =>
    json<Shapes['Preview']>('POST', `/messages/${part(id)}/preview`, { destination, ...(payload === undefined ? {} : { payload }) }),
  replay: (id: string, destinations: string[], reason: string, more: { render?: Render; payload?: string } = {}) =>
    json<Shapes['Resent']>('POST', `/messages/${part(id)}/replay`, { destinations, reason, ...more }),
  exceptions: (query: Shapes['ExceptionSearch']) =>
    json<Shapes['Exceptions']>('POST', '/exceptions/search', query),
  groups: (query: Shapes['Grouping']) =>
    json<Shapes['Groups']>('POST', '/exceptions/groups', query),
  /** What would become of the messages of a group; nothing is sent. */
  testGroup: ({ destination, state, cause, code, fingerprint }: Group) =>
    json<Trial>('POST', '/exceptions/groups/test', { destination, state, cause, code, ...(fingerprint ? { fingerprint } : {}) }),
  views: async () => (await json<Shapes['Views']>('GET', '/views')).views,
  addView: (view: NewView) => json<View>('POST', '/views', view),
  changeView: (id: number, view: NewView) => json<View>('PUT', `/views/${id}`, view),
  removeView: (id: number) => call('DELETE', `/views/${id}`),
  jobs: () => json<Shapes['JobList']>('GET', '/jobs'),
  addJob: (act: Shapes['JobAct'], selection: Selection, reason: string, rate?: number) =>
    json<Shapes['Begun']>('POST', '/jobs', { act, selection, reason, ...(rate === undefined ? {} : { rate_per_second: rate }) }),
  abortJob: (id: string, reason: string) => call('POST', `/jobs/${part(id)}/abort`, { reason }),
  channel: (name: string) => json<ChannelDetail>('GET', `/channels/${part(name)}?lang=${texts_.language}`),
  channelVersion: (name: string, version: number) => json<Shapes['VersionText']>('GET', `/channels/${part(name)}/versions/${version}`),
  channelAct: (name: string, act: 'start' | 'stop', reason: string) => call('POST', `/channels/${part(name)}/${act}`, { reason }),
  system: () => json<System>('GET', '/system'),
  history: (minutes: number) => json<Shapes['Points']>('GET', `/metrics/history?minutes=${minutes}`),
  users: () => whole<'users', User, Shapes['Users']>('/users', 'users'),
  addUser: (user: NewUser) => json<User>('POST', '/users', user),
  changeUser: (name: string, change: UserChange, match?: string) => json<User>('PUT', `/users/${part(name)}`, change, match),
  tokens: () => whole<'tokens', Token, Shapes['Tokens']>('/tokens', 'tokens'),
  addToken: (token: Shapes['NewToken']) =>
    json<Shapes['DrawnToken']>('POST', '/tokens', token),
  revokeToken: (name: string, match?: string) => call('DELETE', `/tokens/${part(name)}`, undefined, match),
  password: (old: string, fresh: string) => call('POST', '/session/password', { old, new: fresh }),
  drawFactor: () => json<Shapes['FactorAnswer']>('POST', '/session/second-factor', {}),
  enrolFactor: (drawn: string, code: string) => json<Shapes['FactorAnswer']>('POST', '/session/second-factor', { drawn, code }),
  emergency: (password: string, reason: string) =>
    json<Shapes['EmergencyAnswer']>('POST', '/session/emergency', { password, reason }),
  audit: (query: AuditSearch) => json<Shapes['AuditRecords']>('POST', '/audit/search', query),
  /** A part of the trail as a file, and where the next one begins. */
  exportAudit: async (format: 'csv' | 'fhir', from: string, query: Record<string, string>) => {
    const response = await call('GET', `/audit/export?${new URLSearchParams({ format, from, ...query })}`);
    return { text: await response.text(), next: response.headers.get('medway-next') };
  },
  verifyAudit: () => json<Verified>('GET', '/audit/verify'),
  subscriptions: () => json<Shapes['Subscriptions']>('GET', '/subscriptions'),
  subscription: (id: string) => json<Subscription>('GET', `/subscriptions/${part(id)}`),
  subscriptionAct: (id: string, act: string, reason: string, event?: number) =>
    json<Shapes['Anything']>('POST', `/subscriptions/${part(id)}/${act}`, { reason, ...(event === undefined ? {} : { event }) }),
  subscriptionSecret: (id: string, reason: string, overlap: number) =>
    json<Shapes['RotatedSecret']>('POST', `/subscriptions/${part(id)}/secret`, { reason, overlap_seconds: overlap }),
  reload: (reason: string) => json<Shapes['Reloaded']>('POST', '/reload', { reason }),
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
