import { describe, expect, test } from 'vitest'
import { createRenderer, type RendererOptions } from '../../src/render/renderer.ts'
import { FakeClock, turn } from '../support/fake-clock.ts'
import { madeImage, wedge } from './made-image.ts'
import { converted, fromPng, haveDcmtk, shown, shownByDcmtk } from './pictures.ts'

const never = new AbortController().signal
const image = madeImage({ rows: 30, columns: 40, pixels: Uint8Array.from(wedge(30, 40, 0, 255)) })

/** Closed when the test is over. */
function opened(options: Partial<RendererOptions> = {}) {
  const renderer = createRenderer({ threads: 1, ...options })
  return { renderer, [Symbol.asyncDispose]: () => renderer.close() }
}

describe('pictures made in threads', () => {
  const request = { file: image, frame: 1, parameters: {} }

  test('are those made anywhere, and the file is left as it is', async () => {
    await using made = opened()
    const before = Buffer.from(image)
    const { contentType, bytes } = await made.renderer.render({ ...request, mediaTypes: ['image/png'] }, never)
    expect(contentType).toBe('image/png')
    expect(fromPng(bytes)).toEqual(await shown(image))
    expect(Buffer.compare(before, image)).toBe(0)
  })

  test.skipIf(!haveDcmtk)('a JPEG is one that others read, the smaller the lower its quality', async () => {
    await using made = opened()
    const jpeg = (quality: string) =>
      made.renderer.render({ ...request, parameters: { quality }, mediaTypes: ['image/jpeg', '*/*'] }, never)
    const [fine, coarse] = [await jpeg('100'), await jpeg('10')]
    expect(fine.contentType).toBe('image/jpeg')
    expect(coarse.bytes.length).toBeLessThan(fine.bytes.length / 2)
    const read = shownByDcmtk(converted('img2dcm', [], fine.bytes), [])
    const { pixels } = await shown(image)
    expect(Math.max(...read.pixels.map((pixel, at) => Math.abs(pixel - (pixels[at] ?? 0))))).toBeLessThan(6)
  })

  test('what is refused there is told here, and the thread goes on', async () => {
    await using made = opened()
    const file = madeImage({ rows: 2, columns: 2, photometric: 'HSV', pixels: Buffer.alloc(4) })
    await expect(made.renderer.render({ ...request, file, mediaTypes: ['image/png'] }, never)).rejects.toMatchObject({
      code: 'not-acceptable',
      message: expect.stringContaining('"HSV"'),
    })
    await made.renderer.render({ ...request, mediaTypes: ['image/png'] }, never)
  })

  test('more pixels than are allowed are refused', async () => {
    await using made = opened({ maxPixels: 1000 })
    const refused = made.renderer.render({ ...request, mediaTypes: ['image/png'] }, never)
    await expect(refused).rejects.toMatchObject({ code: 'not-acceptable', message: expect.stringContaining('1000') })
  })

  test('after damaged data the next picture is made nevertheless', async () => {
    await using made = opened()
    const stream = Buffer.from(
      'ff4fff510029000000000002000000020000000000000000000000020000000200000000000000000001070101',
      'hex',
    )
    const syntax = '1.2.840.10008.1.2.4.201'
    const pixels = [Buffer.concat([stream, Buffer.from('ffd9', 'hex')])]
    const damaged = madeImage({ rows: 2, columns: 2, syntax, pixels })
    const refused = made.renderer.render({ ...request, file: damaged, mediaTypes: ['image/png'] }, never)
    await expect(refused).rejects.toMatchObject({ code: 'bad-gateway' })
    await made.renderer.render({ ...request, mediaTypes: ['image/jpeg'] }, never)
  })
})

describe('threads', () => {
  const entry = new URL('./obedient-worker.ts', import.meta.url)

  function obedient(options: Partial<RendererOptions> = {}) {
    const clock = new FakeClock()
    const made = opened({ entry, clock, timeLimitMs: 1000, idleMs: 5000, ...options })
    const order = async (what: string, signal = never) => {
      const request = { file: new Uint8Array(1), frame: 1, mediaTypes: [], parameters: { order: what } }
      return Buffer.from((await made.renderer.render(request, signal)).bytes).toString()
    }
    return { ...made, clock, order }
  }

  test('are used again, and as many as there may be work at the same time', async () => {
    await using made = obedient({ threads: 2 })
    const both = await Promise.all([made.order('tell thread'), made.order('tell thread')])
    expect(new Set(both).size).toBe(2)
    const more = await Promise.all(Array.from({ length: 6 }, () => made.order('tell thread')))
    expect(new Set([...both, ...more]).size).toBe(2)
  })

  test('know nothing of the environment', async () => {
    await using made = obedient()
    expect(await made.order('tell environment')).toBe('{}')
  })

  test('one that hangs is ended at its time limit, and another takes its place', async () => {
    await using made = obedient()
    const first = await made.order('tell thread')
    const hung = expect(made.order('hang')).rejects.toMatchObject({ code: 'timed-out' })
    await turn()
    await made.clock.advance(1000)
    await hung
    expect(await made.order('tell thread')).not.toBe(first)
  })

  test.each(['crash', 'exit'])('one that does %s fails its picture only', async (fault) => {
    await using made = obedient()
    const first = await made.order('tell thread')
    await expect(made.order(fault)).rejects.toMatchObject({ code: 'bad-gateway' })
    expect(await made.order('tell thread')).not.toBe(first)
  })

  test('one that takes more memory than it may is ended', async () => {
    await using made = obedient({ maxHeapMb: 16 })
    await expect(made.order('take all memory')).rejects.toMatchObject({
      code: 'bad-gateway',
      cause: expect.objectContaining({ code: 'ERR_WORKER_OUT_OF_MEMORY' }),
    })
    await made.order('tell thread')
  })

  test('one that refused is used again', async () => {
    await using made = obedient()
    const first = await made.order('tell thread')
    await expect(made.order('refuse')).rejects.toMatchObject({ code: 'not-acceptable', message: 'no such picture' })
    expect(await made.order('tell thread')).toBe(first)
  })

  test('one without work ends after a while, one with work before that does not', async () => {
    await using made = obedient()
    const first = await made.order('tell thread')
    await made.clock.advance(4999)
    expect(await made.order('tell thread')).toBe(first)
    await made.clock.advance(4999)
    expect(await made.order('tell thread')).toBe(first)
    await made.clock.advance(5000)
    expect(await made.order('tell thread')).not.toBe(first)
  })

  test('the line is bounded; who leaves it makes room', async () => {
    await using made = obedient({ maxWaiting: 1 })
    const hung = expect(made.order('hang')).rejects.toMatchObject({ code: 'timed-out' })
    await turn()
    const leaver = new AbortController()
    const left = expect(made.order('tell thread', leaver.signal)).rejects.toThrow('gone')
    await expect(made.order('tell thread')).rejects.toMatchObject({ code: 'unavailable' })
    leaver.abort(new Error('gone'))
    await left
    const waiting = made.order('tell thread')
    await turn()
    await made.clock.advance(1000)
    await hung
    expect(await waiting).toMatch(/^\d+$/)
  })

  test('who leaves while the picture is made is let go at once; the thread is free when it is done', async () => {
    await using made = obedient()
    const leaver = new AbortController()
    const left = expect(made.order('hang', leaver.signal)).rejects.toThrow('gone')
    await turn()
    leaver.abort(new Error('gone'))
    await left
    const waiting = made.order('tell thread')
    await turn()
    await made.clock.advance(1000)
    expect(await waiting).toMatch(/^\d+$/)
  })

  test('closing ends what they are at and refuses what comes after', async () => {
    const made = obedient()
    const ended = expect(made.order('hang')).rejects.toMatchObject({ code: 'unavailable' })
    await turn()
    await made.renderer.close()
    await ended
    await expect(made.order('tell thread')).rejects.toMatchObject({ code: 'unavailable' })
  })
})
