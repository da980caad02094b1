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
  for (const { self, where } of selfTimes(readFileSync(file, 'utf8')).slice(0, 25)) {
    say(`  ${(self * 100).toFixed(1).padStart(5)} %  ${where}`)
  }
}

interface Profile {
  readonly nodes: readonly {
    readonly id: number
    readonly callFrame: { readonly functionName: string; readonly url: string; readonly lineNumber: number }
  }[]
  readonly samples: readonly number[]
  readonly timeDeltas: readonly number[]
}

/** Shares of the time, most first; time without work counts. */
function selfTimes(text: string): { self: number; where: string }[] {
  const { nodes, samples, timeDeltas } = JSON.parse(text) as Profile
  const names = new Map(
    nodes.map(({ id, callFrame: { functionName, url, lineNumber } }) => [
      id,
      `${functionName || '(anonymous)'} ${url.replace(/.*\/(?=(src|node_modules)\/)/, '')}${url ? `:${lineNumber + 1}` : ''}`,
    ]),
  )
  const spent = new Map<string, number>()
  for (const [index, id] of samples.entries()) {
    const where = names.get(id) ?? ''
    spent.set(where, (spent.get(where) ?? 0) + (timeDeltas[index] ?? 0))
  }
  const all = timeDeltas.reduce((sum, delta) => sum + delta, 0)
  return [...spent].map(([where, time]) => ({ where, self: time / all })).toSorted((a, b) => b.self - a.self)
}
