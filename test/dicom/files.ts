import { readFileSync } from 'node:fs'
import type { Dataset } from '../../src/dicom/dataset.ts'
import type { ByteReader } from '../../src/dicom/part10-window.ts'
import { bulkValue, type WriteOptions, writePart10 } from '../../src/dicom/write.ts'
import { sample } from '../support/samples.ts'

export const explicitLittleEndian = '1.2.840.10008.1.2.1'

/** A file in memory that counts how much is read of it. */
export function readerOf(bytes: Uint8Array): ByteReader & { bytesRead: number } {
  const buffer = Buffer.from(bytes)
  return {
    size: buffer.length,
    bytesRead: 0,
    async read(offset, length) {
      const piece = buffer.subarray(offset, offset + length)
      this.bytesRead += piece.length
      return piece
    },
  }
}

export async function whole(body: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const chunks: Uint8Array[] = []
  for await (const chunk of body) chunks.push(chunk)
  return Buffer.concat(chunks)
}

/** The bytes of a published sample; ask for it only where there are any. */
export function sampleBytes(name: string): Buffer {
  const path = sample(`${name}.dcm`)
  if (path === undefined) throw new Error(`there is no sample ${name}`)
  return readFileSync(path)
}

export const haveSamples = sample('CT_small.dcm') !== undefined

/** Preamble, the transfer syntax as the only meta information, and a dataset as it is. */
export function fileOf(transferSyntax: string, dataset: Uint8Array): Buffer {
  const padded = transferSyntax.length % 2 ? `${transferSyntax}\0` : transferSyntax
  const syntax = Buffer.concat([Buffer.from([2, 0, 0x10, 0, 0x55, 0x49, padded.length, 0]), Buffer.from(padded)])
  return Buffer.concat([Buffer.alloc(128), Buffer.from('DICM'), syntax, dataset])
}

/** The dataset of a file whose meta information begins with its group length. */
export const datasetOf = (bytes: Buffer): Buffer => bytes.subarray(132 + 12 + bytes.readUInt32LE(140))

const identifiers: Dataset = {
  '00080016': { vr: 'UI', Value: ['1.2.840.10008.5.1.4.1.1.7'] },
  '00080018': { vr: 'UI', Value: ['2.25.1'] },
  '0020000D': { vr: 'UI', Value: ['2.25.2'] },
  '0020000E': { vr: 'UI', Value: ['2.25.3'] },
}

/** A file made by the product's own writer, identifiers added. */
export async function written(dataset: Dataset, options: Partial<WriteOptions> = {}): Promise<Buffer> {
  const transferSyntaxUID = explicitLittleEndian as WriteOptions['transferSyntaxUID']
  return whole(writePart10({ ...identifiers, ...dataset }, { transferSyntaxUID, ...options }))
}

/** The attributes of an image whose frames are `pixels`. */
export const image = (rows: number, columns: number, bits: number, frames: number): Dataset => ({
  '00280002': { vr: 'US', Value: [1] },
  '00280004': { vr: 'CS', Value: ['MONOCHROME2'] },
  '00280008': { vr: 'IS', Value: [frames] },
  '00280010': { vr: 'US', Value: [rows] },
  '00280011': { vr: 'US', Value: [columns] },
  '00280100': { vr: 'US', Value: [bits] },
})

export const values = (...pieces: readonly Uint8Array[]) => pieces.map(bulkValue)
