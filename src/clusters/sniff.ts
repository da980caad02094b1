import { LinkError } from '../core/errors.ts'
import { ClusterError } from '../core/outcome.ts'
import type { Part } from '../dicom/multipart.ts'
import { type SniffedInstance, sniffInstance, usualHeaderBytes } from '../dicom/part10.ts'
import type { Cluster } from './cluster.ts'

/** What instance a cluster sent in a part. Throws `ClusterError` `malformed` when it is no DICOM file. */
export async function sniffPart(from: Cluster, part: Part): Promise<SniffedInstance> {
  try {
    return await sniffInstance(part.body, { maxHeaderBytes: usualHeaderBytes })
  } catch (thrown) {
    if (!isNoInstance(thrown)) throw thrown
    throw new ClusterError(from.id, 'malformed', 'sent a part that is no DICOM instance', { cause: thrown })
  }
}

/** What `sniffInstance` says of the bytes, as opposed to what their source throws and to a caller that left. */
const isNoInstance = (thrown: unknown): boolean =>
  thrown instanceof LinkError && (thrown.code === 'bad-request' || thrown.code === 'too-large')
