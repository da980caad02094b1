import { describe, expect, test } from 'vitest'
import { systemClock } from '../../src/core/clock.ts'
import { deadline, ranOutOfTime } from '../../src/core/deadline.ts'
import { FakeClock } from '../support/fake-clock.ts'

const long = 3_600_000

describe('a sleep by the real clock', () => {
  test('ends when its time is over', async () => {
    await expect(systemClock.sleep(0)).resolves.toBeUndefined()
    await expect(systemClock.sleep(0, new AbortController().signal)).resolves.toBeUndefined()
  })

  test('that is called off, before it or during it, ends with the reason of its signal', async () => {
    const reason = new Error('called off')
    await expect(systemClock.sleep(long, AbortSignal.abort(reason))).rejects.toBe(reason)
    const controller = new AbortController()
    const sleeping = systemClock.sleep(long, controller.signal)
    controller.abort(reason)
    await expect(sleeping).rejects.toBe(reason)
  })
})

test('work that is done in time has no deadline any more', async () => {
  const clock = new FakeClock()
  const wait = deadline(clock, 1)
  wait[Symbol.dispose]()
  await clock.advance(2)
  expect(wait.signal.aborted).toBe(false)
})

test('a deadline tells time that ran out from a caller that left', async () => {
  const caller = new AbortController()
  using late = deadline(systemClock, 0, caller.signal)
  await new Promise((resolve) => late.signal.addEventListener('abort', resolve))
  expect(ranOutOfTime(late.signal)).toBe(true)
  using left = deadline(systemClock, long, caller.signal)
  caller.abort(new Error('left'))
  expect(ranOutOfTime(left.signal)).toBe(false)
})
