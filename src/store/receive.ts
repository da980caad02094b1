import type { InstanceUpload } from '../clusters/cluster.ts'
import { LinkError } from '../core/errors.ts'
import { holdBack } from '../dicom/hold-back.ts'
import { parseMediaType } from '../dicom/media-type.ts'
import type { Part, Parts } from '../dicom/multipart.ts'
import { sniffInstance, usualHeaderBytes } from '../dicom/part10.ts'
import type { Uid } from '../dicom/uid.ts'
import { WireError } from '../dicom/wire-error.ts'
import { failureReason, type Refusal } from './response.ts'

/**
 * Turns the parts of a request into uploads, one at a time as they arrive. What is no DICOM instance, or not of the
 * study of the path, is told to `refuse` and passed over. A part that fits `maxBufferedPartBytes` is only passed on
 * once it is whole: of a request that breaks off, no cluster sees half an instance.
 */
export async function* receive(
  parts: Parts,
  options: { study?: Uid | undefined; maxBufferedPartBytes: number; refuse: (refusal: Refusal) => void },
): AsyncGenerator<InstanceUpload> {
  for await (const part of parts) {
    const upload = await open(part, options.maxBufferedPartBytes)
    if (!upload) options.refuse({ reason: failureReason.cannotUnderstand })
    else if (options.study && upload.header.studyInstanceUID !== options.study) {
      options.refuse({ header: upload.header, reason: failureReason.otherStudy })
    } else yield upload
  }
}

/** The instance in a part, or `undefined` when it is none. */
async function open(part: Part, maxBytes: number): Promise<InstanceUpload | undefined> {
  if (!mayBeDicom(part.contentType)) return undefined
  try {
    const { header, body } = await sniffInstance(part.body, { maxHeaderBytes: usualHeaderBytes })
    const { body: whole, held } = await holdBack({ ...part, body }, maxBytes)
    return { header, body: whole, ...(held && { held }) }
  } catch (thrown) {
    if (isNotDicom(thrown)) return undefined
    throw thrown
  }
}

/** Archives and scripts leave the type out, or send the catch-all. */
function mayBeDicom(contentType: string): boolean {
  const type = parseMediaType(contentType)?.type ?? ''
  return type === '' || type === 'application/dicom' || type === 'application/octet-stream'
}

/** A broken request concerns all of its parts, a file that is no DICOM only itself. */
const isNotDicom = (thrown: unknown): boolean => thrown instanceof LinkError && !(thrown instanceof WireError)
