import { describe, expect, it } from 'vitest'
import type { Refused } from '../../src/clusters/refused.ts'
import type { Uid } from '../../src/dicom/uid.ts'
import { travelsUnless } from '../../src/link/travels.ts'
import { type ConvergeOptions, converge } from '../../src/replicate/converge.ts'
import { madeInstance, madeUid } from '../support/made-instance.ts'
import { MemoryCluster } from '../support/memory-cluster.ts'

const signal = new AbortController().signal
const study = madeUid() as Uid

const options = (sources: MemoryCluster[], more: Partial<ConvergeOptions> = {}): ConvergeOptions => ({
  sources,
  startsStudies: true,
  maxBufferedPartBytes: 1024 * 1024,
  travels: travelsUnless([]),
  ...more,
})

function cluster(id: string, made: readonly ReturnType<typeof madeInstance>[]): MemoryCluster {
  const held = new MemoryCluster(id)
  for (const instance of made) held.add(instance)
  return held
}

const instances = (count: number) => Array.from({ length: count }, () => madeInstance({ study }))

describe('converging a study on a cluster', () => {
  it('sends what any source has and the target lacks, byte for byte, and nothing when run again', async () => {
    const made = instances(250)
    const [home, other, target] = [
      cluster('home', made.slice(0, 200)),
      cluster('other', made.slice(150)),
      cluster('target', made.slice(0, 20)),
    ]
    expect(await converge(study, target, options([home, other]), signal)).toMatchObject({ sent: 230, refused: [] })
    for (const { instance, bytes } of made) expect(target.held.get(instance)?.bytes).toEqual(Buffer.from(bytes))
    expect(await converge(study, target, options([home, other]), signal)).toMatchObject({ sent: 0, refused: [] })
  })

  it('tells how many instances the target and its sources hold', async () => {
    const made = instances(5)
    const [home, gone, target] = [cluster('home', made), cluster('gone', []), cluster('target', made.slice(3))]
    const { held } = await converge(study, target, options([home, gone]), signal)
    expect(Object.fromEntries(held)).toEqual({ home: 5, gone: 0, target: 5 })
    const empty = cluster('target', [])
    const unwanted = await converge(study, empty, options([home], { startsStudies: false }), signal)
    expect(Object.fromEntries(unwanted.held)).toEqual({ target: 0 })
  })

  it('takes an instance from the next source when the first one fails', async () => {
    const made = instances(3)
    const [failing, other, target] = [cluster('home', made), cluster('other', made), cluster('target', [])]
    failing.faults.poison = new Set(made.map(({ instance }) => instance))
    expect((await converge(study, target, options([failing, other]), signal)).sent).toBe(3)
  })

  it('reads a series in one retrieval where most of it is missing, and what that breaks off one by one', async () => {
    const series = madeUid()
    const made = Array.from({ length: 6 }, () => madeInstance({ study, series }))
    const [home, other, target] = [cluster('home', made), cluster('other', made), cluster('target', made.slice(0, 3))]
    home.faults.diesAfter = 4
    expect((await converge(study, target, options([home, other]), signal)).sent).toBe(3)
    const asked = home.retrieves.map((request) => 'target' in request && request.target)
    expect(asked).toEqual([{ study, series }, ...made.slice(4).map(({ instance }) => ({ study, series, instance }))])
    for (const { instance, bytes } of made) expect(target.held.get(instance)?.bytes).toEqual(Buffer.from(bytes))
  })

  it('reads instance by instance where less of a series is missing than not', async () => {
    const series = madeUid()
    const made = Array.from({ length: 6 }, () => madeInstance({ study, series }))
    const [home, target] = [cluster('home', made), cluster('target', made.slice(0, 4))]
    expect((await converge(study, target, options([home]), signal)).sent).toBe(2)
    const asked = home.retrieves.map((request) => 'target' in request && request.target.instance)
    expect(asked).toEqual(made.slice(4).map(({ instance }) => instance))
  })

  it('passes over an instance that cannot be read, sends the others, and fails to be tried again', async () => {
    const made = instances(10)
    const [home, target] = [cluster('home', made), cluster('target', [])]
    home.faults.poison = new Set([made[0]?.instance ?? ''])
    await expect(converge(study, target, options([home]), signal)).rejects.toMatchObject({ reason: 'failed' })
    expect(target.held.size).toBe(9)
  })

  it('starts no study at a target that only wants those it holds', async () => {
    const [home, target] = [cluster('home', instances(2)), cluster('target', [])]
    expect((await converge(study, target, options([home], { startsStudies: false }), signal)).sent).toBe(0)
  })

  it('records a refusal for good and fails on one that may pass', async () => {
    const [home, target] = [cluster('home', instances(1)), cluster('target', [])]
    target.faults.refuses = 0x0122
    expect((await converge(study, target, options([home]), signal)).refused).toHaveLength(1)
    target.faults.refuses = 0xa700
    await expect(converge(study, target, options([home]), signal)).rejects.toThrow(/did not store 1 of 1.*A700H/)
  })

  it('notes what is refused for good although the run fails of something else, and leaves it out later', async () => {
    const made = instances(3)
    const [home, target] = [cluster('home', made), cluster('target', [])]
    home.faults.poison = new Set([made[0]?.instance ?? ''])
    target.faults.refuses = 0x0122
    const noted: Uid[] = []
    const note = async (refused: readonly Refused[]) => void noted.push(...refused.map(({ instance }) => instance))
    const run = () => converge(study, target, options([home], { refusals: { before: new Set(noted), note } }), signal)
    await expect(run()).rejects.toMatchObject({ reason: 'failed' })
    expect(noted.toSorted()).toEqual(
      made
        .slice(1)
        .map(({ instance }) => instance as string)
        .toSorted(),
    )
    home.faults = {}
    target.faults = {}
    expect(await run()).toMatchObject({ sent: 1, refused: [] })
    expect([...target.held.keys()]).toEqual([made[0]?.instance])
  })

  it('sends what the other sources have when one does not answer, and fails to be tried again', async () => {
    const made = instances(4)
    const [home, down, target] = [cluster('home', made.slice(1)), cluster('down', made), cluster('target', [])]
    down.faults.down = 'unreachable'
    await expect(converge(study, target, options([home, down]), signal)).rejects.toMatchObject({
      reason: 'unreachable',
    })
    expect(target.held.size).toBe(3)
  })
  it.each([
    ['listed with its class', { '00080016': ['1.2.840.10008.5.1.4.1.1.7'] }, 0],
    ['listed without it, as its file says', {}, 1],
  ])('leaves an instance of a class that stays where it is, %s, and succeeds', async (_, row, opened) => {
    const [capture, cine] = [madeInstance({ study }), madeInstance({ study, frames: 2 })]
    const [home, target] = [new MemoryCluster('home').add(capture, row).add(cine), cluster('target', [])]
    const travels = travelsUnless(['SecondaryCaptureImageStorage'])
    const run = () => converge(study, target, options([home], { travels }), signal)
    expect(await run()).toMatchObject({ sent: 1, refused: [] })
    expect([...target.held.keys()]).toEqual([cine.instance])
    expect(await run()).toMatchObject({ sent: 0, refused: [] })
    const read = home.retrieves.filter((it) => 'target' in it && it.target.instance === capture.instance)
    expect(read.length > 0).toBe(opened > 0)
  })
})
