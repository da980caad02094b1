import type { Uid } from './uid.ts'

/** What routing an instance needs to know of it, read from its first bytes (PS3.10 section 7). */
export interface InstanceHeader {
  readonly studyInstanceUID: Uid
  readonly seriesInstanceUID: Uid
  readonly sopInstanceUID: Uid
  readonly sopClassUID: Uid
  readonly transferSyntaxUID: Uid
  /** Where the dataset begins, in bytes: after preamble and file meta information. The digest starts here. */
  readonly datasetOffset: number
}
