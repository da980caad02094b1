import { createHash, timingSafeEqual } from 'node:crypto'
import type { AuthConfig } from '../config/schema.ts'
import type { Principal } from './principal.ts'

const sha256 = (text: string): Buffer => createHash('sha256').update(text).digest()

/**
 * Finds the owner of an API key. Keys are random and long, so a plain hash is enough; all of them are compared, each
 * in constant time, so that the time tells nothing.
 */
export function createKeyRing(keys: NonNullable<AuthConfig['apiKeys']>): (given: string) => Principal | undefined {
  const ring = keys.map(({ name, hash, scopes, role }) => ({
    hash: Buffer.from(hash.slice('sha256:'.length), 'hex'),
    principal: { name: `key:${name}`, site: name, scopes: new Set(scopes), role },
  }))
  return (given) => {
    const hash = sha256(given)
    let owner: Principal | undefined
    for (const key of ring) if (timingSafeEqual(key.hash, hash)) owner = key.principal
    return owner
  }
}
