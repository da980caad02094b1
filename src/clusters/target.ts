import { type Dataset, firstString } from '../dicom/dataset.ts'
import { tag } from '../dicom/tags.ts'
import type { Target } from './cluster.ts'

/** The UIDs that an object says of itself; absent where it says none. */
export interface SaidUids {
  readonly study?: string | undefined
  readonly series?: string | undefined
  readonly instance?: string | undefined
}

export const uidsIn = (dataset: Dataset): SaidUids => ({
  study: firstString(dataset, tag.StudyInstanceUID),
  series: firstString(dataset, tag.SeriesInstanceUID),
  instance: firstString(dataset, tag.SOPInstanceUID),
})

/**
 * Whether an object lies below a target: clusters may answer with more than was asked for. What an object does not say
 * of itself is not held against it.
 */
export const isBelow = (target: Target, said: SaidUids): boolean =>
  levels.every((level) => target[level] === undefined || (said[level] ?? target[level]) === target[level])

const levels = ['study', 'series', 'instance'] as const
