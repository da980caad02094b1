import type { Target } from '../clusters/cluster.ts'
import type { ListedInstance } from '../clusters/inventory.ts'
import { isUid, type Uid } from '../dicom/uid.ts'
import type { NoticedInstance, NoticedSeries } from '../link/notice.ts'

/** An instance that a notice promises: where it belongs, and what it is said to be. */
export interface Promised extends Required<Target> {
  readonly sopClass: Uid | undefined
  readonly digest: string | undefined
}

/** What a cluster lists of a study, as a notice tells it: in the order of UIDs, whatever the order it came in. */
export function manifestOf(listed: readonly ListedInstance[]): NoticedSeries[] {
  const sorted = listed.toSorted((a, b) => compare(a.series, b.series) || compare(a.instance, b.instance))
  const series = Map.groupBy(sorted, (it) => it.series)
  return [...series].map(([seriesInstanceUID, of]) => ({ seriesInstanceUID, instances: of.map(noticed) }))
}

const noticed = ({ instance, sopClass }: ListedInstance): NoticedInstance => ({
  sopInstanceUID: instance,
  ...(isUid(sopClass) && { sopClassUID: sopClass }),
})

/** All that some notices of a study promise, by SOP Instance UID; the last one is believed about what it is. */
export function promisedBy(study: Uid, notices: readonly { readonly series: readonly NoticedSeries[] }[]) {
  const promised = new Map<Uid, Promised>()
  for (const { seriesInstanceUID: series, instances } of notices.flatMap((notice) => notice.series)) {
    for (const { sopInstanceUID: instance, sopClassUID: sopClass, digest } of instances) {
      promised.set(instance, { study, series, instance, sopClass, digest })
    }
  }
  return promised
}

const compare = (a: string, b: string): number => (a < b ? -1 : Number(a > b))
