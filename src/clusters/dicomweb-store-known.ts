import { LRUCache } from 'lru-cache'
import type { Clock } from '../core/clock.ts'
import type { InstanceHeader } from '../dicom/part10.ts'
import type { Uid } from '../dicom/uid.ts'
import type { Target } from './cluster.ts'
import type { Inventory } from './inventory.ts'

/** Studies that are remembered at the same time, and instances that all of them were said to have. */
const maxStudies = 128
const maxInstances = 400_000
/** A study of which nothing came for so long is asked for anew, and so is any after so long, in milliseconds. */
const quietMs = 10_000
const longestMs = 60_000

/** SOP → Series Instance UID of one study. */
interface Study {
  readonly series: Map<Uid, Uid>
  /** What the archive was asked for; until then there is only what it was sent. */
  asked: 'nothing' | 'one instance' | 'all'
  readonly since: number
  usedAt: number
}

/** What there is below a target, as the archive says. */
export type Ask = (target: Target) => Promise<Inventory>

/**
 * What an archive has of the studies that are just being stored and, as time goes on, what it was sent. The first
 * instance of a study is asked for alone, and all of the study when another one follows: to list a study costs an
 * archive the more the larger it has grown. Many calls that store an instance each ask no more than one that stores
 * them all; what others have stored there meanwhile under the same UID is not seen by either.
 */
export class Known {
  readonly #studies = new LRUCache<Uid, Study>({
    max: maxStudies,
    maxSize: maxInstances,
    sizeCalculation: ({ series }) => series.size + 1,
  })
  readonly #clock: Clock

  constructor(clock: Clock) {
    this.#clock = clock
  }

  /** The series an instance is in, when the archive has it. */
  async seriesOf({ studyInstanceUID, sopInstanceUID }: InstanceHeader, ask: Ask): Promise<Uid | undefined> {
    const study = this.#studyOf(studyInstanceUID)
    const isKnown = study.asked === 'all' || study.series.has(sopInstanceUID)
    if (!isKnown) {
      const isFirst = study.asked === 'nothing'
      const listed = await ask({ study: studyInstanceUID, ...(isFirst && { instance: sopInstanceUID }) })
      for (const [instance, series] of listed) if (!study.series.has(instance)) study.series.set(instance, series)
      // It has grown; unless another one knows more by now.
      if (this.#studies.peek(studyInstanceUID) === study) this.#studies.set(studyInstanceUID, study)
      if (!isFirst) study.asked = 'all'
      else if (study.asked === 'nothing') study.asked = 'one instance'
    }
    return study.series.get(sopInstanceUID)
  }

  /** Whether the archive need not be asked to tell that it does not have an instance. */
  lacks({ studyInstanceUID, sopInstanceUID }: InstanceHeader): boolean {
    const study = this.#studyOf(studyInstanceUID)
    return study.asked === 'all' && !study.series.has(sopInstanceUID)
  }

  sent({ studyInstanceUID, seriesInstanceUID, sopInstanceUID }: InstanceHeader): void {
    const { series } = this.#studyOf(studyInstanceUID)
    if (!series.has(sopInstanceUID)) series.set(sopInstanceUID, seriesInstanceUID)
  }

  #studyOf(uid: Uid): Study {
    const now = this.#clock.now()
    const known = this.#studies.get(uid)
    if (known && now - known.usedAt <= quietMs && now - known.since <= longestMs) {
      known.usedAt = now
      return known
    }
    const study: Study = { series: new Map(), asked: 'nothing', since: now, usedAt: now }
    this.#studies.set(uid, study)
    return study
  }
}
