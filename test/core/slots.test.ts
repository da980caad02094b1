import { describe, expect, it } from 'vitest'
import { LineFull, Slots } from '../../src/core/slots.ts'

const never = new AbortController().signal

describe('slots', () => {
  it('are given in the order in which they were asked for', async () => {
    const slots = new Slots(1, 10)
    const order: string[] = []
    const release = await slots.take(never)
    const takers = ['a', 'b', 'c'].map(async (name) => {
      const done = await slots.take(never)
      order.push(name)
      done()
    })
    release()
    await Promise.all(takers)
    expect(order).toEqual(['a', 'b', 'c'])
    expect([slots.running, slots.waiting]).toEqual([0, 0])
  })

  it('are given back once, however often that is said', async () => {
    const slots = new Slots(2, 10)
    const [first] = [await slots.take(never), await slots.take(never)]
    first()
    first()
    expect(slots.running).toBe(1)
  })

  it('are refused when the line is full', async () => {
    const slots = new Slots(1, 1)
    const release = await slots.take(never)
    const waiting = slots.take(never)
    await expect(slots.take(never)).rejects.toBeInstanceOf(LineFull)
    release()
    ;(await waiting)()
  })

  it('do not go to those who left the line', async () => {
    const slots = new Slots(1, 10)
    const release = await slots.take(never)
    const leaving = new AbortController()
    const left = slots.take(leaving.signal).catch((reason: unknown) => reason)
    const stayed = slots.take(never)
    leaving.abort('gone')
    expect(await left).toBe('gone')
    release()
    ;(await stayed)()
    expect([slots.running, slots.waiting]).toEqual([0, 0])
  })

  it('are not given to who has left already', async () => {
    const slots = new Slots(1, 10)
    await expect(slots.take(AbortSignal.abort('gone'))).rejects.toBe('gone')
    expect(slots.running).toBe(0)
  })
})
