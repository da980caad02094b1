import type { RenderedRequest, Target } from '../clusters/cluster.ts'
import { LinkError } from '../core/errors.ts'
import { LineFull, Slots } from '../core/slots.ts'
import type { Part, Parts } from '../dicom/multipart.ts'
import type { Renderer } from '../render/renderer.ts'
import type { Rendered } from '../render/request.ts'
import { describe } from './failure.ts'
import { prime } from './relay.ts'
import type { Requester, RetrieveAnswer } from './service.ts'

export interface PicturesDependencies {
  readonly renderer: Renderer
  /** Of one instance that is held in memory to be rendered, in bytes. */
  readonly maxRenderedBytes: number
  /** A picture as an archive makes it. */
  readonly made: (request: RenderedRequest, requester: Requester) => Promise<RetrieveAnswer<Parts>>
  /** One instance as it is stored, begun to come and not held in memory. */
  readonly stored: (target: Target, requester: Requester) => Promise<RetrieveAnswer<Parts>>
  /** The instances below a target, of all its holders; 206 when there may be more. */
  readonly instances: (target: Target, requester: Requester) => Promise<RetrieveAnswer<readonly Required<Target>[]>>
}

/**
 * Pictures from an archive that makes them; else made here of the instance as it is stored. Many archives make none, or
 * not of every transfer syntax.
 */
export class Pictures {
  readonly #deps: PicturesDependencies
  readonly #places = new Slots(atOnce, maxWaiting)

  constructor(deps: PicturesDependencies) {
    this.#deps = deps
  }

  async of(request: RenderedRequest, requester: Requester): Promise<RetrieveAnswer<Parts>> {
    if (request.kind === 'rendered' && !request.target.instance) return this.#union(request, requester)
    try {
      return await this.#deps.made(request, requester)
    } catch (thrown) {
      if (!isLack(thrown)) throw thrown
      return request.kind === 'thumbnail' ? this.#small(request, requester) : this.#own(request, requester, thrown)
    }
  }

  /** A small picture of the one instance that stands for a study or series, the middle one: that is a thumbnail. */
  async #small(request: RenderedRequest, requester: Requester): Promise<RetrieveAnswer<Parts>> {
    const { target } = request
    const instances = target.instance ? [target] : (await this.#deps.instances(target, requester)).body
    const middle = instances[Math.floor(instances.length / 2)]
    if (!middle) throw new LinkError('not-found', `${describe(target)} has no instances`)
    const parameters = { viewport: `${thumbnailEdge},${thumbnailEdge}`, ...request.parameters }
    return this.of({ ...request, kind: 'rendered', target: middle, parameters }, requester)
  }

  /** `lack`: why no archive made it; told when nothing can be made of it here either because it is not to be had. */
  async #own(request: RenderedRequest, requester: Requester, lack: LinkError): Promise<RetrieveAnswer<Parts>> {
    const body = await prime(this.#frames(request, requester))
    if (!body) throw lack
    return { status: 200, warnings: [], body }
  }

  /** Of a study or series: archives may hold a part of it each, and make no pictures of what they hold. */
  async #union(request: RenderedRequest, requester: Requester): Promise<RetrieveAnswer<Parts>> {
    const { target } = request
    const { body: instances, ...answer } = await this.#deps.instances(target, requester)
    const body = await prime(this.#images(instances, request, requester))
    if (!body)
      throw new LinkError('not-acceptable', `${describe(target)} has no pictures in a form this request accepts`)
    return { ...answer, body }
  }

  /** Of these instances, all that there are pictures of. */
  async *#images(instances: readonly Target[], request: RenderedRequest, requester: Requester): AsyncGenerator<Part> {
    for (const target of instances) {
      try {
        const { body } = await this.of({ ...request, target }, requester)
        for await (const { total: _, ...part } of body) yield part
      } catch (thrown) {
        if (!(thrown instanceof LinkError) || thrown.code !== 'not-acceptable') throw thrown
      }
    }
  }

  async *#frames(request: RenderedRequest, requester: Requester): AsyncGenerator<Part> {
    const { frames = [1] } = request
    for (const frame of frames) {
      const { contentType, bytes } = await this.#render(request, frame, requester)
      yield { contentType, length: bytes.byteLength, total: frames.length, body: whole(bytes) }
    }
  }

  /** Few at the same time, and each for one frame, so that slow clients hold no instance in memory. */
  async #render({ target, ...request }: RenderedRequest, frame: number, requester: Requester): Promise<Rendered> {
    using place = new DisposableStack()
    const enter = async () => place.defer(await this.#place(requester.signal))
    const file = await this.#file(target, requester, enter)
    return await this.#deps.renderer.render({ ...request, file, frame }, requester.signal)
  }

  async #place(signal: AbortSignal): Promise<() => void> {
    return this.#places.take(signal).catch((thrown: unknown) => {
      throw thrown instanceof LineFull ? tooMany(thrown) : thrown
    })
  }

  /** `enter` is waited for when it has begun to come: an archive that hangs takes nobody's place. */
  async #file(target: Target, requester: Requester, enter: () => Promise<void>): Promise<Buffer> {
    const { body } = await this.#deps.stored(target, requester)
    const chunks: Uint8Array[] = []
    let size = 0
    for await (const part of body) {
      await enter()
      for await (const chunk of part.body) {
        chunks.push(chunk)
        size += chunk.byteLength
        if (size > this.#deps.maxRenderedBytes) throw tooLarge(target, this.#deps.maxRenderedBytes)
      }
    }
    return Buffer.concat(chunks, size)
  }
}

async function* whole(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes
}

/** Instances held in memory to be rendered, and requests that wait for a place. */
const atOnce = 4
const maxWaiting = 128

/** Edge of a thumbnail in pixels when the client names no viewport. */
const thumbnailEdge = 256

const lacking: ReadonlySet<LinkError['code']> = new Set(['not-found', 'not-acceptable', 'unavailable', 'bad-gateway'])

const isLack = (thrown: unknown): thrown is LinkError => thrown instanceof LinkError && lacking.has(thrown.code)

const tooMany = (cause: unknown): LinkError =>
  new LinkError('unavailable', 'too many pictures are being made; ask again later', { cause })

const tooLarge = (target: Target, bytes: number): LinkError =>
  new LinkError(
    'not-acceptable',
    `no archive renders ${describe(target)}, and it is larger than ${bytes} bytes, which are rendered here at most`,
  )
