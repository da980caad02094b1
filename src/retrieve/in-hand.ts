import xxhash from 'xxhash-wasm'
import { blocks, joined } from '../core/blocks.ts'
import type { Part } from '../dicom/multipart.ts'

/** One part, or one dataset as DICOM JSON in UTF-8, that is all in memory. */
export interface Piece extends Omit<Part, 'body'> {
  readonly length: number
  /** Its bytes, in their order. */
  readonly chunks: readonly Uint8Array[]
}

/** What an answer consists of when all of it is in memory. */
export interface InHand {
  /** At least one. */
  readonly pieces: readonly Piece[]
  readonly length: number
  /**
   * 16 hexadecimal digits that are the same for the same pieces, whoever gave them and whenever: XXH64 of their types,
   * lengths and bytes, a quarter of the work of a cryptographic digest. It tells what has changed, not who changed it.
   */
  readonly digest: string
  /** The same for who asks again, while it is kept; absent when it is not. */
  readonly again?: () => InHand | undefined
  readonly lending: Lending
}

/**
 * Who may still look at what is in memory. When it is not kept any more, and all whom it was given to have said that
 * they are done, its memory is used again. Who says nothing keeps it from that, and does no other harm.
 */
export class Lending {
  readonly #free: () => void
  #borrowers = 0
  #isDropped = false

  constructor(free: () => void) {
    this.#free = free
  }

  given(): void {
    this.#borrowers++
  }

  /** By who got it, once, when nobody will look at it any more on their behalf. */
  done(): void {
    this.#borrowers--
    this.#settle()
  }

  /** It will not be given to anybody else. */
  dropped(): void {
    this.#isDropped = true
    this.#settle()
  }

  #settle(): void {
    if (this.#isDropped && this.#borrowers === 0) this.#free()
  }
}

const { create64 } = await xxhash()

export function inHandOf(pieces: readonly Piece[]): InHand {
  const hash = create64()
  let length = 0
  for (const piece of pieces) {
    hash.update(`${piece.contentType}\n${piece.length}\n`)
    for (const chunk of piece.chunks) hash.update(chunk)
    length += piece.length
  }
  const lending = new Lending(() => blocks.give(pieces.flatMap(({ chunks }) => chunks)))
  return { pieces, length, lending, digest: hash.digest().toString(16).padStart(16, '0') }
}

/**
 * A piece of chunks that nobody else reads. They may be views of larger buffers, and are copied where those would be too
 * much to hold.
 */
export function pieceOf(
  { body: _body, held: _held, ...described }: Omit<Part, 'body'> & Partial<Part>,
  chunks: readonly Uint8Array[],
): Piece {
  const length = chunks.reduce((total, { byteLength }) => total + byteLength, 0)
  const buffers = new Set(chunks.map(({ buffer }) => buffer))
  const held = buffers.values().reduce((total, { byteLength }) => total + byteLength, 0)
  const isWasteful = held - length > maxWastedBytes + length / 4
  return { ...described, length, chunks: isWasteful ? [joined(chunks)] : chunks }
}

const maxWastedBytes = 4 * 1024
