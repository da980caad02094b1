import { readFileSync } from 'node:fs'
import { createSecureContext } from 'node:tls'
import type { ClusterAuth, ClusterConfig } from '../config/schema.ts'
import type { Clock } from '../core/clock.ts'
import { LinkError } from '../core/errors.ts'
import { basicAuthorization, type Credentials } from './credentials-header.ts'
import { createTokenSource } from './credentials-oauth2.ts'

/** What TLS needs to know, as PEM; the names are those of `tls.connect`. */
export interface TlsMaterial {
  readonly ca?: string
  readonly cert?: string
  readonly key?: string
  readonly passphrase?: string
}

/** Credentials for one cluster. An OAuth2 token is asked for when it is first needed. */
export function createCredentials(config: ClusterConfig, clock: Clock): Credentials {
  const auth = config.auth ?? {}
  if (auth.oauth2) return createTokenSource(config, auth.oauth2, clock)
  const fixed = fixedAuthorization(auth)
  return { authorization: async () => fixed, refused: () => false, close: async () => undefined }
}

function fixedAuthorization({ basic, bearer }: ClusterAuth): string | undefined {
  if (basic) return basicAuthorization(basic.username, basic.password)
  return bearer && `Bearer ${bearer.token}`
}

/**
 * Reads the files of certificates and keys, once. Throws `LinkError` `config` naming the key of the configuration
 * when one cannot be read, is no PEM, or certificate and key do not belong together.
 */
export function readTlsMaterial(config: ClusterConfig): TlsMaterial {
  const at = `clusters.${config.id}`
  const client = config.auth?.clientCertificate
  const material: TlsMaterial = {
    ...(config.ca !== undefined && { ca: readPem(config.ca, `${at}.ca`) }),
    ...(client && {
      cert: readPem(client.cert, `${at}.auth.clientCertificate.cert`),
      key: readPem(client.key, `${at}.auth.clientCertificate.key`),
      ...(client.passphrase !== undefined && { passphrase: client.passphrase }),
    }),
  }
  try {
    createSecureContext(material)
  } catch (cause) {
    throw new LinkError('config', `${at}: ${tlsAdvice(cause)}`, { cause })
  }
  return material
}

function readPem(path: string, key: string): string {
  let text: string
  try {
    text = readFileSync(path, 'utf8')
  } catch (cause) {
    const code = (cause as NodeJS.ErrnoException).code ?? 'unreadable'
    throw new LinkError('config', `${key}: cannot read ${path} (${code}); expected a PEM file`, { cause })
  }
  if (text.includes('-----BEGIN ')) return text
  throw new LinkError('config', `${key}: ${path} is no PEM file; it should hold a line "-----BEGIN …"`)
}

function tlsAdvice(cause: unknown): string {
  const code = String((cause as { code?: unknown }).code)
  if (code === 'ERR_OSSL_X509_KEY_VALUES_MISMATCH') return 'the key of clientCertificate does not belong to its cert'
  if (/BAD_DECRYPT|BAD_PASSWORD|INTERRUPTED|MISSING_PASSPHRASE/.test(code)) {
    return 'the key of clientCertificate is encrypted and its passphrase is missing or wrong'
  }
  return `ca or clientCertificate cannot be used (${code}); expected PEM files of certificates and of one private key`
}
