import { studiesPerSecond } from '../../../src/compose/sweep.ts'
import { uidsDigest } from '../../../src/dicom/digest.ts'
import { recentDays, studiesAtOnce } from '../../../src/replicate/sweep.ts'
import type { Lines } from './linking-ends.ts'

/** What there is for a sweep to look at. */
export interface Swept {
  readonly peers: number
  /** Studies that home has of one day. */
  readonly perDay: number
  /** Studies that a peer says have changed since the sweep before. */
  readonly changed: number
  readonly sample: number
}

export interface SweepCost {
  readonly studies: number
  /** To all peers. */
  readonly requests: number
  readonly bytes: number
  readonly ms: number
  /** Studies that all peers together list for it. */
  readonly listed: number
}

/** Studies on a page of changed ones, and how many of them a peer lists at the same time; as the product has them. */
const pageSize = 200
const listedAtOnce = 4

const answerBytes = JSON.stringify({
  studyInstanceUID: '1.2.840.113619.2.404.3.1679756291.10001.1769854500.1000.314',
  ...{ instances: 500, digest: uidsDigest([]), version: { 'hospital-000': 100 } },
}).length

/** One sweep of one site: what peers say has changed, the last days, the sample; each study once. */
export function sweepCost({ peers, perDay, changed, sample }: Swept, lines: Lines): SweepCost {
  const answerMs = (studies: number) => lines.roundTripMs + Math.ceil(studies / listedAtOnce) * lines.inventoryMs
  let [requests, ms, listed] = [0, 0, 0]
  const ask = (studies: number) => {
    requests++
    listed += studies
    ms += answerMs(studies)
  }
  for (let peer = 0; peer < peers; peer++) {
    for (let at = 0; at < changed; at += pageSize) ask(Math.min(pageSize, changed - at))
  }
  // Half of today is over; what has changed is of these days.
  const studies = Math.round(Math.max(changed, perDay * (recentDays + 0.5)) + sample)
  for (let at = 0; at < studies; at += studiesAtOnce) {
    const begun = ms
    ms += lines.inventoryMs
    for (let peer = 0; peer < peers; peer++) ask(Math.min(studiesAtOnce, studies - at))
    ms = Math.max(ms, begun + (studiesAtOnce / studiesPerSecond) * 1000)
  }
  return { studies, requests, bytes: listed * answerBytes, ms, listed }
}
