import type { Tag } from '../dicom/dataset.ts'
import { linkTag } from '../dicom/private-dictionary.ts'
import type { LinkRecord, StudyComment } from './record.ts'
import { type LinkSource, ownTexts, textsOf } from './told.ts'

/** Study Comments, retired. */
export const studyCommentsTag: Tag = '00324000'

/** Characters that an LT takes, PS3.5 6.2. */
const maxLongText = 10_240

/**
 * All comments on a study: the texts of archives as they are, then a line for each comment that was told to this site
 * or another one, by time, the newest last. What several copies say is there once.
 *
 * A comment told to a site keeps its line wherever it is relayed to (`2026-01-31T10:15:00Z <author>: <text>`): such
 * lines are taken out of what other proxies send, since one of them may have been told here too.
 */
export function commentsOf(copies: readonly LinkSource[], record: LinkRecord | undefined): string {
  const told = copies.flatMap(({ row }) => [...textsOf(row[studyCommentsTag]), ...ownTexts(row, linkTag.comments)])
  const texts = told.map(linesOf)
  const own = (record?.comments ?? []).map(lineOf)
  const lines = new Set([...texts.flatMap((it) => it.filter(isStamped)), ...own])
  const ordered = [...lines].sort((a, b) => compare(stampOf(a), stampOf(b)))
  const free = texts.map((it) =>
    it
      .filter((line) => !isStamped(line))
      .join('\n')
      .trim(),
  )
  return [...withoutRepeats(free), ...ordered].join('\n')
}

/** The newest lines of a text that fit into an LT. */
export function asLongText(text: string): string {
  if (text.length <= maxLongText) return text
  const end = text.slice(-maxLongText)
  return end.slice(end.indexOf('\n') + 1).toWellFormed()
}

const linesOf = (text: string): string[] => text.split(/\r\n|\r|\n/).map((line) => line.trimEnd())

const stampOf = (line: string): string => line.slice(0, 20)
const isStamped = (line: string): boolean => /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ \S/.test(line)

/** One line, so that it is found again as it is. */
const lineOf = ({ text, author, at }: StudyComment): string =>
  `${at.toISOString().slice(0, 19)}Z ${author}: ${text.replaceAll(/\s*\n\s*/g, ' ')}`

/** Another proxy sends the texts of its archives together: what is a part of another text is not said again. */
const withoutRepeats = (texts: readonly string[]): string[] => {
  const distinct = [...new Set(texts)].filter((text) => text !== '')
  const isPart = (text: string, other: string) => text !== other && `\n${other}\n`.includes(`\n${text}\n`)
  return distinct.filter((text) => !distinct.some((other) => isPart(text, other)))
}

const compare = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0)
