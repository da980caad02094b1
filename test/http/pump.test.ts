import { getEventListeners, on, once } from 'node:events'
import { createServer, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { setImmediate } from 'node:timers/promises'
import { afterEach, expect, it } from 'vitest'
import { begin, finish, pump } from '../../src/http/pump.ts'
import { RawClient, signalled } from './harness.ts'

/** So much is written ahead that a write does not have to wait because the last one is still to go. */
const server = createServer({ highWaterMark: 1024 * 1024 })
afterEach(async () => {
  server.closeAllConnections()
  await new Promise((resolve) => server.close(resolve))
})

/** A client that has asked so many times at once and takes nothing, and the answers it is to get. */
async function ask(times = 1): Promise<{ client: RawClient; answers: ServerResponse[] }> {
  await once(server.listen(0, '127.0.0.1'), 'listening')
  const { port } = server.address() as AddressInfo
  const client = await RawClient.open(`http://127.0.0.1:${port}`)
  const requests = on(server, 'request')
  client.socket.pause()
  for (let time = 0; time < times; time++) client.get('/')
  const answers: ServerResponse[] = []
  for await (const [, outgoing] of requests) if (answers.push(outgoing) === times) break
  return { client, answers }
}

const kilobytes64 = Buffer.alloc(64 * 1024)

it('an answer to a client that has left before it begins ends at once, and nothing of it stays behind', async () => {
  const { client, answers } = await ask()
  const [outgoing] = answers as [ServerResponse]
  client.socket.destroy()
  await once(outgoing, 'close')
  const { signal } = new AbortController()
  const returned = signalled()
  async function* body() {
    try {
      for (;;) yield kilobytes64
    } finally {
      returned.set()
    }
  }
  await expect(finish(outgoing, { idleMs: 60_000, signal })).rejects.toMatchObject({ code: 'cancelled' })
  await expect(pump(await begin(body()), outgoing, { idleMs: 60_000, signal })).rejects.toMatchObject({
    code: 'cancelled',
  })
  await returned.done
  expect(getEventListeners(signal, 'abort')).toEqual([])
})

it('a client that takes nothing is cut also when its time ran out first while the source was silent', async () => {
  const { client, answers } = await ask()
  using _ = client
  const [outgoing] = answers as [ServerResponse]
  async function* body() {
    while (outgoing.writableLength < kilobytes64.length) {
      yield kilobytes64
      await setImmediate()
    }
    outgoing.socket?.setTimeout(20)
    await once(outgoing, 'timeout')
    for (;;) yield kilobytes64
  }
  const { signal } = new AbortController()
  await expect(pump(await begin(body()), outgoing, { idleMs: 20, signal })).rejects.toThrow('took nothing')
})

it('an answer that waits in line has its time when its turn comes', async () => {
  const { client, answers } = await ask(2)
  using _ = client
  const [before, outgoing] = answers as [ServerResponse, ServerResponse]
  async function* body() {
    // More than what the connection holds.
    yield Buffer.alloc(64 * 1024 * 1024)
    before.end()
    yield kilobytes64
  }
  const { signal } = new AbortController()
  await expect(pump(await begin(body()), outgoing, { idleMs: 20, signal })).rejects.toThrow('took nothing')
})
