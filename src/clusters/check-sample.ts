import { type Dataset, firstString } from '../dicom/dataset.ts'
import { tag } from '../dicom/tags.ts'
import { isUid, type Uid } from '../dicom/uid.ts'
import type { Target } from './cluster.ts'

/** An instance to try retrievals with. */
export interface Sample {
  readonly target: Required<Target>
  /** Of a kind every archive can decode frames of and draw, unless this one is damaged. */
  readonly picture: boolean
}

/** Plain images, PS3.4 B.5: radiographs, CT, ultrasound, MR, captures, angiographs, nuclear medicine, light, PET. */
const plainImage = /^1\.2\.840\.10008\.5\.1\.4\.1\.1\.(1(\.\d+)*|2|3\.1|4|6\.1|7|12\.[12]|20|77\.1\.\d|128)$/

/** Out of a row of a search for instances; `undefined` when it lacks UIDs. */
export function sampleOf(study: Uid, row: Dataset): Sample | undefined {
  const series = firstString(row, tag.SeriesInstanceUID)
  const instance = firstString(row, tag.SOPInstanceUID)
  if (!isUid(series) || !isUid(instance)) return undefined
  const picture = firstString(row, tag.Rows) !== undefined && plainImage.test(firstString(row, tag.SOPClassUID) ?? '')
  return { target: { study, series, instance }, picture }
}
