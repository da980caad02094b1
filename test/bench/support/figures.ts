import { readdirSync, readFileSync, readlinkSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'

/** What the kernel knows of a process. Linux only. */

const ticksPerSecond = 100

/** Processor time a process and its children that are alive have used, in seconds. */
export function cpuSeconds(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
  // Behind the name, which may hold anything: utime and stime are fields 14 and 15 of the line.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  const own = (Number(fields[11]) + Number(fields[12])) / ticksPerSecond
  return childrenOf(pid).reduce((sum, child) => sum + cpuSeconds(child), own)
}

const childrenOf = (pid: number): number[] =>
  readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').split(' ').filter(Boolean).map(Number)

export function residentBytes(pid: number): number {
  return Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]) * 1024
}

export interface Grown<T> {
  readonly before: number
  readonly most: number
  readonly value: T
}

const sampledEveryMs = 50

/** What a process holds in memory before some work and at most during it, in bytes. */
export async function grown<T>(pid: number, work: () => Promise<T>): Promise<Grown<T>> {
  const before = residentBytes(pid)
  let most = before
  const over = new AbortController()
  const watching = (async () => {
    while (!over.signal.aborted) {
      most = Math.max(most, residentBytes(pid))
      await sleep(sampledEveryMs)
    }
  })()
  const value = await work()
  over.abort()
  await watching
  return { before, most, value }
}

/** Open file descriptors, and how many of them are sockets. */
export function openFiles(pid: number): { readonly all: number; readonly sockets: number } {
  const targets = readdirSync(`/proc/${pid}/fd`).flatMap((fd) => {
    try {
      return [readlinkSync(`/proc/${pid}/fd/${fd}`)]
    } catch {
      // Closed since it was listed.
      return []
    }
  })
  return { all: targets.length, sockets: targets.filter((target) => target.startsWith('socket:')).length }
}
