import type { InstanceHeader } from '../dicom/part10.ts'
import type { Uid } from '../dicom/uid.ts'
import type { Target } from './cluster.ts'
import type { Inventory } from './inventory.ts'

/** Studies whose inventory is remembered at the same time. */
const maxStudies = 32

/** SOP → Series Instance UID of one study. */
interface Study {
  readonly series: Map<Uid, Uid>
  /** What the archive was asked for; until then there is only what it was sent. */
  asked: 'nothing' | 'one instance' | 'all'
}

/**
 * What an archive has of the studies of one call and, as time goes on, what it was sent by this call and others. The
 * first instance of a study is asked for alone, and all of the study only when another one follows: most senders make
 * a call of each instance, and to list a study costs an archive the more the larger it has grown.
 */
export class Known {
  readonly #studies = new Map<Uid, Study>()
  readonly #ask: (target: Target) => Promise<Inventory>

  constructor(ask: (target: Target) => Promise<Inventory>) {
    this.#ask = ask
  }

  /** From now on what others send is noted too. */
  follow({ studyInstanceUID }: InstanceHeader): void {
    this.#studyOf(studyInstanceUID)
  }

  /** The series an instance is in, when the archive has it. */
  async seriesOf({ studyInstanceUID, sopInstanceUID }: InstanceHeader): Promise<Uid | undefined> {
    const study = this.#studyOf(studyInstanceUID)
    if (study.asked !== 'all') {
      const isFirst = study.asked === 'nothing'
      const listed = await this.#ask({ study: studyInstanceUID, ...(isFirst && { instance: sopInstanceUID }) })
      for (const [instance, series] of listed) if (!study.series.has(instance)) study.series.set(instance, series)
      study.asked = isFirst ? 'one instance' : 'all'
    }
    return study.series.get(sopInstanceUID)
  }

  /** Whether the archive need not be asked to tell that it does not have an instance. */
  lacks({ studyInstanceUID, sopInstanceUID }: InstanceHeader): boolean {
    const study = this.#studies.get(studyInstanceUID)
    return study?.asked === 'all' && !study.series.has(sopInstanceUID)
  }

  sent({ studyInstanceUID, seriesInstanceUID, sopInstanceUID }: InstanceHeader): void {
    this.#studies.get(studyInstanceUID)?.series.set(sopInstanceUID, seriesInstanceUID)
  }

  #studyOf(uid: Uid): Study {
    const known = this.#studies.get(uid)
    if (known) return known
    const [oldest] = this.#studies.keys()
    if (oldest && this.#studies.size >= maxStudies) this.#studies.delete(oldest)
    const study: Study = { series: new Map(), asked: 'nothing' }
    this.#studies.set(uid, study)
    return study
  }
}
