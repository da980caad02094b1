import type { Dataset } from '../../src/dicom/dataset.ts'
import type { Part } from '../../src/dicom/multipart.ts'
import type { Uid } from '../../src/dicom/uid.ts'
import type { Requester, RetrieveAnswer, RetrieveService } from '../../src/retrieve/service.ts'

export const target = { study: '1.2' as Uid, series: '1.2.3' as Uid, instance: '1.2.3.4' as Uid }

export const frameOf = (it: object = {}) => ({
  target,
  frames: [1],
  mediaType: 'application/octet-stream',
  transferSyntax: '*',
  ...it,
})

/** A part whose source is seen: what has been read of it, and whether it was let go. */
export class Source {
  readonly contentType: string
  readonly chunks: readonly string[]
  read = 0
  isReturned = false
  /** Waited for before the last chunk. */
  gate: Promise<unknown> = Promise.resolve()
  failure: Error | undefined

  constructor(chunks: readonly string[], contentType = 'application/octet-stream') {
    this.chunks = chunks
    this.contentType = contentType
  }

  part(more: Partial<Part> = {}): Part {
    return { contentType: this.contentType, body: this.#body(), ...more }
  }

  async *#body(): AsyncGenerator<Uint8Array> {
    for (const [index, chunk] of this.chunks.entries()) {
      if (index === this.chunks.length - 1) await this.gate
      if (this.failure) throw this.failure
      this.read++
      yield Buffer.from(chunk)
    }
  }

  async *parts(more: Partial<Part> = {}): AsyncGenerator<Part> {
    try {
      yield this.part(more)
    } finally {
      this.isReturned = true
    }
  }
}

export const answered = <Body>(body: Body, more: Partial<RetrieveAnswer<Body>> = {}): RetrieveAnswer<Body> => ({
  status: 200,
  warnings: [],
  body,
  ...more,
})

interface AskedOnce {
  readonly what: string
  readonly requester: Requester
}

/** What the cache stands before: remembers what it was asked and answers what a test tells it to. */
export class FakeRetrieve implements RetrieveService {
  readonly asked: AskedOnce[] = []
  readonly forgotten: string[] = []
  onParts: (requester: Requester) => Promise<RetrieveAnswer<AsyncIterable<Part>>> = async () =>
    answered(new Source(['pix', 'els']).parts())
  onMetadata: (requester: Requester) => Promise<RetrieveAnswer<AsyncIterable<Dataset>>> = async () =>
    answered(datasets(1))

  instances: RetrieveService['instances'] = (_, requester) => this.#parts('instances', requester)
  frames: RetrieveService['frames'] = (_, requester) => this.#parts('frames', requester)
  pixelData: RetrieveService['pixelData'] = (_, __, requester) => this.#parts('pixelData', requester)
  bulkdata: RetrieveService['bulkdata'] = (_, __, requester) => this.#parts('bulkdata', requester)
  rendered: RetrieveService['rendered'] = ({ kind }, requester) => this.#parts(kind, requester)
  metadata: RetrieveService['metadata'] = (_, __, requester) => {
    this.asked.push({ what: 'metadata', requester })
    return this.onMetadata(requester)
  }
  explain: RetrieveService['explain'] = () => Promise.reject(new Error('not asked by any test'))
  forget = (study: Uid): void => void this.forgotten.push(study)

  #parts(what: string, requester: Requester) {
    this.asked.push({ what, requester })
    return this.onParts(requester)
  }
}

export async function* datasets(count: number, filler = ''): AsyncGenerator<Dataset> {
  for (let number = 1; number <= count; number++) yield { '00200013': { vr: 'IS', Value: [number, filler] } }
}

/** The parts of an answer as text. */
export async function textsOf({ body }: RetrieveAnswer<AsyncIterable<Part>>): Promise<string[]> {
  const texts: string[] = []
  for await (const part of body) texts.push(Buffer.concat(await Array.fromAsync(part.body)).toString())
  return texts
}
