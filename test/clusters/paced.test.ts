import { expect, test } from 'vitest'
import { BytePace, storingAt } from '../../src/clusters/paced.ts'
import { sniffInstance } from '../../src/dicom/part10.ts'
import { FakeClock, passing } from '../support/fake-clock.ts'
import { madeInstance } from '../support/made-instance.ts'
import { MemoryCluster } from '../support/memory-cluster.ts'

async function* chunks(...sizes: readonly number[]): AsyncGenerator<Uint8Array> {
  for (const size of sizes) yield Buffer.alloc(size)
}

const signal = new AbortController().signal

test('bytes pass no faster than at their pace, for all together who use it', async () => {
  const clock = new FakeClock()
  const pace = new BytePace(clock, 1000)
  const begun = clock.now()
  const read = async () => (await Array.fromAsync(pace.of(chunks(1000, 500, 500), signal))).map(({ length }) => length)
  expect(await passing(clock, Promise.all([read(), read()]))).toEqual([
    [1000, 500, 500],
    [1000, 500, 500],
  ])
  // The last chunk need not be paid for by those who have it.
  expect(clock.now() - begun).toBeGreaterThanOrEqual(3500)
})

test('what is slower than that is not held up', async () => {
  const clock = new FakeClock()
  const pace = new BytePace(clock, 1000)
  const slow = pace.of(chunks(1000, 1000), signal)
  await slow.next()
  await clock.advance(1000)
  expect((await slow.next()).done).toBe(false)
})

test('who waits for its turn stops waiting when it is to stop', async () => {
  const pace = new BytePace(new FakeClock(), 1)
  const stopping = new AbortController()
  const slow = pace.of(chunks(1000, 1000), stopping.signal)
  await slow.next()
  const next = slow.next()
  stopping.abort(new Error('stopping'))
  await expect(next).rejects.toThrow('stopping')
})

test('a cluster into which is stored at a pace gets all of it, and answers as it does', async () => {
  const clock = new FakeClock()
  const made = madeInstance({ rows: 100, columns: 100 })
  const inner = new MemoryCluster('south')
  const cluster = storingAt(new BytePace(clock, 5000), inner)
  const { header, body } = await sniffInstance(chunked(made.bytes), { maxHeaderBytes: 65_536 })
  async function* uploads() {
    yield { header, body }
  }
  const begun = clock.now()
  const results = await passing(clock, cluster.store(uploads(), signal))
  expect(results.map(({ outcome }) => outcome.status)).toEqual(['stored'])
  expect(Buffer.from(inner.held.get(made.instance)?.bytes ?? []).equals(made.bytes)).toBe(true)
  expect(clock.now() - begun).toBeGreaterThanOrEqual(1000)
})

async function* chunked(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += 1000) yield bytes.subarray(at, at + 1000)
}

test('one without a pace is that cluster itself', () => {
  const inner = new MemoryCluster('south')
  expect(storingAt(undefined, inner)).toBe(inner)
})
