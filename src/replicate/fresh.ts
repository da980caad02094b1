import { LRUCache } from 'lru-cache'
import type { ListedInstance } from '../clusters/inventory.ts'
import type { InstanceHeader } from '../dicom/part10.ts'
import type { Uid } from '../dicom/uid.ts'

/** Studies, and instances of each, that are remembered for one reader. */
const maxStudies = 1000
const maxInstances = 1000

/** What came to be at home since the last time that the study was asked for. */
export interface FreshReader {
  take(study: Uid): readonly ListedInstance[]
}

/**
 * Instances that home was given a moment ago, for those who bring them elsewhere: what a growing study lacks is known
 * without listing it over and over. Only a hint, in memory and bounded; what it has lost is found by comparing.
 */
export class Fresh {
  readonly #readers: LRUCache<Uid, ListedInstance[]>[] = []

  /** Another reader, who is given everything noted from now on, once. */
  reader(): FreshReader {
    const kept = new LRUCache<Uid, ListedInstance[]>({ max: maxStudies })
    this.#readers.push(kept)
    return {
      take(study) {
        const taken = kept.get(study) ?? []
        kept.delete(study)
        return taken
      },
    }
  }

  note(stored: readonly InstanceHeader[]): void {
    const instances = stored.map(asListed)
    for (const kept of this.#readers) for (const instance of instances) add(kept, instance)
  }
}

const asListed = (header: InstanceHeader): ListedInstance => ({
  study: header.studyInstanceUID,
  series: header.seriesInstanceUID,
  instance: header.sopInstanceUID,
  sopClass: header.sopClassUID,
})

function add(kept: LRUCache<Uid, ListedInstance[]>, instance: ListedInstance): void {
  const known = kept.get(instance.study)
  if (!known) kept.set(instance.study, [instance])
  else if (known.length < maxInstances) known.push(instance)
}
