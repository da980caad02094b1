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
  const lists = { alone: byFunction, 'by file or package': byFile }
  for (const [title, key] of Object.entries(lists))
    for (const line of [title, ...top(alone(profile, key), 20)]) say(line)
  for (const line of ['with all they call', ...top(inclusive(profile), 40)]) say(line)
}

/** What the profiler of Node gives. */
interface Profile {
  readonly nodes: readonly { readonly id: number; readonly callFrame: Frame; readonly children?: readonly number[] }[]
  readonly samples: readonly number[]
  readonly timeDeltas: readonly number[]
}

interface Frame {
  readonly functionName: string
  readonly url: string
  readonly lineNumber: number
}

const shortened = (url: string): string => url.replace(/.*\/(?=(src|node_modules)\/)/, '')

const byFunction = ({ functionName, url, lineNumber }: Frame): string =>
  `${functionName || '(anonymous)'} ${url && `${shortened(url)}:${lineNumber + 1}`}`

const byFile = ({ functionName, url }: Frame): string =>
  /^node_modules\/(@[^/]+\/)?[^/]+/.exec(shortened(url))?.[0] ?? (shortened(url) || functionName)

/** Time in each node of the tree of calls; idling counts, starting the profiler does not. */
function timeByNode({ nodes, samples, timeDeltas }: Profile): Map<number, number> {
  const starting = new Set(nodes.filter(({ callFrame }) => callFrame.url === 'node:inspector').map(({ id }) => id))
  const spent = new Map<number, number>()
  for (const [index, id] of samples.entries()) {
    if (!starting.has(id)) spent.set(id, (spent.get(id) ?? 0) + (timeDeltas[index] ?? 0))
  }
  return spent
}

type Times = ReadonlyMap<string, number>

function alone(profile: Profile, key: (frame: Frame) => string): Times {
  const times = timeByNode(profile)
  const spent = new Map<string, number>()
  for (const { id, callFrame } of profile.nodes) {
    const name = key(callFrame)
    spent.set(name, (spent.get(name) ?? 0) + (times.get(id) ?? 0))
  }
  return spent
}

/** The product's own functions with what they call; one that calls itself counts once. */
function inclusive(profile: Profile): Times {
  const times = timeByNode(profile)
  const parents = new Map(profile.nodes.flatMap(({ id, children = [] }) => children.map((child) => [child, id])))
  const frames = new Map(profile.nodes.map(({ id, callFrame }) => [id, callFrame]))
  const spent = new Map<string, number>([['all', 0]])
  for (const [node, time] of times) {
    const names = new Set(['all'])
    for (let id: number | undefined = node; id !== undefined; id = parents.get(id)) {
      const frame = frames.get(id)
      if (frame && shortened(frame.url).startsWith('src/')) names.add(byFunction(frame))
    }
    for (const name of names) spent.set(name, (spent.get(name) ?? 0) + time)
  }
  return spent
}

function top(times: Times, count: number): string[] {
  const all = times.get('all') ?? times.values().reduce((sum, time) => sum + time, 0)
  const most = [...times].toSorted((a, b) => b[1] - a[1]).slice(0, count)
  return most.map(([name, time]) => `${((100 * time) / all).toFixed(1).padStart(7)} %  ${name}`)
}
