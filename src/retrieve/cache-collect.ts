import { chained } from '../core/chained.ts'
import type { Dataset } from '../dicom/dataset.ts'
import type { Part } from '../dicom/multipart.ts'
import { type InHand, inHandOf, type Piece, pieceOf } from './in-hand.ts'
import type { RetrieveAnswer } from './service.ts'

export type Answer<T> = RetrieveAnswer<AsyncIterable<T>>

/** How the items of an answer become pieces in memory, and items again. */
export interface Holding<T> {
  /** Reads an item to its end, unless there is no room for it: then it comes back to be read as if nothing was. */
  hold(item: T, room: Room): Promise<Piece | { readonly tooLarge: T }>
  release(piece: Piece): T
}

/** What is being collected at the moment, for all answers together. */
export interface Collecting {
  bytes: number
  readonly maxBytes: number
  /** Of one answer. */
  readonly maxAnswerBytes: number
}

/** The room that one answer has in memory while it is collected. */
export class Room implements Disposable {
  readonly #all: Collecting
  #bytes = 0
  #isTooLarge = false

  constructor(all: Collecting) {
    this.#all = all
  }

  /** Whether the answer was found to be larger than any may be. */
  get isTooLarge(): boolean {
    return this.#isTooLarge
  }

  /** Whether an answer may be larger by so many bytes, which are known to come. */
  allows(bytes: number): boolean {
    this.#isTooLarge ||= this.#bytes + bytes > this.#all.maxAnswerBytes
    return !this.#isTooLarge
  }

  /** False when there is no room for them. */
  take(bytes: number): boolean {
    this.#bytes += bytes
    this.#all.bytes += bytes
    return this.allows(0) && this.#all.bytes <= this.#all.maxBytes
  }

  [Symbol.dispose](): void {
    this.#all.bytes -= this.#bytes
    this.#bytes = 0
  }
}

/**
 * Takes an answer into memory, so that it can be given to many. One that there is no room for comes back as a stream,
 * to be read once. Throws what the answer throws before its end.
 */
export async function collect<T>(answer: Answer<T>, holding: Holding<T>, room: Room): Promise<Answer<T>> {
  const items = answer.body[Symbol.asyncIterator]()
  const pieces: Piece[] = []
  try {
    for (let step = await items.next(); !step.done; step = await items.next()) {
      const held = await holding.hold(step.value, room)
      if ('tooLarge' in held)
        return { ...answer, body: chained([...pieces.map(holding.release), held.tooLarge], items) }
      pieces.push(held)
    }
  } catch (thrown) {
    await items.return?.()
    throw thrown
  }
  return pieces.length === 0 ? answer : { ...answer, ...inMemory(inHandOf(pieces), holding) }
}

/** The body can be read any number of times. */
export const inMemory = <T>(inHand: InHand, holding: Holding<T>): Pick<Answer<T>, 'body' | 'inHand'> => ({
  inHand,
  body: { [Symbol.asyncIterator]: () => released(inHand, holding) },
})

async function* released<T>({ pieces }: InHand, { release }: Holding<T>): AsyncGenerator<T> {
  for (const piece of pieces) yield release(piece)
}

export const holdingParts: Holding<Part> = {
  async hold(part, room) {
    if (!room.allows(part.length ?? 0)) return { tooLarge: part }
    if (part.held) return room.take(part.length ?? 0) ? pieceOf(part, part.held) : { tooLarge: part }
    const chunks: Uint8Array[] = []
    const source = part.body[Symbol.asyncIterator]()
    for (let step = await source.next(); !step.done; step = await source.next()) {
      chunks.push(step.value)
      if (!room.take(step.value.byteLength)) return { tooLarge: { ...part, body: chained(chunks, source) } }
    }
    return pieceOf(part, chunks)
  },
  release: ({ chunks, ...part }) => ({ ...part, body: chained(chunks) }),
}

export const holdingDatasets: Holding<Dataset> = {
  async hold(dataset, room) {
    const text = Buffer.from(JSON.stringify(dataset))
    return room.take(text.byteLength)
      ? pieceOf({ contentType: 'application/dicom+json' }, [text])
      : { tooLarge: dataset }
  },
  release: ({ chunks }) => JSON.parse(Buffer.concat(chunks).toString()) as Dataset,
}
