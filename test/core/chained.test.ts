import { expect, it } from 'vitest'
import { chained } from '../../src/core/chained.ts'

/** Counts up to a number, and tells whether it was let go. */
function counting(last: number) {
  const state = { isLetGo: false }
  async function* numbers() {
    try {
      for (let number = 1; number <= last; number++) yield number
    } finally {
      state.isLetGo = true
    }
  }
  return { state, source: numbers() }
}

it('gives what was read already and then the rest', async () => {
  const { source } = counting(4)
  const first = await source.next()
  expect(await Array.fromAsync(chained([first.value], source))).toEqual([1, 2, 3, 4])
  expect(await Array.fromAsync(chained([1, 2]))).toEqual([1, 2])
})

it.each([1, 2, 3])('lets the source go when the loop is left at item %i', async (at) => {
  const { source, state } = counting(9)
  const first = await source.next()
  const second = await source.next()
  for await (const number of chained([first.value, second.value], source)) if (number === at) break
  expect(state.isLetGo).toBe(true)
})

it('fails as the source does', async () => {
  const broken = { next: () => Promise.reject(new Error('broken')) }
  await expect(Array.fromAsync(chained([1], broken))).rejects.toThrow('broken')
})
