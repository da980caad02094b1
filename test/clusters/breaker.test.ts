import { describe, expect, it } from 'vitest'
import { Breaker, type BreakerOptions } from '../../src/clusters/breaker.ts'
import { FakeClock } from '../support/fake-clock.ts'

const options: BreakerOptions = { failuresInRow: 3, window: 10, failureRate: 0.5, backoffMs: 1000, maxBackoffMs: 3000 }

function breaker() {
  const clock = new FakeClock()
  const it = new Breaker(clock, options)
  const call = (how: 'succeeded' | 'failed' | 'abandoned') => {
    const permit = it.enter()
    permit?.[how]()
    return permit !== undefined
  }
  const calls = (how: 'succeeded' | 'failed' | 'abandoned', times: number) => {
    for (let time = 0; time < times; time++) call(how)
  }
  return { clock, breaker: it, call, calls }
}

describe('a breaker', () => {
  it('opens after enough failures in a row and lets nobody through', () => {
    const { breaker: it, call, calls } = breaker()
    calls('failed', 2)
    expect(it.state).toBe('closed')
    calls('failed', 1)
    expect(it.state).toBe('open')
    expect(call('succeeded')).toBe(false)
  })

  it('stays closed while successes come between the failures', () => {
    const { breaker: it, calls } = breaker()
    for (let round = 0; round < 20; round++) {
      calls('failed', 1)
      calls('succeeded', 2)
    }
    expect(it.state).toBe('closed')
  })

  it('opens when half of the last calls failed, though never many in a row', () => {
    const { breaker: it, calls } = breaker()
    for (let round = 0; round < 5; round++) {
      calls('failed', 1)
      calls('succeeded', 1)
    }
    calls('failed', 1)
    expect(it.state).toBe('open')
  })

  it('lets one trial through after its backoff, and closes when that succeeds', async () => {
    const { breaker: it, calls, clock } = breaker()
    calls('failed', 3)
    await clock.advance(999)
    expect(it.enter()).toBeUndefined()
    await clock.advance(1)
    expect(it.state).toBe('half-open')
    const trial = it.enter()
    expect(trial?.trial).toBe(true)
    expect(it.enter()).toBeUndefined()
    trial?.succeeded()
    expect(it.state).toBe('closed')
    expect(it.enter()?.trial).toBe(false)
  })

  it('waits twice as long after each failed trial, up to a limit, and begins anew once it has closed', async () => {
    const { breaker: it, call, calls, clock } = breaker()
    calls('failed', 3)
    for (const wait of [1000, 2000, 3000, 3000]) {
      expect(it.retryInMs).toBe(wait)
      await clock.advance(wait)
      expect(call('failed')).toBe(true)
    }
    await clock.advance(3000)
    call('succeeded')
    calls('failed', 3)
    expect(it.retryInMs).toBe(1000)
  })

  it('lets another trial through when one was abandoned', async () => {
    const { breaker: it, call, calls, clock } = breaker()
    calls('failed', 3)
    await clock.advance(1000)
    expect(call('abandoned')).toBe(true)
    expect(it.state).toBe('half-open')
    expect(call('succeeded')).toBe(true)
    expect(it.state).toBe('closed')
  })

  it('is not kept open longer by calls that began before it opened', () => {
    const { breaker: it, calls } = breaker()
    const straggler = it.enter()
    calls('failed', 3)
    straggler?.failed()
    expect(it.retryInMs).toBe(1000)
  })

  it('is closed by the success of a call that began before it opened', () => {
    const { breaker: it, calls } = breaker()
    const straggler = it.enter()
    calls('failed', 3)
    straggler?.succeeded()
    expect(it.state).toBe('closed')
  })

  it('hears of the end of a call once', () => {
    const { breaker: it } = breaker()
    const permit = it.enter()
    for (let time = 0; time < 10; time++) permit?.failed()
    expect(it.state).toBe('closed')
  })
})
