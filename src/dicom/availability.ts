import { type Dataset, firstString } from './dataset.ts'
import { tag } from './tags.ts'

/** Instance Availability (0008,0056), from the nearest to the farthest, PS3.3 C.4.23.1.1. */
export const availabilities = ['ONLINE', 'NEARLINE', 'OFFLINE', 'UNAVAILABLE'] as const

export type Availability = (typeof availabilities)[number]

/** What a row says of where its instances are; `undefined` when it says nothing or no word of the standard. */
export function availabilityIn(row: Dataset): Availability | undefined {
  const said = firstString(row, tag.InstanceAvailability)?.trim().toUpperCase()
  return availabilities.find((availability) => availability === said)
}
