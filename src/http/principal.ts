import type { Scope } from '../config/schema.ts'
import type { CallerRole } from '../core/audience.ts'
import { ProblemError } from './problem.ts'

/** Who asks, as far as the log may know. */
export interface Principal {
  /** `anonymous`, `key:<name of the key>` or `oidc:<hash of issuer and subject>`. */
  readonly name: string
  /** The id of the site it may speak for, should that be a peer: the name of its key, the client of its token. */
  readonly site?: string
  readonly scopes: ReadonlySet<Scope>
  /** `external`: another system, that sees only the clusters whose `queries.external` is on. */
  readonly role: CallerRole
}

/** RFC 6750 section 3. Basic is not offered: browsers would ask their users for a password. */
export function unauthenticated(message: string, error?: 'invalid_token' | 'invalid_request', cause?: unknown) {
  const challenge = `Bearer realm="dicomweb-link"${error ? `, error="${error}"` : ''}`
  return new ProblemError('unauthenticated', message, { cause, headers: { 'WWW-Authenticate': challenge } })
}

/** Throws unless `principal` may do what needs `scope`. */
export function requireScope(principal: Principal | undefined, scope: Scope): asserts principal is Principal {
  if (!principal) {
    throw unauthenticated('credentials are needed: an API key or a token as "Authorization: Bearer …"')
  }
  if (principal.scopes.has(scope)) return
  throw new ProblemError('forbidden', `this needs the scope "${scope}", which these credentials do not have`, {
    headers: { 'WWW-Authenticate': `Bearer realm="dicomweb-link", error="insufficient_scope", scope="${scope}"` },
  })
}
