import { isIPv4 } from 'node:net'
import { z } from 'zod'

/** Identifiers of sites and clusters: they go into answers, metrics and paths, so they stay plain. */
const idRule = 'lower-case letters, digits and dashes, at most 32 characters, e.g. "north"'
export const idPattern = /^[a-z0-9][a-z0-9-]{0,31}$/
const id = z.string().regex(idPattern, idRule).describe(idRule)

/** Of the cluster that keeps what is stored while home is not reachable. */
export const spoolId = 'spool'

const isHttpUrl = (text: string) => URL.canParse(text) && /^https?:$/.test(new URL(text).protocol)

/** What may carry credentials when it is wrong: its value is never shown. */
const address = { format: 'uri' }

/** Credentials in an address would show up in logs and errors; they have their own keys. */
const httpUrl = z
  .string()
  .refine(isHttpUrl, { error: 'an http:// or https:// address', abort: true })
  .refine((text) => new URL(text).username === '' && new URL(text).password === '', {
    error: 'an address without user name and password',
    abort: true,
  })
  .refine((text) => !/[?#]/.test(text), 'an address without ? and #')
  .meta(address)

const milliseconds = z.int().min(1).max(3_600_000)
const yearMs = 365 * 24 * 3_600_000
const count = z.int().min(1)
const bytes = z.int().min(1024)
const filePath = z.string().min(1)

/** How the proxy proves itself to one cluster; at most one way of credentials, a client certificate beside it. */
const clusterAuth = z
  .strictObject({
    basic: z.strictObject({ username: z.string().min(1), password: z.string() }).optional(),
    bearer: z.strictObject({ token: z.string().min(1) }).optional(),
    oauth2: z
      .strictObject({
        tokenUrl: httpUrl,
        clientId: z.string().min(1),
        clientSecret: z.string().min(1),
        scope: z.string().optional(),
        audience: z.string().optional(),
      })
      .optional(),
    /** Paths of PEM files. */
    clientCertificate: z.strictObject({ cert: filePath, key: filePath, passphrase: z.string().optional() }).optional(),
  })
  .refine(
    (auth) => [auth.basic, auth.bearer, auth.oauth2].filter(Boolean).length <= 1,
    'only one of basic, bearer and oauth2',
  )

const cluster = z
  .strictObject({
    id,
    role: z.enum(['home', 'linked', 'thirdParty']),
    dicomweb: httpUrl.optional(),
    embedded: z.strictObject({}).optional(),
    link: httpUrl.optional(),
    auth: clusterAuth.optional(),
    /** PEM file of the authority that signed the cluster's certificate, when the system does not know it. */
    ca: filePath.optional(),
    priority: z.int().min(0).max(1000).default(0),
    timeoutMs: milliseconds.default(5000),
    /** Longest silence in the middle of an answer. */
    idleTimeoutMs: milliseconds.default(15_000),
    /** Connections to this cluster at most. */
    maxConnections: z.int().min(1).max(512).default(16),
    queries: z.strictObject({ internal: z.boolean().default(true), external: z.boolean().default(true) }).prefault({}),
    updates: z.enum(['all', 'holders', 'none']).default('all'),
    /** Studies that are brought to it, or had from it by linking, at the same time. */
    updatesAtOnce: z.int().min(1).max(16).default(2),
    /** Of all that is brought to it, and as much of what is had from it by linking. Absent: as fast as it goes. */
    updatesBytesPerSecond: z.int().min(1024).optional(),
    prefetch: z.boolean().default(true),
    constrained: z.boolean().default(false),
    /**
     * Keywords of the matching keys it honours; others are matched here on what it returns. Default: any, of a third
     * party those that PS3.18 10.6.1.2.3 requires.
     */
    keys: z
      .array(z.string().regex(/^[A-Za-z][A-Za-z0-9]{1,63}$/, 'a DICOM keyword such as StudyDescription'))
      .optional(),
  })
  .refine((it) => (it.dicomweb === undefined) !== (it.embedded === undefined), 'exactly one of dicomweb and embedded')

export const scopes = ['query', 'retrieve', 'store', 'link', 'admin'] as const
export type Scope = (typeof scopes)[number]

const apiKey = z.strictObject({
  /** Who it was given to; goes into the log. */
  name: id,
  /** `sha256:<hex>` as printed by `dicomweb-link hash-key`; the key itself is never stored. */
  hash: z.string().regex(/^sha256:[0-9a-f]{64}$/, 'sha256:<64 hex digits>, as printed by "dicomweb-link hash-key"'),
  scopes: z.array(z.enum(scopes)).min(1),
  /** `external`: another system, that sees only the clusters whose `queries.external` is on. */
  role: z.enum(['internal', 'external']).default('internal'),
})

const oidc = z.strictObject({
  issuer: httpUrl,
  audience: z.string().min(1),
  /** Default: what `<issuer>/.well-known/openid-configuration` says. */
  jwksUri: httpUrl.optional(),
  clockSkewSeconds: z.int().min(0).max(600).default(60),
})

/** Who may call; at least one way, else nobody could. */
const auth = z
  .strictObject({
    apiKeys: z
      .array(apiKey)
      .min(1)
      .max(1000)
      .refine((keys) => new Set(keys.map((key) => key.name)).size === keys.length, 'names that differ from each other')
      .optional(),
    oidc: oidc.optional(),
  })
  .refine((it) => it.apiKeys !== undefined || it.oidc !== undefined, 'apiKeys, oidc or both')

const isOrigin = (text: string) => text === '*' || (isHttpUrl(text) && new URL(text).origin === text)

const limits = z.strictObject({
  maxHeaderBytes: bytes.default(32 * 1024),
  maxUrlBytes: bytes.default(16 * 1024),
  /** Of one STOW-RS request. */
  maxBodyBytes: bytes.default(64 * 1024 ** 3),
  /** Of one part of a STOW-RS request, and of one instance received from a cluster. */
  maxPartBytes: bytes.default(16 * 1024 ** 3),
  maxParts: count.default(100_000),
  /** Rows taken from one cluster for one query. */
  maxRowsPerCluster: count.default(10_000),
  /** Rows in one answer; a larger `limit` is cut to it. */
  maxResults: count.default(5000),
  /** Rows of searches kept in memory so that a client can page through them; the least used are dropped. */
  maxSnapshotRows: count.default(200_000),
  /** Of one JSON answer of a cluster. */
  maxJsonBytes: bytes.default(256 * 1024 ** 2),
  /** Of one part kept in memory so that it can be replaced from another cluster when its holder dies. */
  maxBufferedPartBytes: bytes.default(4 * 1024 ** 2),
  /** Of all answers kept in memory to be given again: frames, bulk data, pictures, metadata of instances; 0 keeps none. */
  cacheBytes: z
    .int()
    .min(0)
    .default(128 * 1024 ** 2),
  /** Of one instance that is rendered here because no archive does. */
  maxRenderedBytes: bytes.default(256 * 1024 ** 2),
  /** Longest time a client may take to send the header of a request. */
  headersTimeoutMs: milliseconds.default(20_000),
  /** Longest silence of a client in the middle of its request's body, or before it takes more of its answer. */
  clientIdleTimeoutMs: milliseconds.default(60_000),
  /** From the first byte of a request to the last of its answer. */
  requestTimeoutMs: milliseconds.default(3_600_000),
})

const partial = z.enum(['warn', 'abort'])

const file = z.strictObject({
  site: id,
  listen: z
    .strictObject({ host: z.string().default('127.0.0.1'), port: z.int().min(0).max(65_535).default(8080) })
    .prefault({}),
  publicUrl: httpUrl.optional(),
  dataDir: filePath.default('./data'),
  database: z
    .strictObject({
      url: z
        .string()
        .regex(/^postgres(ql)?:\/\//, 'postgres://…')
        .meta(address)
        .optional(),
    })
    .prefault({}),
  auth: auth.optional(),
  cors: z
    .strictObject({
      /** Origins whose pages may read answers: exact, or `*` for any when there is authentication. */
      origins: z
        .array(z.string().refine(isOrigin, 'an origin such as "https://viewer.example.org", or "*"').meta(address))
        .default([]),
    })
    .prefault({}),
  limits: limits.prefault({}),
  /** What becomes of an answer that lacks a cluster, by who asks: a warning in it, or an error instead of it. */
  partial: z.strictObject({ internal: partial.default('warn'), external: partial.default('warn') }).prefault({}),
  replication: z
    .strictObject({
      /** A study that could not be brought to a cluster for this long is a dead letter. */
      giveUpAfterMs: z.int().min(1).max(yearMs).default(604_800_000),
      /** How often archives are looked through for what replication has missed; 0: never. */
      sweepEveryMs: z.int().min(0).max(yearMs).default(21_600_000),
      /** Studies of the sample that each sweep looks at beside the newest. */
      sweepStudies: z.int().min(0).max(1_000_000).default(1000),
      /** Classes whose instances stay where they are: UIDs, or keywords of the Secondary Capture classes. */
      stays: z
        .array(z.string().regex(/^([0-9.]{1,64}|[A-Za-z]{1,64})$/, 'a SOP Class UID, or the keyword of one'))
        .max(1000)
        .default([]),
    })
    .prefault({}),
  store: z
    .strictObject({
      /** While home is not reachable, what is stored is kept here, acknowledged, and delivered when home is back. */
      spool: z.boolean().default(false),
    })
    .prefault({}),
  /** Tables for specialty and body part; absent: the ones shipped in examples/mappings.yaml. */
  mappings: filePath.optional(),
  /** Serve the OHIF viewer at `/`. */
  viewer: z.boolean().default(true),
  log: z.strictObject({ level: z.enum(['debug', 'info', 'warn', 'error', 'silent']).default('info') }).prefault({}),
  /** Longest time running requests get to finish after SIGTERM. */
  drainTimeoutMs: milliseconds.default(30_000),
  clusters: z.array(cluster).min(1).max(256),
})

/** What a configuration file may say; unknown keys are errors. */
export const configSchema = file.superRefine((config, context) => {
  const seen = new Set<string>()
  for (const [index, { id: name }] of config.clusters.entries()) {
    if (seen.has(name)) {
      context.addIssue({ code: 'custom', path: ['clusters', index, 'id'], message: 'an id no other cluster has' })
    }
    seen.add(name)
  }
  const spool = config.clusters.findIndex((it) => it.id === spoolId)
  if (config.store.spool && spool >= 0) {
    const message = `another id: "${spoolId}" is the spool's own when store.spool is on`
    context.addIssue({ code: 'custom', path: ['clusters', spool, 'id'], message })
  }
  const homes = config.clusters.filter((it) => it.role === 'home').length
  if (homes !== 1) {
    const message = `exactly one cluster with role home (there are ${homes})`
    context.addIssue({ code: 'custom', path: ['clusters'], message })
  }
  config.clusters.forEach((it, index) => {
    const message = faultOfLink(it, config)
    if (message) context.addIssue({ code: 'custom', path: ['clusters', index, 'link'], message })
  })
  if (config.auth === undefined) guardOpenAccess(config, context)
})

/** A cluster that has a link address is another site, as which it is told of changes and known when it calls. */
function faultOfLink(cluster: ClusterConfig, { site }: Pick<Config, 'site'>): string | undefined {
  if (cluster.link === undefined) return undefined
  if (cluster.role !== 'linked' || cluster.dicomweb === undefined) {
    return 'only for a cluster with role linked and a dicomweb address, whose id is the site id of the proxy behind it'
  }
  if (cluster.id !== site) return undefined
  return `the proxy of another site: the id of the cluster has to be its site id, and "${site}" is this one`
}

/** Without authentication everybody who can connect may read everything: nobody but this machine may. */
function guardOpenAccess(config: Config, context: z.RefinementCtx): void {
  if (!isLoopback(config.listen.host)) {
    context.addIssue({
      code: 'custom',
      path: ['listen', 'host'],
      message:
        'a loopback address (127.0.0.1, ::1, localhost) as long as there is no "auth"; ' +
        'configure auth.apiKeys or auth.oidc to listen on other addresses',
    })
  }
  if (config.cors.origins.includes('*')) {
    const message = 'exact origins as long as there is no "auth": "*" would let any web page read the studies'
    context.addIssue({ code: 'custom', path: ['cors', 'origins'], message })
  }
}

/** Whether a host name or address reaches nobody but this machine. */
export function isLoopback(host: string): boolean {
  const name = host.replace(/^\[(.*)\]$/, '$1').toLowerCase()
  return name === 'localhost' || name === '::1' || (isIPv4(name) && name.startsWith('127.'))
}

export type Config = z.infer<typeof file>
export type ClusterConfig = z.infer<typeof cluster>
export type ClusterAuth = z.infer<typeof clusterAuth>
export type AuthConfig = z.infer<typeof auth>
export type OidcConfig = z.infer<typeof oidc>
export type Limits = z.infer<typeof limits>
