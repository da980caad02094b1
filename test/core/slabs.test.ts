import type { Socket } from 'node:net'
import { expect, test } from 'vitest'
import { Slabs } from '../../src/core/slabs.ts'

const slabBytes = 256 * 1024

/** What a connection does that has read so many bytes, and the chunk that its reader gets. */
function reads(slabs: Slabs, bytes: number): Buffer {
  const pushed: Buffer[] = []
  const socket = { push: (chunk: Buffer) => pushed.push(chunk) > 0 } as unknown as Socket
  slabs.onread.callback.call(socket, bytes, slabs.onread.buffer())
  return pushed[0] as Buffer
}

const isSame = (a: Uint8Array, b: Uint8Array): boolean => a.buffer === b.buffer

test('memory that was given back is read into again when its answer has gone on', () => {
  const slabs = new Slabs()
  const reading = slabs.reading()
  const first = reads(slabs, slabBytes)
  reading.lent(first)
  slabs.release(first.subarray(0, 1000))
  slabs.release(first.subarray(1000))
  expect(isSame(reads(slabs, slabBytes), first)).toBe(false)
  reading.lent(reads(slabs, slabBytes))
  expect(isSame(reads(slabs, slabBytes), first)).toBe(true)
})

test('and when its answer has ended', () => {
  const slabs = new Slabs()
  const reading = slabs.reading()
  const only = reads(slabs, slabBytes)
  reading.lent(only)
  reading.ended()
  expect(isSame(reads(slabs, slabBytes), only)).toBe(false)
  slabs.release(only)
  expect(isSame(reads(slabs, slabBytes), only)).toBe(true)
})

test('memory of which a part was not given back is left alone', () => {
  const slabs = new Slabs()
  const reading = slabs.reading()
  const chunk = reads(slabs, slabBytes)
  reading.lent(chunk.subarray(0, 1000))
  reading.lent(chunk.subarray(1000))
  reading.ended()
  slabs.release(chunk.subarray(1000))
  expect(isSame(reads(slabs, slabBytes), chunk)).toBe(false)
})

test('memory of an answer that was left in the middle is left alone, since more of it may come', () => {
  const slabs = new Slabs()
  const reading = slabs.reading()
  const chunk = reads(slabs, slabBytes)
  reading.lent(chunk.subarray(0, 1000))
  slabs.release(chunk.subarray(0, 1000))
  expect(isSame(reads(slabs, slabBytes), chunk)).toBe(false)
})

test('little is copied, so that nobody holds much memory for it, and the slab is read into at once', () => {
  const slabs = new Slabs()
  const little = reads(slabs, 5000)
  expect(little.byteLength).toBe(5000)
  expect(little.buffer.byteLength).toBeLessThan(64 * 1024)
  const next = reads(slabs, slabBytes)
  expect(isSame(next, little)).toBe(false)
  expect(isSame(next, slabs.onread.buffer())).toBe(false)
})

test('other memory is none of its business', () => {
  const slabs = new Slabs()
  slabs.reading().lent(Buffer.alloc(1000))
  expect(() => slabs.release(Buffer.alloc(1000))).not.toThrow()
})
