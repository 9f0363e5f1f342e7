// The real engine in a folder of its own, receivers that answer as told, and a sender.

import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createWriteStream, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { createHmac } from 'node:crypto';
import http from 'node:http';
import { connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

const ROOT = resolve(dirname(fileURLToPath(import.meta.url)), '../../..');
/** The binary that is tried. */
export const BINARY = process.env.MEDWAY_BINARY ?? join(ROOT, 'target/debug/medway');

/** What is subscribed to. */
const TOPIC = 'https://hospital.example/topics/results';
/** How long a condition is waited for. */
export const PATIENCE_MS = Number(process.env.MEDWAY_PATIENCE_MS ?? 60_000);
const START = Buffer.from([0x0b]);
const END = Buffer.from([0x1c, 0x0d]);

/** A port nobody listens on now. */
export async function freePort() {
  const server = createServer();
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address();
  server.close();
  await once(server, 'close');
  return port;
}

/** Asks again and again until the answer is a true one; fails after a while with what it waited for. */
export async function until(what, ask, milliseconds = PATIENCE_MS) {
  const deadline = Date.now() + milliseconds;
  for (;;) {
    const found = await ask();
    if (found) return found;
    if (Date.now() > deadline) throw new Error(`waited ${milliseconds} ms for ${what}`);
    await new Promise((go) => setTimeout(go, 50));
  }
}

/** Calls back with each frame of a stream. */
function frames(socket, take) {
  let kept = Buffer.alloc(0);
  socket.on('data', (bytes) => {
    kept = Buffer.concat([kept, bytes]);
    for (;;) {
      const end = kept.indexOf(END);
      if (end < 0) return;
      take(kept.subarray(kept.indexOf(START) + 1, end).toString('utf8'));
      kept = kept.subarray(end + END.length);
    }
  });
  socket.on('error', () => socket.destroy());
}

/** A receiver that answers each message as `answer` says: `[code, text]`. */
export class Receiver {
  answer = () => ['AA', ''];
  got = [];

  static async open() {
    const receiver = new Receiver();
    receiver.server = createServer((socket) => {
      frames(socket, (text) => {
        const id = text.split('\r')[0].split('|')[9];
        const [code, words] = receiver.answer(text);
        if (code === 'AA') receiver.got.push(text);
        const reply = `MSH|^~\\&|R|R|M|M|20261127||ACK|${id}|P|2.5.1\rMSA|${code}|${id}|${words}\r`;
        socket.write(Buffer.concat([START, Buffer.from(reply), END]));
      });
    });
    receiver.server.listen(0, '127.0.0.1');
    await once(receiver.server, 'listening');
    receiver.port = receiver.server.address().port;
    return receiver;
  }

  close() {
    this.server.close();
  }
}

/** A receiver of FHIR notifications: keeps each call and answers with the status it is told to. */
export class Hook {
  status = 200;
  got = [];

  static async open() {
    const hook = new Hook();
    hook.server = http.createServer(async (request, response) => {
      const parts = [];
      for await (const part of request) parts.push(part);
      const bundle = JSON.parse(Buffer.concat(parts).toString('utf8'));
      const said = Object.fromEntries(bundle.entry[0].resource.parameter.map((one) => [one.name, Object.values(one).find((value) => value !== one.name)]));
      hook.got.push({ kind: said.type, number: Number(said['events-since-subscription-start']), signature: request.headers['webhook-signature'], answered: hook.status });
      response.writeHead(hook.status, { 'content-length': 0 }).end();
    });
    hook.server.listen(0, '127.0.0.1');
    await once(hook.server, 'listening');
    hook.port = hook.server.address().port;
    return hook;
  }

  /** The numbers of the events that were taken. */
  taken() {
    return this.got.filter((call) => call.kind === 'event-notification' && call.answered === 200).map((call) => call.number);
  }

  close() {
    this.server.closeAllConnections();
    this.server.close();
  }
}

/** What an authenticator shows (RFC 6238): the code of now, or of so many steps of thirty seconds later. */
export function code(secret, later = 0) {
  const letters = 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567';
  const bits = [...secret.replace(/=+$/, '')].map((letter) => letters.indexOf(letter).toString(2).padStart(5, '0')).join('');
  const key = Buffer.from(bits.match(/.{8}/g).map((byte) => Number.parseInt(byte, 2)));
  const step = Buffer.alloc(8);
  step.writeBigUInt64BE(BigInt(Math.floor(Date.now() / 30_000) + later));
  const sum = createHmac('sha1', key).update(step).digest();
  const number = sum.readUInt32BE(sum[19] & 15) & 0x7fffffff;
  return String(number % 1_000_000).padStart(6, '0');
}

/** Whether somebody listens on a port. */
export async function listens(port) {
  const socket = connect(port, '127.0.0.1');
  const found = await once(socket, 'connect').then(() => true, () => false);
  socket.destroy();
  return found;
}

/** Sends messages over one connection; answers the codes of their acknowledgements. */
export async function send(port, messages) {
  const socket = connect(port, '127.0.0.1');
  await once(socket, 'connect');
  const codes = [];
  const all = new Promise((done, failed) => {
    frames(socket, (text) => {
      codes.push(/MSA\|(\w\w)/.exec(text)?.[1]);
      if (codes.length === messages.length) done();
    });
    socket.on('close', () => failed(new Error('the engine closed the connection')));
  });
  for (const text of messages) socket.write(Buffer.concat([START, Buffer.from(text), END]));
  await all;
  socket.end();
  return codes;
}

let drawn = 0;

/** A result with an accession number; `fields` replaces fields by path. */
export function result(fields = {}) {
  drawn += 1;
  const all = { id: `T${Date.now()}${drawn}`, event: 'R01', mrn: '900100', name: 'Testperson^Ada', accession: `ACC${drawn}`, value: '4.2', note: 'made up', ...fields };
  return [
    `MSH|^~\\&|LAB|MAIN|MW|MAIN|20261127080000+0000||ORU^${all.event}|${all.id}|P|2.5.1||||||UNICODE UTF-8`,
    `PID|1||${all.mrn}^^^MAIN^MR||${all.name}||19800102|F`,
    'PV1|1|I|ICU^1^A',
    `OBR|1|ORD1|${all.accession}|K^Potassium|||20261127080000`,
    `OBX|1|NM|K^Potassium||${all.value}|mmol/L|3.5-5.1|N|||F`,
    `NTE|1||${all.note}`,
    '',
  ].join('\r');
}

export class Engine {
  /** Writes the configuration: one channel `trial` to `emr`, `lis` and `billing`. */
  static async prepare({ emr, lis }) {
    if (!existsSync(BINARY)) throw new Error(`${BINARY} is not there: cargo build`);
    const engine = new Engine();
    engine.folder = mkdtempSync(join(tmpdir(), 'medway-web-'));
    [engine.port, engine.admin] = [await freePort(), await freePort()];
    engine.url = `http://127.0.0.1:${engine.admin}`;
    mkdirSync(join(engine.folder, 'channels'));
    engine.write('channels/trial.yaml', `channel: trial
title: {en: Trial, zh: 试验}
order_by: PID-3.1
from: {mllp: {listen: "127.0.0.1:${engine.port}"}, ack: after_stored}
accept: {duplicate: none}
search_keys: {mrn: PID-3.1, accession: OBR-3.1, order: OBR-2.1, name: {path: PID-5, mask: true}}
to:
  emr:
    mllp: {host: 127.0.0.1, port: ${emr.port}}
    order: none
    change: [{set: {MSH-5: EMR, NTE-3: checked}}]
  lis:
    mllp: {host: 127.0.0.1, port: ${lis.port}}
    on_ack: strict_order
    retry: {first: 1h, max: 1h, for: 72h, then: hold}
  billing:
    when: MSH-9.2 is A01
    mllp: {host: 127.0.0.1, port: ${emr.port}}
tests:
  - name: a result is not billed
    send: result.hl7
    expect: {ack: AA, emr: sent, billing: nothing}
`);
    engine.write('channels/result.hl7', result());
    engine.write('engine.yaml', `data: data\nchannels: channels\nadmin: {listen: "127.0.0.1:${engine.admin}"}\n`);
    return engine;
  }

  /** Adds a FHIR source whose clients may subscribe, before it is started. */
  async withSubscriptions() {
    this.fhirPort = await freePort();
    this.write('channels/gateway.yaml', `channel: gateway
order_by: none
from: {fhir: {listen: "127.0.0.1:${this.fhirPort}", access: none}}
to: {nowhere: {when: $.resourceType is Basic, channel: {topic: nothing}}}
`);
    const settings = readFileSync(join(this.folder, 'engine.yaml'), 'utf8');
    this.write('engine.yaml', `${settings}subscriptions: {allow: [127.0.0.0/8], plain_http: true, schedule: [1h], topics: [{url: "${TOPIC}", types: [Observation]}]}
`);
    return this;
  }

  /** One FHIR request; answers the resource. */
  async fhir(method, path, body) {
    const response = await fetch(`http://127.0.0.1:${this.fhirPort}/fhir/${path}`, { method, headers: { 'content-type': 'application/fhir+json' }, ...(body ? { body: JSON.stringify(body) } : {}) });
    const text = await response.text();
    if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${text}`);
    return JSON.parse(text);
  }

  /** Subscribes; answers when the handshake is done. */
  async subscribe(id, port) {
    const extension = [{ url: 'http://hl7.org/fhir/uv/subscriptions-backport/StructureDefinition/backport-payload-content', valueCode: 'id-only' }];
    const channel = { type: 'rest-hook', endpoint: `http://127.0.0.1:${port}/hook`, payload: 'application/fhir+json', _payload: { extension } };
    await this.fhir('PUT', `Subscription/${id}`, { resourceType: 'Subscription', id, status: 'requested', reason: 'a trial', criteria: TOPIC, channel });
    await until('the subscription to be active', async () => (await this.fhir('GET', `Subscription/${id}`)).status === 'active');
  }

  /** A result that subscribers are told of. */
  observe(id) {
    return this.fhir('PUT', `Observation/${id}`, { resourceType: 'Observation', id, status: 'final', code: { text: 'pulse' }, subject: { reference: 'Patient/900100' }, valueInteger: 70 });
  }

  write(name, text) {
    writeFileSync(join(this.folder, name), text);
  }

  read(name) {
    return readFileSync(join(this.folder, name), 'utf8');
  }

  /** Every file of it but the store of messages, as text. */
  files() {
    const names = readdirSync(this.folder, { recursive: true }).filter((name) => !/(^|\/)medway\.db(-wal|-shm)?$/.test(name) && statSync(join(this.folder, name)).isFile());
    return Object.fromEntries(names.map((name) => [name, readFileSync(join(this.folder, name), 'utf8')]));
  }

  /** What the store holds, counted by nobody of ours: Python's SQLite on the file itself. */
  stored(query) {
    const program = 'import json, sqlite3, sys; print(json.dumps(sqlite3.connect(f"file:{sys.argv[1]}?mode=ro", uri=True).execute(sys.argv[2]).fetchall()))';
    return JSON.parse(execFileSync('python3', ['-c', program, join(this.folder, 'data/medway.db'), query], { encoding: 'utf8' }));
  }

  /** Starts it and waits until it is ready. */
  async start(log = 'info') {
    const kept = createWriteStream(join(this.folder, 'log'), { flags: 'a' });
    this.child = spawn(BINARY, ['serve', '--config', join(this.folder, 'engine.yaml')], { stdio: ['ignore', 'pipe', 'pipe'], env: { ...process.env, MEDWAY_LOG: log } });
    this.child.stdout.pipe(kept);
    this.child.stderr.pipe(kept);
    await until('the engine to be ready', async () => {
      if (this.child.exitCode !== null) throw new Error(`the engine ended:\n${this.log()}`);
      return (await fetch(`${this.url}/readyz`).catch(() => undefined))?.ok;
    });
    return this;
  }

  log() {
    return readFileSync(join(this.folder, 'log'), 'utf8');
  }

  /** The one-time link it printed. */
  async invitation() {
    return until('the one-time link', () => /http:\/\/\S+\/setup#\S+/.exec(this.log())?.[0]);
  }

  /** Calls the API with the engine's own token. */
  async api(method, path, body) {
    const token = readFileSync(join(this.folder, 'data/admin.token'), 'utf8').trim();
    const response = await fetch(`${this.url}/api/v1${path}`, {
      method,
      headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    const text = await response.text();
    if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${text}`);
    return text ? JSON.parse(text) : undefined;
  }

  /** Adds somebody; answers the password. */
  async person(name, roles) {
    const password = `made-up ${name} phrase`;
    await this.api('POST', '/users', { name, password, roles });
    return password;
  }

  /** A field of a destination's status once `is` holds for it. */
  async destination(name, is) {
    return until(`${name} to be as wished`, async () => {
      const one = await this.api('GET', `/destinations/trial/${name}`);
      return is(one) ? one : undefined;
    });
  }

  async stop() {
    if (this.child && this.child.exitCode === null) {
      this.child.kill('SIGTERM');
      await once(this.child, 'exit');
    }
    rmSync(this.folder, { recursive: true, force: true });
  }
}
