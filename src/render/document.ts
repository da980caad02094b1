import { LinkError } from '../core/errors.ts'
import type { ByteReader } from '../dicom/part10-window.ts'
import { openBulkdata } from '../dicom/pixel-data.ts'
import type { Attributes } from './attributes.ts'
import type { Rendered } from './request.ts'
import { tags } from './tags.ts'

/** What an encapsulated document is, by SOP Class (PS3.3 A.45, A.85). */
const mediaTypeOf: Readonly<Record<string, string>> = {
  '1.2.840.10008.5.1.4.1.1.104.1': 'application/pdf',
  '1.2.840.10008.5.1.4.1.1.104.2': 'text/xml',
  '1.2.840.10008.5.1.4.1.1.104.3': 'model/stl',
  '1.2.840.10008.5.1.4.1.1.104.4': 'model/obj',
  '1.2.840.10008.5.1.4.1.1.104.5': 'model/mtl',
}

/** What a file that is small, being deflated, may become. */
const maxDocumentBytes = 2 ** 28

/**
 * The document that an instance encapsulates, as it is; `undefined` when it encapsulates none. Throws `not-acceptable`
 * when its type is none of `mediaTypes`.
 */
export async function readDocument(
  file: ByteReader,
  attributes: Attributes,
  mediaTypes: readonly string[],
): Promise<Rendered | undefined> {
  const contentType = mediaTypeOf[attributes.text(tags.SOPClassUID)]
  if (contentType === undefined || !attributes.has(tags.EncapsulatedDocument)) return undefined
  const accepted = ['*/*', contentType, contentType.replace(/\/.*/, '/*')]
  if (!mediaTypes.some((type) => accepted.includes(type))) {
    throw new LinkError('not-acceptable', `the instance is a document, which can be had as ${contentType}`)
  }
  const [value] = await openBulkdata(file, 'bulkdata/00420011')
  if ((value?.length ?? 0) > maxDocumentBytes) {
    throw new LinkError('not-acceptable', `the document of the instance has more than ${maxDocumentBytes} bytes`)
  }
  const chunks: Uint8Array[] = []
  for await (const chunk of value?.body ?? []) chunks.push(chunk)
  const bytes = Buffer.concat(chunks)
  const length = attributes.long(tags.EncapsulatedDocumentLength) ?? bytes.length
  return { contentType, bytes: length < bytes.length ? bytes.subarray(0, length) : bytes }
}
