import { LRUCache } from 'lru-cache'
import type { Clock } from '../core/clock.ts'
import type { InstanceHeader } from '../dicom/part10.ts'
import type { Uid } from '../dicom/uid.ts'
import type { Target } from './cluster.ts'
import type { Inventory } from './inventory.ts'

/** Studies that are remembered at the same time, and instances that all of them were said to have. */
const maxStudies = 128
const maxInstances = 400_000
/** What was asked for is believed so long, in milliseconds: others store in the archive too. */
const freshMs = 10_000

/** SOP → Series Instance UID of one study. */
interface Study {
  readonly series: Map<Uid, Uid>
  /**
   * What the archive was asked for; until then there is only what it was sent. While one call waits for the list of all,
   * others ask for their own instances.
   */
  asked: 'nothing' | 'one instance' | 'being listed' | 'all'
  readonly since: number
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
  async seriesOf({ studyInstanceUID: uid, sopInstanceUID }: InstanceHeader, ask: Ask): Promise<Uid | undefined> {
    const study = this.#studyOf(uid)
    if (study.asked !== 'all' && !study.series.has(sopInstanceUID)) {
      if (study.asked === 'one instance') await this.#askForAll(study, uid, ask)
      else await askForOne(study, { study: uid, instance: sopInstanceUID }, ask)
    }
    return study.series.get(sopInstanceUID)
  }

  async #askForAll(study: Study, uid: Uid, ask: Ask): Promise<void> {
    study.asked = 'being listed'
    try {
      note(study, await ask({ study: uid }))
      study.asked = 'all'
    } finally {
      if (study.asked !== 'all') study.asked = 'one instance'
    }
    // It has grown; unless another one knows more by now.
    if (this.#studies.peek(uid) !== study) return
    this.#studies.delete(uid)
    this.#studies.set(uid, study)
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
    if (known && now - known.since <= freshMs) return known
    const study: Study = { series: new Map(), asked: 'nothing', since: now }
    this.#studies.set(uid, study)
    return study
  }
}

async function askForOne(study: Study, target: Target, ask: Ask): Promise<void> {
  note(study, await ask(target))
  if (study.asked === 'nothing') study.asked = 'one instance'
}

function note({ series }: Study, listed: Inventory): void {
  for (const [instance, uid] of listed) if (!series.has(instance)) series.set(instance, uid)
}
