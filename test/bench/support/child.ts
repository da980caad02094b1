import { fork } from 'node:child_process'
import { once } from 'node:events'

/** A process that answers one message after the other. */
export interface Child {
  readonly pid: number
  ask<T>(message: object): Promise<T>
  end(): Promise<void>
}

/** Starts a module of the bench in a process of its own; it ends with this one. */
export function forked(file: string): Child {
  const child = fork(file, { serialization: 'advanced', stdio: ['ignore', 'inherit', 'inherit', 'ipc'] })
  const ended = once(child, 'exit')
  const lost = ended.then(() => {
    throw new Error(`${file} ended`)
  })
  lost.catch(() => undefined)
  return {
    pid: child.pid ?? 0,
    ask: async <T>(message: object) => {
      child.send(message)
      const [{ answer }] = (await Promise.race([once(child, 'message'), lost])) as [{ answer: T }]
      return answer
    },
    end: async () => {
      child.kill('SIGKILL')
      await ended
    },
  }
}
