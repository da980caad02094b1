import { expect, test } from 'vitest'
import { Blocks } from '../../src/core/blocks.ts'

const isSame = (a: Uint8Array, b: Uint8Array): boolean => a.buffer === b.buffer

test('memory that was given back is used again, for what is of about the same size', () => {
  const blocks = new Blocks()
  const first = blocks.take(200_000)
  blocks.give([first.subarray(0, 10), first.subarray(10)])
  expect(isSame(blocks.take(100_000), first)).toBe(false)
  const again = blocks.take(199_000)
  expect(isSame(again, first)).toBe(true)
  expect(again.length).toBe(199_000)
  expect(isSame(blocks.take(199_000), first)).toBe(false)
})

test('other memory is left alone', () => {
  const blocks = new Blocks()
  const other = Buffer.allocUnsafeSlow(212_992)
  blocks.give([other])
  expect(isSame(blocks.take(212_992), other)).toBe(false)
})

test.each([100, 5_000_000])('memory of %i bytes is not kept', (length) => {
  const blocks = new Blocks()
  const first = blocks.take(length)
  blocks.give([first])
  expect(first.length).toBe(length)
  expect(isSame(blocks.take(length), first)).toBe(false)
})

test('no more is kept than so many bytes', () => {
  const blocks = new Blocks()
  const taken = Array.from({ length: 20 }, () => blocks.take(1024 * 1024))
  for (const block of taken) blocks.give([block])
  const again = Array.from({ length: 20 }, () => blocks.take(1024 * 1024))
  expect(again.filter((block) => taken.some((known) => isSame(known, block)))).toHaveLength(16)
})
