import type { InstanceUpload } from '../../src/clusters/cluster.ts'
import { datasetDigest } from '../../src/dicom/digest.ts'
import type { Part, Parts } from '../../src/dicom/multipart.ts'
import { type InstanceHeader, sniffInstance } from '../../src/dicom/part10.ts'

/** The bytes in pieces, as they come from a network. */
export async function* inPieces(bytes: Uint8Array, size = 1000): AsyncGenerator<Uint8Array, void, undefined> {
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size)
}

export async function headerOf(bytes: Uint8Array): Promise<InstanceHeader> {
  const { header, body } = await sniffInstance(inPieces(bytes), { maxHeaderBytes: 1024 * 1024 })
  for await (const _ of body) break
  return header
}

export const uploadOf = async (bytes: Uint8Array): Promise<InstanceUpload> => ({
  header: await headerOf(bytes),
  body: inPieces(bytes),
})

/** Part 10 files as uploads, each made when it is asked for. */
export async function* uploadsOf(...files: readonly Uint8Array[]): AsyncGenerator<InstanceUpload, void, undefined> {
  for (const bytes of files) yield await uploadOf(bytes)
}

/** Of the dataset of a Part 10 file: what copies have in common whatever their file meta information says. */
export async function digestOf(bytes: Uint8Array): Promise<string> {
  const { datasetOffset } = await headerOf(bytes)
  return datasetDigest(inPieces(bytes), datasetOffset)
}

export async function bytesOf(body: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const chunks: Uint8Array[] = []
  for await (const chunk of body) chunks.push(chunk)
  return Buffer.concat(chunks)
}

/** Everything of an answer, read to its end. */
export async function readParts(parts: Parts): Promise<(Omit<Part, 'body'> & { bytes: Buffer })[]> {
  const read = []
  for await (const { body, ...part } of parts) read.push({ ...part, bytes: await bytesOf(body) })
  return read
}
