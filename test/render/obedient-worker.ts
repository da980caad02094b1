/** A thread that does what it is told instead of rendering: what a real one does only when something is wrong. */
import { parentPort, threadId } from 'node:worker_threads'
import type { RenderRequest } from '../../src/render/request.ts'
import type { Reply } from '../../src/render/thread.ts'

const says = (text: string): Reply => ({ contentType: 'text/plain', bytes: new TextEncoder().encode(text) })

const orders: Readonly<Record<string, () => Reply>> = {
  'tell thread': () => says(String(threadId)),
  'tell environment': () => says(JSON.stringify(process.env)),
  refuse: () => ({ code: 'not-acceptable', message: 'no such picture', cause: undefined }),
  hang: () => {
    for (;;);
  },
  crash: () => {
    throw new Error('a decoder went wrong')
  },
  exit: () => process.exit(3),
  'take all memory': () => {
    const all: object[] = []
    for (;;) all.push({ all })
  },
}

parentPort?.on('message', ({ parameters }: RenderRequest) => {
  parentPort?.postMessage(orders[parameters.order ?? '']?.())
})
