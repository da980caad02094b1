import type { Dataset } from '../dicom/dataset.ts'
import { contentTypeOf, newBoundary, type Parts, writeMultipart } from '../dicom/multipart.ts'
import { nativeXml } from '../dicom/native-xml.ts'
import type { DatasetsForm } from './negotiate.ts'

export const xmlType = 'application/dicom+xml'

/** Datasets as the body of an answer, written as they come: one JSON array, or a part of XML each. */
export function bodyOf(
  datasets: AsyncIterable<Dataset> | Iterable<Dataset>,
  form: DatasetsForm,
  boundary = newBoundary(),
): { readonly contentType: string; readonly body: AsyncIterable<Uint8Array> } {
  if (form.kind === 'json') return { contentType: form.contentType, body: jsonArray(datasets) }
  return { contentType: contentTypeOf(boundary, xmlType), body: writeMultipart(xmlParts(datasets), boundary) }
}

const flushAt = 64 * 1024

async function* jsonArray(rows: AsyncIterable<Dataset> | Iterable<Dataset>): AsyncGenerator<Uint8Array> {
  let pending = '['
  let separator = ''
  for await (const row of rows) {
    pending += separator + JSON.stringify(row)
    separator = ','
    if (pending.length < flushAt) continue
    yield Buffer.from(pending)
    pending = ''
  }
  yield Buffer.from(`${pending}]`)
}

async function* xmlParts(datasets: AsyncIterable<Dataset> | Iterable<Dataset>): Parts {
  for await (const dataset of datasets) yield { contentType: xmlType, body: document(dataset) }
}

async function* document(dataset: Dataset): AsyncGenerator<Uint8Array> {
  yield Buffer.from(nativeXml(dataset))
}
