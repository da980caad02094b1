import type { InstanceHeader } from '../dicom/part10.ts'
import type { Uid } from '../dicom/uid.ts'
import type { Target } from './cluster.ts'
import type { Inventory } from './inventory.ts'

/** What an archive is asked. */
export interface Questions {
  /** The series of its study that the archive has this instance in. */
  readonly seriesOf: (header: InstanceHeader) => Promise<Uid | undefined>
  readonly inventoryOf: (target: Target) => Promise<Inventory>
}

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
  readonly #questions: Questions

  constructor(questions: Questions) {
    this.#questions = questions
  }

  /** From now on what others send is noted too. */
  follow({ studyInstanceUID }: InstanceHeader): void {
    this.#studyOf(studyInstanceUID)
  }

  /** The series an instance is in, when the archive has it. */
  async seriesOf(header: InstanceHeader): Promise<Uid | undefined> {
    const study = this.#studyOf(header.studyInstanceUID)
    const { sopInstanceUID } = header
    if (study.asked === 'nothing') {
      const series = await this.#questions.seriesOf(header)
      if (series && !study.series.has(sopInstanceUID)) study.series.set(sopInstanceUID, series)
      study.asked = 'one instance'
    } else if (study.asked === 'one instance') {
      const listed = await this.#questions.inventoryOf({ study: header.studyInstanceUID })
      for (const [instance, series] of listed) if (!study.series.has(instance)) study.series.set(instance, series)
      study.asked = 'all'
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
