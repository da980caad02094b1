import { type AuthConfig, scopes } from '../config/schema.ts'
import type { Clock } from '../core/clock.ts'
import { createKeyRing } from './auth-keys.ts'
import { createTokenVerifier } from './auth-oidc.ts'
import { type Principal, unauthenticated } from './principal.ts'

/** Finds out who sends a request; `undefined` when it carries no credentials. Throws `unauthenticated` for bad ones. */
export type Authenticate = (headers: Pick<Headers, 'get'>) => Promise<Principal | undefined>

/** Bounds what one guess costs: a hash of at most this much. */
const maxCredentialLength = 16 * 1024

const everything: Principal = { name: 'anonymous', scopes: new Set(scopes), role: 'internal' }

/**
 * Without configuration everybody may do everything (the configuration then allows loopback only). Else credentials
 * come as `Authorization: Bearer <API key or token>`, `X-API-Key: <API key>`, or `Authorization: Basic` with the key
 * as the password and any user name, for clients that know nothing else.
 */
export function createAuthenticate(config: AuthConfig | undefined, clock: Clock): Authenticate {
  if (!config) return async () => everything
  const keyRing = createKeyRing(config.apiKeys ?? [])
  const verify = config.oidc && createTokenVerifier(config.oidc, clock)
  return async (headers) => {
    const given = credentialIn(headers)
    if (given === undefined) return undefined
    const principal = given.length <= maxCredentialLength ? keyRing(given) : undefined
    if (principal) return principal
    if (verify && looksLikeToken(given)) return verify(given)
    throw unauthenticated('the credentials are not accepted', 'invalid_token')
  }
}

function credentialIn(headers: Pick<Headers, 'get'>): string | undefined {
  const authorization = headers.get('authorization')
  if (authorization === null) return headers.get('x-api-key') ?? undefined
  const [, scheme = '', value = ''] = /^([A-Za-z]+) +(\S+) *$/.exec(authorization) ?? []
  switch (scheme.toLowerCase()) {
    case 'bearer':
      return value
    case 'basic':
      return passwordIn(value)
    default:
      throw unauthenticated('Authorization: expected "Bearer <API key or token>" or "Basic …"', 'invalid_request')
  }
}

function passwordIn(encoded: string): string {
  const text = Buffer.from(encoded, 'base64').toString('utf8')
  return text.slice(text.indexOf(':') + 1)
}

const looksLikeToken = (text: string) => text.length <= maxCredentialLength && /^[\w-]+\.[\w-]+\.[\w-]*$/.test(text)
