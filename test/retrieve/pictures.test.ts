import { describe, expect, it } from 'vitest'
import type { RenderedRequest, Target } from '../../src/clusters/cluster.ts'
import { LinkError } from '../../src/core/errors.ts'
import type { Part } from '../../src/dicom/multipart.ts'
import type { Uid } from '../../src/dicom/uid.ts'
import type { RenderRequest } from '../../src/render/request.ts'
import { Pictures, type PicturesDependencies } from '../../src/retrieve/pictures.ts'
import { madeUid } from '../support/made-instance.ts'
import { answered } from './fake-retrieve.ts'

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
  const get = async (wanted: RenderedRequest) => {
    const texts: string[] = []
    for await (const part of (await made.of(wanted, requester)).body) {
      texts.push(Buffer.concat(await Array.fromAsync(part.body)).toString())
    }
    return texts
  }
  return { get, rendered }
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

describe('pictures of a study', () => {
  const instances = Array.from({ length: 3 }, () => ({ study, series, instance: madeUid() as Uid }))
  const ofStudy = { ...request, target: { study } }

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
