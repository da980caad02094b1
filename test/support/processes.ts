import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { writeFile } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { dataDirectory, temporaryFolder } from './folders.ts'

const root = resolve(import.meta.dirname, '../..')
/** Ends its child when the thread that started it dies, however that happens. */
const lifeline = '/usr/bin/setpriv'
const startTimeoutMs = 120_000
const endTimeoutMs = 60_000

export interface Ending {
  /** Exit status, or null when a signal ended it. */
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
}

/** A child process whose words are kept. */
export interface Running extends AsyncDisposable {
  readonly pid: number
  readonly ended: Promise<Ending>
  /** Everything it wrote so far. */
  stdout(): string
  stderr(): string
  /** First match in its standard output, now or later; rejects when it ends without one. */
  says(pattern: RegExp): Promise<RegExpExecArray>
  /** Sends a signal (default SIGTERM) and resolves with how it ended. */
  kill(signal?: NodeJS.Signals): Promise<Ending>
}

export interface RunOptions {
  readonly cwd?: string
  /** Beside the environment of the test. */
  readonly env?: Readonly<Record<string, string>>
}

/** Starts a command; it is killed with the test process at the latest. */
export const run = (command: string, args: readonly string[], options: RunOptions = {}): Running => {
  const [file, rest] = existsSync(lifeline) ? [lifeline, ['--pdeathsig', 'KILL', command, ...args]] : [command, args]
  const child = spawn(file, rest, {
    cwd: options.cwd ?? root,
    env: { ...process.env, ...options.env },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  const stdout = collect(child, 'stdout')
  const stderr = collect(child, 'stderr')
  const ended = endOf(child)
  const kill = async (signal: NodeJS.Signals = 'SIGTERM'): Promise<Ending> => {
    child.kill(signal)
    const timer = setTimeout(() => child.kill('SIGKILL'), endTimeoutMs)
    return ended.finally(() => clearTimeout(timer))
  }
  const says = async (pattern: RegExp): Promise<RegExpExecArray> => {
    const over = ended.then(() => true)
    const late = AbortSignal.timeout(startTimeoutMs)
    for (;;) {
      const match = pattern.exec(stdout())
      if (match) return match
      const more = child.stdout && once(child.stdout, 'data', { signal: late }).then(() => false)
      const isOver = await Promise.race([more, over]).catch(() => true)
      if (isOver && !pattern.test(stdout())) {
        throw new Error(`${command} ${args.join(' ')} did not say ${pattern}:\n${stdout()}\n${stderr()}`)
      }
    }
  }
  return {
    pid: child.pid ?? 0,
    ended,
    stdout,
    stderr,
    says,
    kill,
    [Symbol.asyncDispose]: async () => void (await kill('SIGKILL')),
  }
}

const collect = (child: ChildProcess, stream: 'stdout' | 'stderr') => {
  let text = ''
  child[stream]?.setEncoding('utf8').on('data', (chunk: string) => {
    text += chunk
  })
  return () => text
}

const endOf = (child: ChildProcess): Promise<Ending> =>
  new Promise((fulfil, reject) => {
    child.once('error', reject)
    child.once('close', (code, signal) => fulfil({ code, signal }))
  })

export interface ProxyOptions extends RunOptions {
  /** The configuration file's content; absent: the demo. `listen.port` defaults to a free one. */
  readonly config?: object
  /** Kept after the end, for starting again on it; absent: its own with an empty database, removed at the end. */
  readonly dataDir?: string
  /** Further arguments of `serve`. */
  readonly args?: readonly string[]
}

export interface Proxy extends Running {
  /** `http://127.0.0.1:port` */
  readonly url: string
}

/** Starts the proxy as its users do, `node src/main.ts serve`, on a free port; resolves once it listens. */
export const startProxy = async (options: ProxyOptions = {}): Promise<Proxy> => {
  const own = await (options.dataDir ? temporaryFolder() : dataDirectory())
  const dataDir = options.dataDir ?? own.path
  const args = ['--max-semi-space-size=8', 'src/main.ts', 'serve', '--data-dir', dataDir, ...(options.args ?? [])]
  if (options.config) {
    const file = join(own.path, 'config.json')
    await writeFile(file, JSON.stringify({ listen: { host: '127.0.0.1', port: 0 }, ...options.config }))
    args.push('--config', file)
  } else {
    args.push('--port', '0')
  }
  const running = run(process.execPath, args, options)
  void running.ended.finally(own.remove)
  try {
    const [, url = ''] = await running.says(/listening on (http:\/\/\S+:\d+)/)
    return { ...running, url }
  } catch (thrown) {
    await running.kill('SIGKILL')
    throw thrown
  }
}
