import { describe, expect, it } from 'vitest'
import type { RenderedRequest, Target } from '../../src/clusters/cluster.ts'
import { LinkError } from '../../src/core/errors.ts'
import type { Part, Parts } from '../../src/dicom/multipart.ts'
import type { Uid } from '../../src/dicom/uid.ts'
import type { RenderRequest } from '../../src/render/request.ts'
import { Pictures, type PicturesDependencies } from '../../src/retrieve/pictures.ts'
import { turn } from '../support/fake-clock.ts'
import { madeUid } from '../support/made-instance.ts'
import { answered, Source, textsOf } from './fake-retrieve.ts'

const requester = { audience: 'internal', signal: new AbortController().signal } as const
const study = madeUid() as Uid
const series = madeUid() as Uid
const target = { study, series, instance: madeUid() as Uid }
const request: RenderedRequest = { kind: 'rendered', target, mediaTypes: ['image/jpeg'], parameters: {} }

async function* bytes(...chunks: string[]): AsyncGenerator<Uint8Array> {
  for (const chunk of chunks) yield Buffer.from(chunk)
}

async function* parts(...made: Part[]): AsyncGenerator<Part> {
  yield* made
}

const answerOf = (...made: Part[]) => answered(parts(...made))
const listed = (...below: Required<Target>[]) => answered(below)
const refusal = (code: LinkError['code'] = 'not-acceptable') => new LinkError(code, 'no pictures')

/** An archive that makes no pictures, and what is rendered here says what it was made of. */
function pictures(own: Partial<PicturesDependencies> = {}) {
  const rendered: RenderRequest[] = []
  const made = new Pictures({
    maxRenderedBytes: 100,
    renderer: {
      render: async (wanted) => {
        rendered.push(wanted)
        const text = `${Buffer.from(wanted.file)} ${wanted.frame} ${wanted.parameters.viewport ?? ''}`.trim()
        return { contentType: 'image/jpeg', bytes: Buffer.from(text) }
      },
      close: async () => undefined,
    },
    made: async () => {
      throw refusal()
    },
    stored: async ({ instance = '' }) => answerOf({ contentType: 'application/dicom', body: bytes('file ', instance) }),
    instances: async () => listed(target),
    ...own,
  })
  const get = async (wanted: RenderedRequest, signal = requester.signal) =>
    textsOf(await made.of(wanted, { ...requester, signal }))
  return { get, of: made.of.bind(made), rendered }
}

describe('a picture', () => {
  it('is the archive’s where it makes one', async () => {
    const { get, rendered } = pictures({
      made: async () => answerOf({ contentType: 'image/jpeg', body: bytes('theirs') }),
    })
    expect(await get(request)).toEqual(['theirs'])
    expect(rendered).toEqual([])
  })

  it.each(['not-acceptable', 'bad-gateway', 'not-found', 'unavailable'] as const)(
    'is made here when the archive’s answer amounts to %s',
    async (code) => {
      const { get } = pictures({
        made: async () => {
          throw refusal(code)
        },
      })
      expect(await get(request)).toEqual([`file ${target.instance} 1`])
    },
  )

  it('is not made here when the request is at fault', async () => {
    const { get } = pictures({
      made: async () => {
        throw refusal('bad-request')
      },
    })
    await expect(get(request)).rejects.toMatchObject({ code: 'bad-request' })
  })

  it('is made of each frame asked for, in their order', async () => {
    const { get } = pictures()
    expect(await get({ ...request, frames: [3, 1] })).toEqual([
      `file ${target.instance} 3`,
      `file ${target.instance} 1`,
    ])
  })

  it('of an instance that is too large is refused before all of it is read', async () => {
    let read = 0
    const { get } = pictures({
      stored: async () =>
        answerOf({
          contentType: 'application/dicom',
          body: (async function* () {
            for (;;) {
              read += 60
              yield new Uint8Array(60)
            }
          })(),
        }),
    })
    await expect(get(request)).rejects.toMatchObject({ code: 'not-acceptable' })
    expect(read).toBe(120)
  })

  it('of an instance that nobody has is not found', async () => {
    const { get } = pictures({
      stored: async () => {
        throw new LinkError('not-found', 'is not held')
      },
    })
    await expect(get(request)).rejects.toMatchObject({ code: 'not-found' })
  })
})

describe('the places for pictures', () => {
  const others = Array.from({ length: 5 }, () => ({ study, series, instance: madeUid() as Uid }))
  const of = (it: Target) => ({ ...request, target: it })

  it('are not taken by what does not begin to come', async () => {
    const { get } = pictures({
      stored: async ({ instance = '' }) =>
        instance === target.instance
          ? answerOf({ contentType: 'application/dicom', body: bytes('file') })
          : new Promise(() => undefined),
    })
    for (const hanging of others) void get(of(hanging))
    expect(await get(request)).toEqual(['file 1'])
  })

  it('bound what is in memory, and what there is no place for is let go with its client', async () => {
    const sources = others.map(() => new Source(['file'], 'application/dicom'))
    const free = Promise.withResolvers<void>()
    const leaving = new AbortController()
    const { get } = pictures({
      stored: async ({ instance }) =>
        answered(sources[others.findIndex((it) => it.instance === instance)]?.parts() as Parts),
      renderer: {
        render: () => free.promise.then(() => ({ contentType: 'image/jpeg', bytes: Buffer.from('made') })),
        close: async () => undefined,
      },
    })
    const [fifth = target, ...four] = others
    const made = four.map((it) => get(of(it)))
    const late = get(of(fifth), leaving.signal)
    while (sources.filter(({ read }) => read > 0).length < 4) await turn()
    for (let i = 0; i < 20; i++) await turn()
    expect(sources.map(({ read }) => read)).toEqual([0, 1, 1, 1, 1])
    leaving.abort(new Error('left'))
    await expect(late).rejects.toThrow('left')
    expect(sources[0]).toMatchObject({ read: 0, isReturned: true })
    free.resolve()
    expect((await Promise.all(made)).flat()).toEqual(['made', 'made', 'made', 'made'])
  })
})

describe('pictures of a study', () => {
  const instances = Array.from({ length: 3 }, () => ({ study, series, instance: madeUid() as Uid }))
  const ofStudy = { ...request, target: { study } }

  it('are the archives’ where they make them, and made here where not', async () => {
    const { get, rendered } = pictures({
      instances: async () => listed(...instances),
      made: async ({ target: { instance } }) => {
        if (instance !== instances[0]?.instance) throw refusal()
        return answerOf({ contentType: 'image/jpeg', body: bytes('theirs') })
      },
    })
    const own = instances.slice(1).map(({ instance }) => `file ${instance} 1`)
    expect(await get(ofStudy)).toEqual(['theirs', ...own])
    expect(rendered).toHaveLength(2)
  })

  it('may not be all when the instances may not be', async () => {
    const warnings = ['Results are incomplete: cluster south timed-out']
    const { of } = pictures({ instances: async () => ({ status: 206, warnings, body: instances }) })
    expect(await of(ofStudy, requester)).toMatchObject({ status: 206, warnings })
  })

  it('are made of all that there are pictures of', async () => {
    const { get } = pictures({
      instances: async () => listed(...instances),
      stored: async (wanted: Target) => {
        if (wanted.instance === instances[1]?.instance) throw refusal()
        return answerOf({ contentType: 'application/dicom', body: bytes(wanted.instance ?? '') })
      },
    })
    expect(await get(ofStudy)).toEqual([`${instances[0]?.instance} 1`, `${instances[2]?.instance} 1`])
  })

  it('are not acceptable when there is none', async () => {
    const { get } = pictures({
      instances: async () => listed(...instances),
      stored: async () => {
        throw refusal()
      },
    })
    await expect(get(ofStudy)).rejects.toMatchObject({ code: 'not-acceptable' })
  })

  it('break off when one cannot be had that there should be', async () => {
    const { get } = pictures({
      instances: async () => listed(...instances),
      stored: async (wanted: Target) => {
        if (wanted.instance === instances[1]?.instance) throw refusal('unavailable')
        return answerOf({ contentType: 'application/dicom', body: bytes('x') })
      },
    })
    await expect(get(ofStudy)).rejects.toMatchObject({ code: 'unavailable' })
  })
})

describe('a thumbnail', () => {
  it('of a study is small and of its middle instance', async () => {
    const instances = Array.from({ length: 3 }, () => ({ study, series, instance: madeUid() as Uid }))
    const { get } = pictures({ instances: async () => listed(...instances) })
    const wanted: RenderedRequest = { ...request, kind: 'thumbnail', target: { study } }
    expect(await get(wanted)).toEqual([`file ${instances[1]?.instance} 1 256,256`])
  })

  it('has the size that was asked for', async () => {
    const { get } = pictures()
    const wanted: RenderedRequest = { ...request, kind: 'thumbnail', parameters: { viewport: '64,64' } }
    expect(await get(wanted)).toEqual([`file ${target.instance} 1 64,64`])
  })
})
