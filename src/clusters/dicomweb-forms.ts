import { chained } from '../core/chained.ts'
import { parseMediaType } from '../dicom/media-type.ts'
import type { Part, Parts } from '../dicom/multipart.ts'
import type { FramesRequest } from './cluster.ts'
import type { DicomwebClient } from './dicomweb-client.ts'

/** What frames are wanted as. */
export type PixelForm = Pick<FramesRequest, 'mediaType' | 'transferSyntax'>

const bytesType = 'application/octet-stream'
/** What bytes of no transfer syntax are in, PS3.18 8.7.3.3. */
const explicitLittleEndian = '1.2.840.10008.1.2.1'

/** Whether a frame that came as it is stored is of the form wanted. */
export function isInForm(
  { contentType }: Pick<Part, 'contentType'>,
  { mediaType, transferSyntax }: PixelForm,
): boolean {
  const own = parseMediaType(contentType)
  const ownType = own?.type ?? bytesType
  const ownSyntax = own?.parameters.get('transfer-syntax') ?? (ownType === bytesType ? explicitLittleEndian : undefined)
  const isOfType = mediaType === bytesType || ownType === mediaType || isWithin(ownType, mediaType)
  return isOfType && (transferSyntax === '*' || transferSyntax === ownSyntax)
}

const isWithin = (type: string, range: string) => range.endsWith('/*') && type.startsWith(range.slice(0, -1))

/** Parts of which the first is as it should be; throws `unsupported` when it is not, with the answer let go. */
export async function partsOfForm(
  client: Pick<DicomwebClient, 'error'>,
  parts: Parts,
  isWanted: (part: Part) => boolean,
): Promise<Parts> {
  const iterator = parts[Symbol.asyncIterator]()
  const first = await iterator.next()
  if (!first.done && isWanted(first.value)) return chained([first.value], iterator)
  await iterator.return?.()
  throw client.error('unsupported', 'has it in another form')
}

/** A value that was at hand already. */
export async function* onePart(bytes: Uint8Array): AsyncGenerator<Part, void, void> {
  yield { contentType: bytesType, length: bytes.byteLength, total: 1, body: once(bytes) }
}

async function* once(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes
}
