import type { Dataset } from '../../src/dicom/dataset.ts'
import { addCopy, type Copy, identityOf, type Level, type MergedRow, mergeCopies } from '../../src/query/merge.ts'

/** The rows one cluster gave. */
export interface ClusterRows {
  readonly cluster: string
  readonly rank: number
  readonly rows: readonly Dataset[]
}

/** All rows of some clusters merged in one go, as a walk does it window by window. */
export function mergeRows(level: Level, answers: readonly ClusterRows[]): Map<string, MergedRow> {
  const copies = new Map<string, Copy[]>()
  for (const { cluster, rank, rows } of answers) {
    for (const row of rows) {
      const identity = identityOf(level, row)
      if (identity !== undefined) addCopy(copies, identity, { cluster, rank, row })
    }
  }
  return new Map([...copies].map(([identity, found]) => [identity, mergeCopies(level, found)]))
}
