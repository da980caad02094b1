import { createHash } from 'node:crypto'
import { slabs } from '../core/slabs.ts'
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
   * 22 characters of base64url that are the same for the same pieces, whoever gave them and whenever, and for no others:
   * the beginning of a SHA-256 over their types, lengths and bytes.
   */
  readonly digest: string
  /** The same for who asks again, while it is kept; absent when it is not. */
  readonly again?: () => InHand | undefined
}

const digestLength = 22

export function inHandOf(pieces: readonly Piece[]): InHand {
  const hash = createHash('sha256')
  let length = 0
  for (const piece of pieces) {
    hash.update(`${piece.contentType}\n${piece.length}\n`)
    for (const chunk of piece.chunks) hash.update(chunk)
    length += piece.length
  }
  return { pieces, length, digest: hash.digest('base64url').slice(0, digestLength) }
}

/**
 * A piece of chunks that nobody else reads. They may be views of larger buffers, and are copied where those would be too
 * much to hold.
 */
export function pieceOf({ body: _, ...described }: Omit<Part, 'body'> & Partial<Part>, chunks: Uint8Array[]): Piece {
  const length = chunks.reduce((total, { byteLength }) => total + byteLength, 0)
  const buffers = new Set(chunks.map(({ buffer }) => buffer))
  const held = buffers.values().reduce((total, { byteLength }) => total + byteLength, 0)
  const isWasteful = held - length > maxWastedBytes + length / 4
  return { ...described, length, chunks: isWasteful ? [copyOf(chunks, length)] : chunks }
}

const maxWastedBytes = 4 * 1024

/** With a buffer of its own, not a view of one that Node keeps for small ones. The chunks are given back. */
function copyOf(chunks: readonly Uint8Array[], length: number): Buffer {
  const copy = Buffer.allocUnsafeSlow(length)
  let at = 0
  for (const chunk of chunks) {
    copy.set(chunk, at)
    at += chunk.byteLength
    slabs.release(chunk)
  }
  return copy
}
