import { beforeEach, describe, expect, it } from 'vitest'
import type { Target } from '../../src/clusters/cluster.ts'
import { InstanceLookup } from '../../src/clusters/dicomweb-store-lookup.ts'
import type { Inventory, ListedInstance } from '../../src/clusters/inventory.ts'
import { ClusterError, type FailureReason } from '../../src/core/outcome.ts'
import type { InstanceHeader } from '../../src/dicom/part10.ts'
import type { Uid } from '../../src/dicom/uid.ts'
import { FakeClock, turn } from '../support/fake-clock.ts'
import { forever } from './setup.ts'

const header = (instance: string, study = '1.2') =>
  ({ studyInstanceUID: study, seriesInstanceUID: `${study}.1`, sopInstanceUID: instance }) as InstanceHeader

/** What an archive has and how it understands questions; each is answered when it is let go. */
class Archive {
  readonly held: ListedInstance[] = []
  readonly questions: string[] = []
  knowsLists = true
  refuses: FailureReason | undefined
  #gate = Promise.withResolvers<void>()

  put(instance: string, study = '1.2'): void {
    this.held.push({ study, series: `${study}.7`, instance, sopClass: undefined } as unknown as ListedInstance)
  }

  /** All questions that were asked, and those that follow from them. */
  async answer(): Promise<void> {
    for (let rounds = 0; rounds < 10; rounds++) {
      this.#gate.resolve()
      this.#gate = Promise.withResolvers<void>()
      await turn()
    }
  }

  async inventoryOf({ study, instance }: Target): Promise<Inventory> {
    await this.#asked(instance ?? '')
    const found = this.held.filter((it) => it.study === study && it.instance === instance)
    return new Map(found.map((it) => [it.instance, it.series]))
  }

  async listOf(instances: readonly Uid[]): Promise<readonly ListedInstance[]> {
    await this.#asked(instances.join(','))
    if (this.refuses) throw new ClusterError('north', this.refuses, 'no')
    const found = instances.map((uid) => this.held.find(({ instance }) => instance === uid))
    return this.knowsLists ? found.filter((it) => it !== undefined) : []
  }

  async #asked(what: string): Promise<void> {
    this.questions.push(what)
    await this.#gate.promise
  }
}

describe('looking up whether an archive has instances', () => {
  let archive: Archive
  let clock: FakeClock
  let lookup: InstanceLookup

  beforeEach(() => {
    archive = new Archive()
    clock = new FakeClock()
    lookup = new InstanceLookup({
      cluster: 'north',
      clock,
      limitMs: 1000,
      inventoryOf: (target) => archive.inventoryOf(target),
      listOf: (instances) => archive.listOf(instances),
    })
  })

  const ask = (...headers: InstanceHeader[]) => headers.map((it) => lookup.seriesOf(it, forever()))
  const answersTo = async (...headers: InstanceHeader[]) => {
    const answers = Promise.all(ask(...headers))
    await archive.answer()
    return answers
  }
  const witness = () => {
    archive.put('9')
    lookup.acknowledged(header('9'))
  }

  it('asks for one at once, and together for all that come until it is answered', async () => {
    witness()
    archive.put('2')
    archive.put('4', '1.3')
    const answers = await answersTo(header('1'), header('2'), header('3'), header('4', '1.3'))
    expect(answers).toEqual([undefined, '1.2.7', undefined, '1.3.7'])
    expect(archive.questions).toEqual(['1', '2,3,4,9'])
    await answersTo(header('5'), header('6'), header('7'))
    expect(archive.questions.slice(2)).toEqual(['5', '6,7'])
  })

  it('asks for each alone while the archive has acknowledged nothing', async () => {
    archive.put('2')
    expect(await answersTo(header('1'), header('2'), header('3'))).toEqual([undefined, '1.2.7', undefined])
    expect(archive.questions).toEqual(['1', '2', '3'])
  })

  it('does not believe an archive that finds nothing by lists, and ends to ask it so', async () => {
    witness()
    archive.put('2')
    archive.knowsLists = false
    for (let round = 0; round < 5; round++) {
      expect(await answersTo(header('1'), header('2'), header('3'))).toEqual([undefined, '1.2.7', undefined])
    }
    expect(archive.questions.filter((it) => it.includes(','))).toHaveLength(3)
  })

  it('asks an archive that does not answer such questions for each alone, and ends to ask it so', async () => {
    witness()
    archive.put('2')
    archive.refuses = 'rejected'
    for (let round = 0; round < 5; round++) {
      expect(await answersTo(header('1'), header('2'), header('3'))).toEqual([undefined, '1.2.7', undefined])
    }
    expect(archive.questions.filter((it) => it.includes(','))).toHaveLength(3)
  })

  it('asks alone for one that is found in another study', async () => {
    witness()
    archive.put('2', '1.3')
    archive.put('2', '1.2')
    expect(await answersTo(header('1'), header('2'), header('3'))).toEqual([undefined, '1.2.7', undefined])
    expect(archive.questions).toEqual(['1', '2,3,9', '2'])
  })

  it('asks for each alone when one question fails, and together the next time', async () => {
    witness()
    await answersTo(header('1'), header('2'), header('3'))
    archive.refuses = 'failed'
    expect(await answersTo(header('4'), header('5'), header('6'))).toEqual([undefined, undefined, undefined])
    archive.refuses = undefined
    await answersTo(header('7'), header('8'), header('10'))
    expect(archive.questions.slice(2)).toEqual(['4', '5,6', '5', '6', '7', '8,10'])
  })

  it('gives a question up in time, and asks for those that waited', async () => {
    const [hung, waiting] = ask(header('1'), header('2'))
    const outcome = expect(hung).rejects.toMatchObject({ name: 'ClusterError', reason: 'timed-out' })
    await turn()
    clock.advance(1001)
    await outcome
    await archive.answer()
    expect(await waiting).toBeUndefined()
  })

  it('lets a caller leave who waits for others', async () => {
    const leaving = new AbortController()
    const [first] = ask(header('1'))
    const left = lookup.seriesOf(header('2'), leaving.signal)
    leaving.abort(new Error('left'))
    await expect(left).rejects.toThrow('left')
    await archive.answer()
    expect(await first).toBeUndefined()
  })
})
