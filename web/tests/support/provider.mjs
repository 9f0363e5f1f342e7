// A provider of OpenID Connect on loopback: authorization code with PKCE, ID tokens signed with ES256.

import { createHash, generateKeyPairSync, randomUUID, sign } from 'node:crypto';
import { once } from 'node:events';
import http from 'node:http';

const encoded = (value) => Buffer.from(typeof value === 'string' ? value : JSON.stringify(value)).toString('base64url');

export class Provider {
  /** What its tokens say of the person, beside the usual. */
  claims = { sub: 's-1', preferred_username: 'li', name: 'Li Na', groups: ['medway-operators'] };
  #given = new Map();

  static async open() {
    const provider = new Provider();
    provider.key = generateKeyPairSync('ec', { namedCurve: 'P-256' });
    provider.server = http.createServer((request, response) => void provider.#answer(request, response));
    provider.server.listen(0, '127.0.0.1');
    await once(provider.server, 'listening');
    provider.url = `http://127.0.0.1:${provider.server.address().port}`;
    return provider;
  }

  /** What `engine.yaml` says of it. */
  settings(engine) {
    return `access: {oidc: {label: Hospital account, issuer: "${this.url}", client_id: medway, redirect_url: "${engine}/api/v1/session/oidc/callback", scopes: [profile, groups], mapping: [{value: medway-operators, roles: [operator]}]}}\n`;
  }

  #token(nonce) {
    const now = Math.floor(Date.now() / 1000);
    const claims = { iss: this.url, aud: 'medway', nonce, iat: now, exp: now + 60, ...this.claims };
    const text = `${encoded({ alg: 'ES256', typ: 'JWT', kid: '1' })}.${encoded(claims)}`;
    return `${text}.${sign('sha256', Buffer.from(text), { key: this.key.privateKey, dsaEncoding: 'ieee-p1363' }).toString('base64url')}`;
  }

  async #answer(request, response) {
    const url = new URL(request.url, this.url);
    const json = (body, status = 200) => response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body));
    const to = (address) => response.writeHead(303, { location: address }).end();
    if (url.pathname === '/.well-known/openid-configuration')
      return json({
        issuer: this.url, authorization_endpoint: `${this.url}/authorize`, token_endpoint: `${this.url}/token`, jwks_uri: `${this.url}/keys`,
        response_types_supported: ['code'], subject_types_supported: ['public'], id_token_signing_alg_values_supported: ['ES256'],
      });
    if (url.pathname === '/keys') return json({ keys: [{ ...this.key.publicKey.export({ format: 'jwk' }), use: 'sig', alg: 'ES256', kid: '1' }] });
    if (url.pathname === '/authorize') {
      const asked = JSON.stringify(Object.fromEntries(url.searchParams)).replaceAll('&', '&amp;').replaceAll('"', '&quot;');
      return response.writeHead(200, { 'content-type': 'text/html; charset=utf-8' }).end(
        `<!doctype html><html lang="en"><title>Provider</title><h1>The provider</h1><form action="/decide"><input type="hidden" name="asked" value="${asked}"><button name="said" value="yes">It is me</button><button name="said" value="no">It is not me</button></form></html>`,
      );
    }
    if (url.pathname === '/decide') {
      const asked = JSON.parse(url.searchParams.get('asked'));
      const back = new URL(asked.redirect_uri);
      back.searchParams.set('state', asked.state);
      if (url.searchParams.get('said') !== 'yes') {
        back.searchParams.set('error', 'access_denied');
        return to(back.href);
      }
      const code = randomUUID();
      this.#given.set(code, asked);
      back.searchParams.set('code', code);
      return to(back.href);
    }
    if (url.pathname !== '/token') return json({}, 404);
    const parts = [];
    for await (const part of request) parts.push(part);
    const form = new URLSearchParams(Buffer.concat(parts).toString('utf8'));
    const asked = this.#given.get(form.get('code'));
    this.#given.delete(form.get('code'));
    // RFC 7636 §4.6: the verifier is the one the challenge was made of.
    const proof = createHash('sha256').update(form.get('code_verifier') ?? '').digest('base64url');
    if (!asked || proof !== asked.code_challenge) return json({ error: 'invalid_grant' }, 400);
    return json({ access_token: 'a', token_type: 'Bearer', id_token: this.#token(asked.nonce) });
  }

  close() {
    this.server.closeAllConnections();
    this.server.close();
  }
}
