import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'

const binary = '/usr/sbin/Orthanc'
const plugin = '/usr/share/orthanc/plugins/libOrthancDicomWeb.so'
/** Ends its child when the thread that started it dies, however that happens. */
const lifeline = '/usr/bin/setpriv'
const startTimeoutMs = 60_000

/** Whether Orthanc and its DICOMweb plugin are installed: `describe.skipIf(!orthancAvailable)`. */
export const orthancAvailable = existsSync(binary) && existsSync(plugin)

export interface OrthancOptions {
  readonly name?: string
  /** Servers it may talk to as a DICOMweb client: address of the root by name. */
  readonly dicomWebServers?: Readonly<Record<string, string>>
  /** Passwords by user; absent: nobody is asked who they are. */
  readonly authentication?: Readonly<Record<string, string>>
  /** Any other key of its configuration; those under `DicomWeb` are merged. */
  readonly settings?: Readonly<Record<string, unknown>>
}

export interface Orthanc extends AsyncDisposable {
  readonly name: string
  /** `http://127.0.0.1:port/dicom-web`. */
  readonly dicomweb: string
  /** `http://127.0.0.1:port`: its own REST interface. */
  readonly url: string
  readonly port: number
  /** `undefined` while it is not running. */
  readonly pid: number | undefined
  /** Ends it for good and removes its files. */
  stop(): Promise<void>
  /** SIGKILL; its files stay for `restart`. */
  kill(): Promise<void>
  /** SIGSTOP: connections are accepted by the kernel and nothing ever answers. */
  pause(): void
  resume(): void
  /** Starts again on the same port with the same files; ends it first, cleanly, when it is running. */
  restart(): Promise<void>
  /** Stores files, given as paths or as bytes, through its own REST interface. */
  load(files: readonly (string | Uint8Array)[]): Promise<void>
  /** Calls its own REST interface, with credentials when it wants some. */
  rest(path: string, init?: RequestInit): Promise<Response>
}

/** Starts an Orthanc on a free port of the loopback with a directory of its own; ready when this resolves. */
export async function startOrthanc(options: OrthancOptions = {}): Promise<Orthanc> {
  const directory = await mkdtemp(join(tmpdir(), 'orthanc-'))
  for (let attempt = 1; ; attempt++) {
    const port = await freePort()
    const file = join(directory, 'orthanc.json')
    await writeFile(file, JSON.stringify(configuration(options, directory, port)))
    try {
      return handle(options, directory, port, await launch(file))
    } catch (error) {
      // Somebody else may have taken the port since it was found free.
      if (attempt < 3) continue
      await rm(directory, { recursive: true, force: true })
      throw error
    }
  }
}

function configuration(options: OrthancOptions, directory: string, port: number): object {
  const { DicomWeb: dicomWeb, ...settings } = options.settings ?? {}
  const servers = Object.entries(options.dicomWebServers ?? {}).map(([name, url]) => [name, [url]])
  return {
    Name: options.name ?? 'orthanc',
    StorageDirectory: join(directory, 'storage'),
    IndexDirectory: join(directory, 'storage'),
    Plugins: [plugin],
    HttpPort: port,
    RemoteAccessAllowed: false,
    AuthenticationEnabled: options.authentication !== undefined,
    RegisteredUsers: options.authentication ?? {},
    DicomServerEnabled: false,
    DefaultEncoding: 'Utf8',
    ...settings,
    DicomWeb: {
      Enable: true,
      Root: '/dicom-web/',
      EnableWado: true,
      WadoRoot: '/wado',
      Servers: Object.fromEntries(servers),
      ...(dicomWeb as object | undefined),
    },
  }
}

const running = new Set<ChildProcess>()
const directories = new Set<string>()
let hooked = false

function hookExit(): void {
  if (hooked) return
  hooked = true
  process.once('exit', () => {
    for (const child of running) child.kill('SIGKILL')
    for (const directory of directories) rmSync(directory, { recursive: true, force: true })
  })
}

/** Resolves when Orthanc says that it has started, which it does once its HTTP server listens. */
async function launch(file: string): Promise<ChildProcess> {
  hookExit()
  const [command, args] = existsSync(lifeline) ? [lifeline, ['--pdeathsig', 'KILL', binary, file]] : [binary, [file]]
  const child = spawn(command, args, { stdio: ['ignore', 'ignore', 'pipe'] })
  running.add(child)
  child.once('exit', () => running.delete(child))
  const said: string[] = []
  const started = new Promise<void>((resolve, reject) => {
    const failed = (what: string) => reject(new Error(`Orthanc ${what}:\n${said.join('\n')}`))
    const timer = setTimeout(() => failed('did not start in time'), startTimeoutMs)
    // Reading on after the start keeps its log from filling the pipe and blocking it.
    createInterface({ input: child.stderr }).on('line', (line) => {
      if (said.push(line) > 50) said.shift()
      if (!line.includes('Orthanc has started')) return
      clearTimeout(timer)
      resolve()
    })
    child.once('exit', () => {
      clearTimeout(timer)
      failed('ended')
    })
  })
  await started.catch(async (error: unknown) => {
    await end(child, 'SIGKILL')
    throw error
  })
  return child
}

async function end(child: ChildProcess | undefined, signal: 'SIGTERM' | 'SIGKILL'): Promise<void> {
  if (!child || child.exitCode !== null || child.signalCode !== null) return
  const exited = once(child, 'exit')
  child.kill(signal)
  // A stopped process takes no notice of SIGTERM before it goes on.
  child.kill('SIGCONT')
  await exited
}

function handle(options: OrthancOptions, directory: string, port: number, first: ChildProcess): Orthanc {
  let child: ChildProcess | undefined = first
  const url = `http://127.0.0.1:${port}`
  const credentials = Object.entries(options.authentication ?? {})[0]
  const authorization = credentials && `Basic ${Buffer.from(credentials.join(':')).toString('base64')}`
  directories.add(directory)

  const quit = async (signal: 'SIGTERM' | 'SIGKILL') => {
    const ending = child
    child = undefined
    await end(ending, signal)
  }
  const stop = async () => {
    // Nobody looks at its files again, so it need not put them in order.
    await quit('SIGKILL')
    await rm(directory, { recursive: true, force: true })
    directories.delete(directory)
  }
  const rest = (path: string, init: RequestInit = {}) => {
    const headers = new Headers(init.headers)
    if (authorization) headers.set('Authorization', authorization)
    return fetch(`${url}${path}`, { ...init, headers })
  }

  return {
    name: options.name ?? 'orthanc',
    dicomweb: `${url}/dicom-web`,
    url,
    port,
    get pid() {
      return child?.pid
    },
    stop,
    [Symbol.asyncDispose]: stop,
    kill: () => quit('SIGKILL'),
    pause: () => {
      child?.kill('SIGSTOP')
      while (child?.pid !== undefined && !isStopped(child.pid));
    },
    resume: () => void child?.kill('SIGCONT'),
    restart: async () => {
      await quit('SIGTERM')
      child = await launch(join(directory, 'orthanc.json'))
    },
    load: async (files) => {
      for (const file of files) {
        const body = typeof file === 'string' ? await readFile(file) : file
        const response = await rest('/instances', { method: 'POST', body: new Uint8Array(body) })
        const text = await response.text()
        if (!response.ok)
          throw new Error(
            `Orthanc refused ${typeof file === 'string' ? file : 'an instance'}: ${response.status} ${text}`,
          )
      }
    },
    rest,
  }
}

/** A signal takes its time until it has come to all threads; one that goes on may still answer. */
function isStopped(pid: number): boolean {
  const tasks = `/proc/${pid}/task`
  return readdirSync(tasks).every((thread) => /\) [TZX] /.test(readFileSync(`${tasks}/${thread}/stat`, 'latin1')))
}

/** A port of the loopback that nobody listens on at the moment. */
export async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  server.close()
  await once(server, 'close')
  if (address === null || typeof address === 'string') throw new Error('no free port')
  return address.port
}
