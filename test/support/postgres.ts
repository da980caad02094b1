import { type ChildProcess, execFile, execFileSync, spawn } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { chown, mkdtemp, rm } from 'node:fs/promises'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { promisify } from 'node:util'
import postgres from 'postgres'

/** A PostgreSQL of the test's own: fresh, on loopback, gone after. */
export interface PostgresServer {
  /** A new, empty database on it. */
  createDatabase(): Promise<string>
  /** The server process; not to be killed while another test uses it. */
  readonly pid: number
  /** Ends as in a crash: what was committed is there after `restart`. */
  kill(): Promise<void>
  /** On the same port, with the same data; resolves when it takes connections. */
  restart(): Promise<void>
  /** From now on no process of it does anything, though connections stay open, until `resume`. */
  pause(): void
  resume(): void
  stop(): Promise<void>
}

const binaries = findBinaries()

/** PostgreSQL refuses to run as root; Debian's package brings a user for it. */
const serverUser = process.getuid?.() === 0 ? userIds('postgres') : undefined

export const postgresAvailable = binaries !== undefined && (process.getuid?.() !== 0 || serverUser !== undefined)

/** For `describe.skipIf`: what is left out and how to get it. */
export const postgresMissing =
  'PostgreSQL: left out, no server binaries (and user "postgres" when root) here; apt-get install postgresql'

export async function startPostgres(): Promise<PostgresServer> {
  if (binaries === undefined) throw new Error(postgresMissing)
  const folder = await mkdtemp(join(tmpdir(), 'link-postgres-'))
  if (serverUser) await chown(folder, serverUser.uid, serverUser.gid)
  const data = join(folder, 'data')
  const initdb = ['-D', data, '-U', 'postgres', '-A', 'trust', '-E', 'UTF8', '--locale=C', '--no-sync']
  await promisify(execFile)(join(binaries, 'initdb'), initdb, { ...serverUser, cwd: folder })
  const port = await freePort()
  const settings = ['fsync=off', 'unix_socket_directories=', `port=${port}`, 'listen_addresses=127.0.0.1']
  const args = ['-D', data, ...settings.flatMap((it) => ['-c', it])]
  const launch = async (): Promise<ChildProcess> => {
    const started = spawn(join(binaries, 'postgres'), args, {
      ...serverUser,
      cwd: folder,
      stdio: ['ignore', 'ignore', 'pipe'],
    })
    await ready(started.stderr)
    return started
  }
  const end = async (signal: NodeJS.Signals) => {
    if (child.exitCode !== null || child.signalCode !== null) return
    const gone = once(child, 'exit')
    child.kill(signal)
    await gone
  }
  let child = await launch()
  const killAtExit = () => child.kill('SIGKILL')
  process.once('exit', killAtExit)
  const { pause, resume } = pausing(() => child.pid ?? 0)
  return {
    createDatabase: () => createDatabase(port),
    get pid() {
      return child.pid ?? 0
    },
    pause,
    resume,
    // Immediate Shutdown: all of its processes end without putting anything in order.
    kill: () => end('SIGQUIT'),
    restart: async () => {
      child = await launch()
    },
    stop: async () => {
      process.off('exit', killAtExit)
      resume()
      await end('SIGINT')
      await rm(folder, { recursive: true, force: true })
    },
  }
}

/** A server is many processes; the first one is stopped first, so that it makes no more of them. */
function pausing(pidOf: () => number): Pick<PostgresServer, 'pause' | 'resume'> {
  const stopped: number[] = []
  const stopOne = (one: number) => {
    process.kill(one, 'SIGSTOP')
    stopped.push(one)
  }
  const pause = () => {
    const pid = pidOf()
    stopOne(pid)
    const children = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim().split(' ')
    for (const child of children) stopOne(Number(child))
  }
  const resume = () => {
    for (const one of stopped.splice(0)) process.kill(one, 'SIGCONT')
  }
  return { pause, resume }
}

async function createDatabase(port: number): Promise<string> {
  const name = `link_${randomUUID().replaceAll('-', '')}`
  const admin = postgres(`postgres://postgres@127.0.0.1:${port}/postgres`, { max: 1 })
  await admin.unsafe(`create database ${name}`)
  await admin.end()
  return `postgres://postgres@127.0.0.1:${port}/${name}`
}

async function ready(stderr: NodeJS.ReadableStream): Promise<void> {
  const lines: string[] = []
  const reader = createInterface({ input: stderr })
  for await (const line of reader) {
    lines.push(line)
    if (line.includes('ready to accept connections')) {
      stderr.resume()
      return
    }
  }
  throw new Error(`PostgreSQL did not start:\n${lines.join('\n')}`)
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  server.close()
  await once(server, 'close')
  if (address === null || typeof address === 'string') throw new Error('no port')
  return address.port
}

/** Debian keeps the server's binaries by version and off the PATH. */
function findBinaries(): string | undefined {
  const root = '/usr/lib/postgresql'
  const debian = existsSync(root) ? readdirSync(root).sort((a, b) => Number(b) - Number(a)) : []
  const folders = [...debian.map((version) => join(root, version, 'bin')), ...(process.env.PATH ?? '').split(':')]
  return folders.find((folder) => existsSync(join(folder, 'initdb')) && existsSync(join(folder, 'postgres')))
}

function userIds(name: string): { uid: number; gid: number } | undefined {
  try {
    const id = (flag: string) => Number(execFileSync('id', [flag, name], { stdio: ['ignore', 'pipe', 'ignore'] }))
    return { uid: id('-u'), gid: id('-g') }
  } catch {
    return undefined
  }
}
