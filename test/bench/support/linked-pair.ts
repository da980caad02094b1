import { createHash } from 'node:crypto'
import { freePort } from '../../support/orthanc.ts'
import { postgresAvailable, startPostgres } from '../../support/postgres.ts'
import { type Proxy as ProxyProcess, startProxy } from '../../support/processes.ts'
import { profileEnvironment } from './profile.ts'

const keyOf = (name: string) => `a-long-key-of-${name}`
const hashOf = (name: string) => `sha256:${createHash('sha256').update(keyOf(name)).digest('hex')}`

/** Two proxies, each with an archive of its own, linked with each other as the linking specification has it. */
export interface LinkedPair extends AsyncDisposable {
  readonly north: ProxyProcess
  readonly south: ProxyProcess
  /** Calls `north`. */
  ask(path: string, init: RequestInit): Promise<Response>
}

export async function startLinkedPair(homes: { north: string; south: string }): Promise<LinkedPair> {
  await using started = new AsyncDisposableStack()
  const postgres = postgresAvailable ? started.adopt(await startPostgres(), (it) => it.stop()) : undefined
  const ports = { north: await freePort(), south: await freePort() }
  const start = async (name: keyof typeof homes, other: keyof typeof homes) => {
    const root = `http://127.0.0.1:${ports[other]}`
    const auth = { bearer: { token: keyOf(name) } }
    const peer = { id: other, role: 'linked', dicomweb: `${root}/dicom-web`, link: `${root}/link/v1`, auth }
    const apiKeys = [
      { name: other, hash: hashOf(other), scopes: ['query', 'retrieve', 'link'] },
      { name: 'bench', hash: hashOf('bench'), scopes: ['query', 'retrieve', 'store', 'admin'] },
    ]
    const config = {
      ...{ site: name, viewer: false, listen: { host: '127.0.0.1', port: ports[name] }, auth: { apiKeys } },
      ...(postgres && { database: { url: await postgres.createDatabase() } }),
      clusters: [{ id: name, role: 'home', dicomweb: homes[name], timeoutMs: 60_000 }, peer],
    }
    return started.use(await startProxy({ config, env: profileEnvironment() }))
  }
  const [north, south] = [await start('north', 'south'), await start('south', 'north')]
  const ask = (path: string, { headers, ...init }: RequestInit) =>
    fetch(`${north.url}${path}`, { ...init, headers: { authorization: `Bearer ${keyOf('bench')}`, ...headers } })
  const kept = started.move()
  return { north, south, ask, [Symbol.asyncDispose]: () => kept.disposeAsync() }
}
