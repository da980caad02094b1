/** What linked sites have to tell each other: studies that come, and what is added to them, out of one seed. */

export interface StudyKind {
  readonly name: string
  /** Of all studies, 0 to 1. */
  readonly share: number
  readonly sopClass: string
  readonly instances: number
  readonly series: number
  readonly bytesEach: number
  /** It comes in so many STOW-RS requests, one this long after the other. */
  readonly requests: number
  readonly everyMs: number
}

export interface Load {
  readonly kinds: readonly StudyKind[]
  readonly studiesPerDay: number
  /** Share of a day's studies that comes between 8 and 18 o'clock. */
  readonly inWorkingHours: number
  /** Share of studies whose report is written at another site than that of the study. */
  readonly reportedElsewhere: number
  /** Share of studies that get a presentation state. */
  readonly presented: number
  /** Share of studies that one other site holds the images of already. */
  readonly heldElsewhere: number
  readonly reportBytes: number
  readonly presentationBytes: number
}

/** What a site has of a study. */
export interface Content {
  /** The first so many of its images. */
  readonly images: number
  readonly presentation: boolean
  readonly report: boolean
  /** What was told: that it is dictated, and approved. */
  readonly words: number
}

/** Something that a site stored or was told. */
export interface Change {
  readonly atMs: number
  readonly site: number
  readonly brings: Partial<Content>
}

export interface Study {
  readonly id: number
  readonly home: number
  readonly kind: StudyKind
  /** The other site that has its images already. */
  readonly holder: number | undefined
  /** In their order. */
  readonly changes: readonly Change[]
}

export const nothing: Content = { images: 0, presentation: false, report: false, words: 0 }

export const joined = (a: Content, b: Partial<Content>): Content => ({
  images: Math.max(a.images, b.images ?? 0),
  presentation: a.presentation || b.presentation === true,
  report: a.report || b.report === true,
  words: Math.max(a.words, b.words ?? 0),
})

export const instancesOf = ({ images, presentation, report }: Content): number =>
  images + Number(presentation) + Number(report)

/** Numbers between 0 and 1 that are the same for the same seed (mulberry32). */
export function randomFrom(seed: number): () => number {
  let state = seed
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
}

const goldenRatio = (Math.sqrt(5) - 1) / 2
const hourMs = 3_600_000
export const dayMs = 24 * hourMs
const minuteMs = 60_000

/** The studies of all sites in so many days; those of a site are the same however many sites there are. */
export function studiesOf(load: Load, { sites, days, seed }: { sites: number; days: number; seed: number }): Study[] {
  const studies: Study[] = []
  for (let home = 0; home < sites; home++) {
    const random = randomFrom(seed + home)
    for (let index = 0; index < load.studiesPerDay * days; index++) {
      const day = Math.floor(index / load.studiesPerDay)
      const beginsAt = day * dayMs + timeOfDay(load, random)
      studies.push(studyOf(load, { id: studies.length, index, home, sites, beginsAt }, random))
    }
  }
  return studies
}

function timeOfDay({ inWorkingHours }: Load, random: () => number): number {
  const [isWorking, at] = [random() < inWorkingHours, random()]
  if (isWorking) return (8 + 10 * at) * hourMs
  return ((18 + 14 * at) % 24) * hourMs
}

interface Begun {
  readonly id: number
  /** Among those of its site. */
  readonly index: number
  readonly home: number
  readonly sites: number
  readonly beginsAt: number
}

function studyOf(load: Load, { id, index, home, sites, beginsAt }: Begun, random: () => number): Study {
  // Spread evenly, so that every site has its share of each kind.
  const kind = kindOf(load.kinds, (0.5 + index * goldenRatio) % 1)
  const [elsewhere, holds, shown, other] = [random(), random(), random(), random()]
  const another = sites > 1 ? (home + 1 + Math.floor(other * (sites - 1))) % sites : home
  const reader = elsewhere < load.reportedElsewhere ? another : home
  const images = Array.from({ length: kind.requests }, (_, at) => ({
    atMs: beginsAt + at * kind.everyMs,
    site: home,
    brings: { images: Math.round((kind.instances * (at + 1)) / kind.requests) },
  }))
  const doneAt = beginsAt + kind.requests * kind.everyMs
  const reportAt = doneAt + (30 + 210 * random()) * minuteMs
  const presentation = { atMs: doneAt + (5 + 20 * random()) * minuteMs, site: home, brings: { presentation: true } }
  const read = [
    { atMs: doneAt + (reportAt - doneAt) / 2, site: reader, brings: { words: 1 } },
    { atMs: reportAt, site: reader, brings: { report: true } },
    { atMs: reportAt + minuteMs, site: reader, brings: { words: 2 } },
  ]
  const changes = [...images, ...(shown < load.presented ? [presentation] : []), ...read]
  return {
    ...{ id, home, kind, holder: holds < load.heldElsewhere && another !== home ? another : undefined },
    changes: changes.sort((a, b) => a.atMs - b.atMs),
  }
}

function kindOf(kinds: readonly StudyKind[], at: number): StudyKind {
  let sum = 0
  for (const kind of kinds) {
    sum += kind.share
    if (at < sum) return kind
  }
  return kinds.at(-1) as StudyKind
}

/** How many of the studies change in that time, in milliseconds. */
export const changedBetween = (studies: readonly Study[], from: number, until: number): number =>
  studies.filter(({ changes }) => changes.some(({ atMs }) => atMs >= from && atMs < until)).length
