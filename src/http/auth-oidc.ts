import { createHash } from 'node:crypto'
import { createRemoteJWKSet, errors, type JWTPayload, type JWTVerifyGetKey, jwtVerify } from 'jose'
import { idPattern, type OidcConfig, scopes } from '../config/schema.ts'
import type { Clock } from '../core/clock.ts'
import { LinkError, toError } from '../core/errors.ts'
import { type Principal, unauthenticated } from './principal.ts'

/** Asymmetric only: `none` and shared secrets would let whoever can read the configuration make tokens. */
const algorithms = ['RS256', 'RS384', 'RS512', 'PS256', 'PS384', 'PS512', 'ES256', 'ES384', 'ES512', 'EdDSA']

const fetchTimeoutMs = 5000
const maxDiscoveryBytes = 256 * 1024
/** Keys are fetched again at most this often, however many tokens name keys nobody knows. */
const coolDownMs = 30_000

/**
 * Verifies a bearer token: signature by the issuer's keys (cached), issuer, audience, times. Scopes are read from
 * `scope` and `scp`, as `query` or `dicomweb-link:query`, and from `roles` and `realm_access.roles`, there as
 * `dicomweb-link:query` only: roles are shared with other systems, whose `admin` is none of ours. The word
 * `dicomweb-link:external` in any of them makes the caller an external one. Throws `unauthenticated` for a bad token and
 * `unavailable` when the issuer's keys cannot be had.
 */
export function createTokenVerifier(config: OidcConfig, clock: Clock): (token: string) => Promise<Principal> {
  const keys = createKeySource(config, clock)
  return async (token) => {
    const getKey = await keys()
    try {
      const { payload } = await jwtVerify(token, getKey, {
        issuer: config.issuer,
        audience: config.audience,
        algorithms,
        clockTolerance: config.clockSkewSeconds,
        currentDate: new Date(clock.now()),
        requiredClaims: ['exp'],
      })
      return { name: nameOf(payload), ...siteIn(payload), ...rightsIn(payload) }
    } catch (error) {
      throw explain(error)
    }
  }
}

/** The subject may be a person's name: the log gets what tells two of them apart and no more. */
function nameOf({ iss, sub, client_id: client, azp }: JWTPayload): string {
  const who = [iss, sub ?? client ?? azp].join('|')
  return `oidc:${createHash('sha256').update(who).digest('hex').slice(0, 12)}`
}

/** Peers come with tokens of the client credentials grant, whose client is known under the id of their site. */
function siteIn({ client_id: client, azp }: JWTPayload): Pick<Principal, 'site'> {
  const site = client ?? azp
  return typeof site === 'string' && idPattern.test(site) ? { site } : {}
}

const prefix = 'dicomweb-link:'

function rightsIn(payload: JWTPayload): Pick<Principal, 'scopes' | 'role'> {
  const realm = payload.realm_access as { roles?: unknown } | undefined
  const inScopes = [payload.scope, payload.scp].flatMap(wordsIn)
  const inRoles = [payload.roles, realm?.roles].flatMap(wordsIn)
  const granted = new Set([...inScopes, ...inRoles])
  const plain = new Set(inScopes)
  return {
    scopes: new Set(scopes.filter((scope) => granted.has(prefix + scope) || plain.has(scope))),
    role: granted.has(`${prefix}external`) ? 'external' : 'internal',
  }
}

const wordsIn = (claim: unknown): string[] =>
  typeof claim === 'string' ? claim.split(' ') : Array.isArray(claim) ? claim.map(String) : []

function explain(error: unknown): LinkError {
  if (error instanceof errors.JWTExpired) return unauthenticated('the token has expired', 'invalid_token', error)
  if (error instanceof errors.JWTClaimValidationFailed) {
    return unauthenticated(`the token is not accepted: its claim "${error.claim}" is not right`, 'invalid_token', error)
  }
  const isKeyTrouble = error instanceof errors.JWKSTimeout || error instanceof errors.JWKSInvalid
  if (isKeyTrouble || !(error instanceof errors.JOSEError) || error.code === 'ERR_JOSE_GENERIC') return noKeys(error)
  return unauthenticated('the token is not accepted: it is not signed as this service expects', 'invalid_token', error)
}

const noKeys = (cause: unknown) =>
  new LinkError('unavailable', 'tokens cannot be checked: the keys of their issuer cannot be had', { cause })

/** Where the keys are is asked once; when that fails, not again before the cool-down. */
function createKeySource(config: OidcConfig, clock: Clock): () => Promise<JWTVerifyGetKey> {
  let known: Promise<JWTVerifyGetKey> | undefined
  let askAgainAt = 0
  const find = async () => {
    const address = config.jwksUri ?? (await discover(config.issuer))
    return createRemoteJWKSet(new URL(address), { timeoutDuration: fetchTimeoutMs, cooldownDuration: coolDownMs })
  }
  return async () => {
    if (known === undefined || (askAgainAt !== 0 && clock.now() >= askAgainAt)) {
      askAgainAt = 0
      known = find()
    }
    try {
      return await known
    } catch (error) {
      if (askAgainAt === 0) askAgainAt = clock.now() + coolDownMs
      throw noKeys(error)
    }
  }
}

/** OpenID Connect Discovery 1.0 section 4. */
async function discover(issuer: string): Promise<string> {
  const address = `${issuer.replace(/\/$/, '')}/.well-known/openid-configuration`
  const response = await fetch(address, { signal: AbortSignal.timeout(fetchTimeoutMs), redirect: 'error' })
  const text = await boundedText(response)
  if (!response.ok) throw new Error(`${address} answered ${response.status}`)
  const { issuer: named, jwks_uri: keys } = JSON.parse(text) as { issuer?: unknown; jwks_uri?: unknown }
  if (named !== issuer) throw new Error(`${address} speaks for another issuer`)
  if (typeof keys !== 'string' || !URL.canParse(keys)) throw new Error(`${address} names no jwks_uri`)
  if (new URL(keys).protocol !== new URL(issuer).protocol)
    throw new Error(`${address}: jwks_uri is of another protocol`)
  return keys
}

async function boundedText(response: Response): Promise<string> {
  const chunks: Uint8Array[] = []
  let size = 0
  for await (const chunk of response.body ?? []) {
    size += chunk.byteLength
    if (size > maxDiscoveryBytes) throw toError(`more than ${maxDiscoveryBytes} bytes`)
    chunks.push(chunk)
  }
  return Buffer.concat(chunks).toString('utf8')
}
