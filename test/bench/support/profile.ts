import { mkdirSync, readFileSync, renameSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import type { Running } from '../../support/processes.ts'

/** `BENCH_PROFILE=folder` keeps CPU profiles of the proxy in it, as Chrome's developer tools read them. */
const folder = process.env.BENCH_PROFILE && resolve(process.env.BENCH_PROFILE)

/** For a process that is to be profiled. */
export const profileEnvironment = (): Record<string, string> =>
  folder ? { NODE_OPTIONS: `--import ${pathToFileURL(join(import.meta.dirname, 'profile-hook.ts'))}` } : {}

/**
 * Does some work once more with the profiler on and says which functions took the time; does nothing without
 * `BENCH_PROFILE`.
 */
export async function profiled(
  name: string,
  proxy: Running,
  work: () => Promise<unknown>,
  say: (line: string) => void,
): Promise<void> {
  if (!folder) return
  const number = (proxy.stdout().match(/^profile \d+ begins$/gm)?.length ?? 0) + 1
  process.kill(proxy.pid, 'SIGUSR2')
  await proxy.says(new RegExp(`profile ${number} begins`))
  await work()
  process.kill(proxy.pid, 'SIGUSR2')
  const [, written = ''] = await proxy.says(new RegExp(`profile ${number} is in (\\S+)\\n`))
  const file = join(folder, `${name}.cpuprofile`)
  mkdirSync(dirname(file), { recursive: true })
  renameSync(written, file)
  say(`profile: ${file}`)
  const profile = JSON.parse(readFileSync(file, 'utf8')) as Profile
  for (const line of [...top(profile, 25, byFunction), 'of these by file or package', ...top(profile, 15, byFile)])
    say(line)
}

interface Profile {
  readonly nodes: readonly {
    readonly id: number
    readonly callFrame: { readonly functionName: string; readonly url: string; readonly lineNumber: number }
  }[]
  readonly samples: readonly number[]
  readonly timeDeltas: readonly number[]
}

type Frame = Profile['nodes'][number]['callFrame']

const shortened = (url: string): string => url.replace(/.*\/(?=(src|node_modules)\/)/, '')

const byFunction = ({ functionName, url, lineNumber }: Frame): string =>
  `${functionName || '(anonymous)'} ${url && `${shortened(url)}:${lineNumber + 1}`}`

const byFile = ({ functionName, url }: Frame): string =>
  /^node_modules\/(@[^/]+\/)?[^/]+/.exec(shortened(url))?.[0] ?? (shortened(url) || functionName)

/** Shares of the time, most first; time without work counts, starting the profiler does not. */
function top({ nodes, samples, timeDeltas }: Profile, count: number, key: (frame: Frame) => string): string[] {
  const keys = new Map(nodes.map(({ id, callFrame }) => [id, key(callFrame)]))
  const starting = new Set(nodes.filter(({ callFrame }) => callFrame.url === 'node:inspector').map(({ id }) => id))
  const spent = new Map<string, number>()
  for (const [index, id] of samples.entries()) {
    if (starting.has(id)) continue
    const name = keys.get(id) ?? ''
    spent.set(name, (spent.get(name) ?? 0) + (timeDeltas[index] ?? 0))
  }
  const all = spent.values().reduce((sum, time) => sum + time, 0)
  const most = [...spent].toSorted((a, b) => b[1] - a[1]).slice(0, count)
  return most.map(([name, time]) => `${((100 * time) / all).toFixed(1).padStart(7)} %  ${name}`)
}
