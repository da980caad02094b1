import { LinkError } from '../core/errors.ts'
import { isUid } from '../dicom/uid.ts'

/** The classes in which viewers keep images they derive (PS3.4 B.5), by keyword of PS3.6 annex A. */
const secondaryCapture: ReadonlyMap<string, string> = new Map([
  ['SecondaryCaptureImageStorage', '1.2.840.10008.5.1.4.1.1.7'],
  ['MultiFrameSingleBitSecondaryCaptureImageStorage', '1.2.840.10008.5.1.4.1.1.7.1'],
  ['MultiFrameGrayscaleByteSecondaryCaptureImageStorage', '1.2.840.10008.5.1.4.1.1.7.2'],
  ['MultiFrameGrayscaleWordSecondaryCaptureImageStorage', '1.2.840.10008.5.1.4.1.1.7.3'],
  ['MultiFrameTrueColorSecondaryCaptureImageStorage', '1.2.840.10008.5.1.4.1.1.7.4'],
])

/** Whether instances of a SOP class go to other clusters. A class that nobody told is taken to travel. */
export type Travels = (sopClass: string | undefined) => boolean

/**
 * What `replication.stays` says: SOP Class UIDs, or keywords of the Secondary Capture classes. There is no other
 * default than that everything travels: these classes also hold scanned films and photographs, the only ones of their
 * kind, and no attribute that archives list tells them from what a viewer derived. Throws `LinkError` `config` for a
 * name that is none.
 */
export function travelsUnless(stays: readonly string[]): Travels {
  const classes = new Set(stays.map(classNamed))
  return (sopClass) => sopClass === undefined || !classes.has(sopClass)
}

function classNamed(name: string, index: number): string {
  const uid = isUid(name) ? name : secondaryCapture.get(name)
  if (uid !== undefined) return uid
  const known = [...secondaryCapture.keys()].join(', ')
  throw new LinkError(
    'config',
    `replication.stays[${index}]: ${name} is not known; expected a SOP Class UID or one of ${known}`,
  )
}
