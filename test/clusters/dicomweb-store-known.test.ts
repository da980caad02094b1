import { beforeEach, describe, expect, it } from 'vitest'
import type { Target } from '../../src/clusters/cluster.ts'
import { Known } from '../../src/clusters/dicomweb-store-known.ts'
import type { InstanceHeader } from '../../src/dicom/part10.ts'
import type { Uid } from '../../src/dicom/uid.ts'
import { FakeClock } from '../support/fake-clock.ts'

const header = (instance: string, study = '1.2') =>
  ({ studyInstanceUID: study, seriesInstanceUID: `${study}.1`, sopInstanceUID: instance }) as InstanceHeader

describe('what an archive is known to have', () => {
  let clock: FakeClock
  let known: Known
  /** What it was asked for, and has in series 7. */
  let asked: (string | undefined)[]
  let held: string[]

  beforeEach(() => {
    clock = new FakeClock()
    known = new Known(clock)
    asked = []
    held = []
  })

  const ask = async ({ instance }: Target) => {
    asked.push(instance)
    const listed = instance === undefined ? held : held.filter((it) => it === instance)
    return new Map(listed.map((it) => [it as Uid, '7' as Uid]))
  }
  const seriesOf = (instance: string) => known.seriesOf(header(instance), ask)

  it('is asked for the first instance of a study, for all when another follows, and then no more', async () => {
    held = ['2', '4']
    expect([await seriesOf('1'), await seriesOf('2'), await seriesOf('3'), await seriesOf('4')]).toEqual([
      undefined,
      '7',
      undefined,
      '7',
    ])
    expect(asked).toEqual(['1', undefined])
  })

  it('includes what it was sent, also while it was asked', async () => {
    await seriesOf('1')
    await known.seriesOf(header('2'), async (target) => {
      known.sent(header('3'))
      return ask(target)
    })
    expect(known.lacks(header('3'))).toBe(false)
    expect([await seriesOf('3'), known.lacks(header('4'))]).toEqual(['1.2.1', true])
  })

  it('is asked for anew after ten seconds', async () => {
    await seriesOf('1')
    await clock.advance(9000)
    await seriesOf('2')
    await seriesOf('3')
    await clock.advance(1001)
    held = ['3']
    expect(await seriesOf('3')).toBe('7')
    expect(asked).toEqual(['1', undefined, '3'])
  })

  it('is asked for one instance while another call asks for all', async () => {
    await seriesOf('1')
    held = ['2', '3']
    await known.seriesOf(header('2'), async (target) => {
      expect([await seriesOf('3'), await seriesOf('4')]).toEqual(['7', undefined])
      return ask(target)
    })
    expect(asked).toEqual(['1', '3', '4', undefined])
  })

  it('is forgotten when it is too much', async () => {
    const many = new Map(Array.from({ length: 150_000 }, (_, n) => [`5.${n}` as Uid, '7' as Uid]))
    for (const study of ['1.3', '1.4', '1.5']) {
      await known.seriesOf(header('1', study), ask)
      await known.seriesOf(header('2', study), async () => many)
    }
    expect(['1.3', '1.4', '1.5'].map((study) => known.lacks(header('3', study)))).toEqual([false, true, true])
  })

  it('is not taken back by an answer that came late', async () => {
    await seriesOf('1')
    await known.seriesOf(header('2'), async (target) => {
      // So many that this one is forgotten.
      for (let n = 0; n < 130; n++) known.sent(header('1', `1.3.${n}`))
      await seriesOf('3')
      await seriesOf('4')
      known.sent(header('4'))
      return ask(target)
    })
    expect(known.lacks(header('4'))).toBe(false)
  })
})
