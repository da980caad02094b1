import type { SaidCorrection } from './correction.ts'
import type { Said } from './said.ts'
import type { LinkSnapshot, SaidComment } from './snapshot.ts'

/**
 * What two sites know together. The same in whatever order and however often snapshots are put together, so that all
 * sites come to the same however their notices travel. Neither is changed.
 */
export function mergeSnapshots(a: LinkSnapshot, b: LinkSnapshot): LinkSnapshot {
  const homeSite = earliest(a.homeSite, b.homeSite)
  return {
    ...(homeSite && { homeSite }),
    reportStatus: lastOfEach([...a.reportStatus, ...b.reportStatus]),
    studyStatus: lastOfEach([...a.studyStatus, ...b.studyStatus]),
    verified: lastOfEach([...a.verified, ...b.verified]),
    comments: orderedOnce([...a.comments, ...b.comments]),
    corrections: lastOfEach([...a.corrections, ...b.corrections], registerOf),
  }
}

/** What counts of what the sites said: the word of the study's home, else the latest; of two, the larger site id's. */
export const standing = <Word extends Said>(words: readonly Word[], home: Said | undefined): Word | undefined =>
  words.find(({ site }) => site === home?.site) ?? words.toSorted(byTimeAndSite).at(-1)

/** Of each attribute the correction that counts. */
export const standingCorrections = (words: readonly SaidCorrection[], home: Said | undefined): SaidCorrection[] =>
  [...Map.groupBy(words, ({ keyword }) => keyword).values()].flatMap((said) => standing(said, home) ?? [])

/** What a site has one word on: an attribute. In the order of keywords, then of sites. */
export const registerOf = ({ keyword, site }: SaidCorrection): string => `${keyword} ${site}`

/** The first to say that a study is its own is believed. */
function earliest(a: Said | undefined, b: Said | undefined): Said | undefined {
  if (!a || !b) return a ?? b
  return byTimeAndSite(a, b) <= 0 ? a : b
}

/** In the order of their registers: of each there is one word. */
function lastOfEach<Word extends Said>(words: readonly Word[], register: (word: Word) => string = siteOf): Word[] {
  const last = new Map<string, Word>()
  for (const word of words) {
    const known = last.get(register(word))
    if (!known || isLater(word, known)) last.set(register(word), word)
  }
  return [...last].sort(([a], [b]) => compare(a, b)).map(([, word]) => word)
}

const siteOf = ({ site }: Said): string => site

/** Of two words of one moment, of which a site says only one, either does if only it is always the same. */
const isLater = (a: Said, b: Said): boolean => (a.at.getTime() - b.at.getTime() || compare(textOf(a), textOf(b))) > 0

/**
 * A comment is all that it says: two that their site gave one number, as it does when it was set back to a backup, are
 * both kept.
 */
function orderedOnce(comments: readonly SaidComment[]): SaidComment[] {
  const once = new Map(comments.map((comment) => [textOf(comment), comment]))
  return [...once]
    .sort(([a, one], [b, other]) => byTimeAndSite(one, other) || one.number - other.number || compare(a, b))
    .map(([, comment]) => comment)
}

/** The comments of `after` that are not in `before`, in their order. */
export function commentsAdded(before: LinkSnapshot, after: LinkSnapshot): SaidComment[] {
  const known = new Set(before.comments.map(textOf))
  return after.comments.filter((comment) => !known.has(textOf(comment)))
}

/** The same for the same content, whatever the order of its members. */
const textOf = (said: Said): string => JSON.stringify(Object.entries(said).sort(([a], [b]) => compare(a, b)))

const byTimeAndSite = (a: Said, b: Said): number => a.at.getTime() - b.at.getTime() || compare(a.site, b.site)

const compare = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0)
