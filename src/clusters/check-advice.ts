import type { ClusterConfig } from '../config/schema.ts'
import { ClusterError } from '../core/outcome.ts'

/**
 * What an administrator can do about a cluster that does not answer. Meant for a console: it names the host and the
 * key of the configuration, which no answer to a client may.
 */
export function adviceFor(thrown: unknown, config: ClusterConfig, at: string): string {
  if (!(thrown instanceof ClusterError)) return thrown instanceof Error ? thrown.message : String(thrown)
  const url = new URL(config.dicomweb ?? 'http://unknown')
  const chain = causesOf(thrown)
  const code = chain.map((error) => (error as { code?: unknown }).code).findLast((it) => typeof it === 'string')
  const status = chain.map((error) => (error as { status?: unknown }).status).find((it) => typeof it === 'number')
  return (
    (thrown.message.includes('OAuth2') ? tokenAdvice(thrown, at) : undefined) ??
    statusAdvice(Number(status), config, url, at) ??
    connectionAdvice(String(code), url, at) ??
    reasonAdvice(thrown, config, url, at)
  )
}

function causesOf(error: Error): Error[] {
  const chain = [error]
  for (let cause = error.cause; cause instanceof Error && chain.length < 5; cause = cause.cause) chain.push(cause)
  return chain
}

const tokenAdvice = (error: ClusterError, at: string): string =>
  `${withoutCluster(error)} (${at}.auth.oauth2: tokenUrl, clientId, clientSecret, scope)`

function statusAdvice(status: number, config: ClusterConfig, url: URL, at: string): string | undefined {
  switch (status) {
    case 401:
      return `401: ${credentialsAdvice(config, at)}`
    case 403:
      return `403: the archive knows who asks but does not allow it; give the account of ${at}.auth the right to query and retrieve`
    case 404:
      return `404: nothing answers searches for studies at ${url.pathname}; is the path of ${at}.dicomweb right? Usual ones end in /dicom-web, /rs or /dicomweb`
    case 429:
      return '429: the archive is asked too often; raise its limit for this proxy'
    default:
      return status >= 500
        ? `${status}: the archive, or a gateway before it, is out of order; look at its log`
        : undefined
  }
}

function credentialsAdvice({ auth }: ClusterConfig, at: string): string {
  if (auth?.basic) return `the user name or password configured under ${at}.auth.basic is not accepted`
  if (auth?.bearer) return `the token configured under ${at}.auth.bearer is not accepted; has it expired?`
  if (auth?.oauth2) return `the archive does not accept the token; is ${at}.auth.oauth2.audience or scope right?`
  return `the archive wants to know who asks; configure ${at}.auth`
}

function connectionAdvice(code: string, url: URL, at: string): string | undefined {
  if (unknownAuthority.has(code)) {
    return `the certificate of ${url.hostname} is signed by an authority this system does not know; set ${at}.ca to a PEM file with the certificate of that authority`
  }
  if (/^ERR_SSL_.*(CERTIFICATE|HANDSHAKE_FAILURE)/.test(code)) {
    return `${url.host} wants a client certificate, or another one; set ${at}.auth.clientCertificate`
  }
  if (/WRONG_VERSION_NUMBER|EPROTO|PACKET_LENGTH/.test(code)) {
    return `${url.host} does not speak TLS; should ${at}.dicomweb begin with http://?`
  }
  return connectionAdvices.get(code)?.(url, at)
}

const unknownAuthority: ReadonlySet<string> = new Set([
  'DEPTH_ZERO_SELF_SIGNED_CERT',
  'SELF_SIGNED_CERT_IN_CHAIN',
  'UNABLE_TO_VERIFY_LEAF_SIGNATURE',
  'UNABLE_TO_GET_ISSUER_CERT',
  'UNABLE_TO_GET_ISSUER_CERT_LOCALLY',
])

const connectionAdvices: ReadonlyMap<string, (url: URL, at: string) => string> = new Map([
  [
    'ECONNREFUSED',
    (url, at) => `connection refused at ${url.host}; is the archive running, and is the port of ${at}.dicomweb right?`,
  ],
  ['ENOTFOUND', (url, at) => `the host name ${url.hostname} is unknown; is ${at}.dicomweb right?`],
  [
    'EAI_AGAIN',
    (url) => `the host name ${url.hostname} cannot be looked up now; does the name server of this machine work?`,
  ],
  ['EHOSTUNREACH', (url) => `there is no way to ${url.host}; look at network, VPN and firewall`],
  ['ENETUNREACH', (url) => `there is no way to ${url.host}; look at network, VPN and firewall`],
  ['ETIMEDOUT', (url) => `no connection to ${url.host}; does a firewall drop it?`],
  ['UND_ERR_CONNECT_TIMEOUT', (url) => `no connection to ${url.host} in time; does a firewall drop it?`],
  ['CERT_HAS_EXPIRED', (url) => `the certificate of ${url.hostname} has expired; renew it`],
  [
    'ERR_TLS_CERT_ALTNAME_INVALID',
    (url, at) =>
      `the certificate of ${url.host} is for another host name; write the name it is for into ${at}.dicomweb`,
  ],
])

function reasonAdvice(error: ClusterError, config: ClusterConfig, url: URL, at: string): string {
  if (error.reason === 'timed-out') {
    return `no answer from ${url.host} within ${config.timeoutMs} ms; is the archive overloaded, or ${at}.timeoutMs too short?`
  }
  if (error.reason === 'unreachable' && url.protocol === 'http:') {
    return `${url.host} closed the connection; should ${at}.dicomweb begin with https://?`
  }
  return withoutCluster(error)
}

/** The text of the error, which on the console stands under the name of its cluster. */
const withoutCluster = (error: ClusterError): string => error.message.replace(/^cluster \S+: /, '')
