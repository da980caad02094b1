import type { Dataset } from '../../src/dicom/dataset.ts'
import type { Parts } from '../../src/dicom/multipart.ts'
import { holdingDatasets, holdingParts, inMemory } from '../../src/retrieve/cache-collect.ts'
import { inHandOf, pieceOf } from '../../src/retrieve/in-hand.ts'
import type { RetrieveAnswer } from '../../src/retrieve/service.ts'

/** An answer as the cache gives it: parts in memory, each of one or several chunks. */
export function partsInHand(...parts: readonly [contentType: string, ...chunks: string[]][]): RetrieveAnswer<Parts> {
  const pieces = parts.map(([contentType, ...chunks]) =>
    pieceOf(
      { contentType },
      chunks.map((chunk) => Buffer.from(chunk)),
    ),
  )
  return { status: 200, warnings: [], ...inMemory(inHandOf(pieces), holdingParts) }
}

export function datasetsInHand(...datasets: readonly Dataset[]): RetrieveAnswer<AsyncIterable<Dataset>> {
  const contentType = 'application/dicom+json'
  const pieces = datasets.map((it) => pieceOf({ contentType }, [Buffer.from(JSON.stringify(it))]))
  return { status: 200, warnings: [], ...inMemory(inHandOf(pieces), holdingDatasets) }
}
