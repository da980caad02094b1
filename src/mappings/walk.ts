import type { Cluster } from '../clusters/cluster.ts'
import { askerOf, type StudyStep, type StudyWalkOptions, walkStudyRows } from '../clusters/walk.ts'
import { type Dataset, firstString } from '../dicom/dataset.ts'
import { tag } from '../dicom/tags.ts'
import { isUid, type Uid } from '../dicom/uid.ts'
import { factsOf, mappingFields, type StudyFacts } from '../link/mappings.ts'
import { SeriesReader } from './series.ts'

/** A study of the cluster that is walked. */
export interface WalkedStudy {
  readonly study: Uid
  readonly facts: StudyFacts
}

/** Some studies, and how far the walk has come. */
export type Step = Omit<StudyStep, 'rows'> & { readonly studies: readonly WalkedStudy[] }

export type WalkOptions = Omit<StudyWalkOptions, 'includeFields'>

/**
 * Every study of a cluster with what tables for specialty and body part look at, newest first. Throws `ClusterError`
 * when the cluster fails, and the signal's reason when it fires.
 */
export async function* walkStudies(cluster: Cluster, options: WalkOptions): AsyncGenerator<Step, void, undefined> {
  const series = new SeriesReader(askerOf(cluster, options.clock, options.signal))
  for await (const { rows, gaps, progress } of walkStudyRows(cluster, { ...options, includeFields: mappingFields })) {
    for await (const some of series.of(rows)) {
      yield { studies: some.rows.flatMap(([row, below]) => walked(row, below)), gaps: some.gaps, progress }
    }
    yield { studies: [], gaps, progress }
  }
}

function walked(row: Dataset, series: readonly Dataset[]): WalkedStudy[] {
  const study = firstString(row, tag.StudyInstanceUID)
  return isUid(study) ? [{ study, facts: factsOf(row, series) }] : []
}
