import { postgresAvailable, startPostgres } from '../../support/postgres.ts'
import { type Proxy as ProxyProcess, startProxy } from '../../support/processes.ts'
import { profileEnvironment } from './profile.ts'

export interface SiteOptions {
  /** DICOMweb roots; the first is home. */
  readonly roots: readonly string[]
  readonly timeoutMs?: number
  readonly limits?: Readonly<Record<string, number>>
  /** What the clusters beside home are sent of what is stored; default: nothing. */
  readonly updates?: 'all' | 'none'
}

export interface Site extends AsyncDisposable {
  /** `http://127.0.0.1:port/dicom-web` */
  readonly dicomweb: string
  readonly proxy: ProxyProcess
}

/** The proxy as sites run it: a process of its own on PostgreSQL where that is installed, with what is the default. */
export async function startSite(options: SiteOptions): Promise<Site> {
  const { roots, timeoutMs = 60_000, limits = {}, updates = 'none' } = options
  const resources = new AsyncDisposableStack()
  const postgres = postgresAvailable ? resources.adopt(await startPostgres(), (it) => it.stop()) : undefined
  const clusters = roots.map((dicomweb, index) => ({
    id: `c${index}`,
    role: index === 0 ? 'home' : 'linked',
    dicomweb,
    timeoutMs,
    updates,
  }))
  const database = postgres ? { database: { url: await postgres.createDatabase() } } : {}
  const config = { site: 'bench', viewer: false, limits, clusters, ...database }
  const proxy = resources.use(await startProxy({ config, env: profileEnvironment() }))
  return { dicomweb: `${proxy.url}/dicom-web`, proxy, [Symbol.asyncDispose]: () => resources.disposeAsync() }
}
