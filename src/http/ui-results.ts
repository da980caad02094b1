import { html } from 'hono/html'
import { type Dataset, firstString, strings } from '../dicom/dataset.ts'
import { linkTag } from '../dicom/private-dictionary.ts'
import { tag } from '../dicom/tags.ts'
import type { QueryAnswer } from '../query/service.ts'
import { dicomwebPath } from './addresses.ts'
import { type FormValues, limitIn, pageAddress } from './ui-form.ts'
import { dateText, type Html, table, warningsRegion } from './ui-page.ts'
import { wherePath } from './ui-where.ts'

interface Results {
  readonly values: FormValues
  readonly answer: QueryAnswer
  readonly hasViewer: boolean
}

/** In Unicode characters; the rest is in the metadata. */
const maxCommentLength = 80

/** `Studies 26–50 of at least 61`: what the page has of what is known to match; a silent cluster may have more. */
export function resultsTitle(values: FormValues, { rows, report: { remaining, sources } }: QueryAnswer): string {
  const offset = offsetIn(values)
  if (rows.length === 0) return offset === 0 ? 'No studies' : `No studies after the first ${offset}`
  const isWhole = remaining.exact && sources.every(({ outcome }) => outcome === 'ok' || outcome === 'skipped')
  const total = `${isWhole ? '' : 'at least '}${offset + rows.length + remaining.atLeast}`
  const last = offset + rows.length
  return rows.length === 1 ? `Study ${last} of ${total}` : `Studies ${offset + 1}–${last} of ${total}`
}

const offsetIn = (values: FormValues): number => Number(values.get('offset') || 0)

/**
 * The studies of one page, what is missing from them, and the way to the other pages. It has the focus: whoever
 * searched need not go through the form again to get there.
 */
export function resultsSection({ values, answer, hasViewer }: Results): Html {
  const caption = resultsTitle(values, answer)
  return html`
      <section id="results" aria-labelledby="results-heading" tabindex="-1" autofocus>
        <h2 id="results-heading">Results</h2>
        ${warningsRegion(answer.warnings)}
        ${
          answer.rows.length === 0
            ? html`<p>${caption}.</p>`
            : table({ id: 'results', caption, columns: [...labels, 'Open'], rows: answer.rows.map(cellsOf(hasViewer)) })
        }
        ${pager(values, answer)}
      </section>`
}

type Column = readonly [label: string, cell: (row: Dataset) => unknown]

const listed = (of: string) => (row: Dataset) => strings(row, of).join(', ')

const columns: readonly Column[] = [
  ['Patient name', (row) => nameText(firstString(row, tag.PatientName)) || 'unnamed'],
  ['Patient ID', listed(tag.PatientID)],
  ['Study date', (row) => dateText(firstString(row, tag.StudyDate) ?? '')],
  ['Description', (row) => withUnhonoured(row)],
  ['Modalities', listed(tag.ModalitiesInStudy)],
  ['Images', listed(tag.NumberOfStudyRelatedInstances)],
  ['Held by', (row) => holders(row)],
  ['Report status', listed(linkTag.reportStatus)],
  ['Specialty', listed(linkTag.specialty)],
  ['Body part', listed(linkTag.bodyPart)],
  ['Verified', listed(linkTag.verified)],
  ['Location', listed(linkTag.location)],
  ['Comments', (row) => shortened(firstString(row, linkTag.comments) ?? '')],
]

const labels = columns.map(([label]) => label)

const cellsOf = (hasViewer: boolean) => (row: Dataset) => [
  ...columns.map(([, cell]) => cell(row)),
  links(row, hasViewer),
]

/** Component groups beside each other, the parts of each as they are read: `Yamada, Tarou · 山田, 太郎`. */
function nameText(name = ''): string {
  const groups = name.split('=').map((group) => group.split('^').map((part) => part.trim()))
  return groups
    .map(([family = '', ...others]) => [family, others.filter(Boolean).join(' ')].filter(Boolean).join(', '))
    .filter(Boolean)
    .join(' · ')
}

function shortened(text: string): string {
  const characters = [...text]
  return characters.length > maxCommentLength ? `${characters.slice(0, maxCommentLength).join('')}…` : text
}

/** A study that its cluster could not compare with a constraint is listed all the same, and marked. */
function withUnhonoured(row: Dataset): Html {
  const keys = strings(row, linkTag.unhonoured)
  const mark = keys.length > 0 ? html` <small>(not checked: ${keys.join(', ')})</small>` : ''
  return html`${firstString(row, tag.StudyDescription)}${mark}`
}

function holders(row: Dataset): Html {
  const items = (row[linkTag.sources]?.Value ?? []) as readonly Dataset[]
  return html`<ul>${items.map((item) => html`<li>${holderText(item)}</li>`)}</ul>`
}

/** `south: 24 images, ONLINE` */
function holderText(item: Dataset): string {
  const count = firstString(item, tag.NumberOfStudyRelatedInstances)
  const images = count === undefined ? '' : `${count} ${count === '1' ? 'image' : 'images'}`
  const facts = [images, firstString(item, tag.InstanceAvailability) ?? '']
  return `${firstString(item, linkTag.cluster)}: ${facts.filter(Boolean).join(', ') || 'count unknown'}`
}

/** The study is part of what a link is called: screen readers list links without their rows. */
function links(row: Dataset, hasViewer: boolean): Html {
  const uid = encodeURIComponent(firstString(row, tag.StudyInstanceUID) ?? '')
  const study = [firstString(row, tag.StudyDescription), nameText(firstString(row, tag.PatientName))]
  const which = html`<span class="hidden"> of ${study.filter(Boolean).join(', ') || uid}</span>`
  return html`
              ${hasViewer ? html`<a href="/viewer?StudyInstanceUIDs=${uid}">Images${which}</a>` : ''}
              <a href="${dicomwebPath}/studies/${uid}/metadata">Metadata${which}</a>
              <a href="${wherePath}/${uid}">Copies${which}</a>`
}

function pager(values: FormValues, { rows, report: { remaining } }: QueryAnswer): Html {
  const offset = offsetIn(values)
  const previous = offset > 0 ? pageAddress(values, Math.max(0, offset - limitIn(values))) : undefined
  const hasMore = rows.length > 0 && remaining.atLeast > 0
  const next = hasMore ? pageAddress(values, offset + rows.length) : undefined
  if (previous === undefined && next === undefined) return html``
  return html`
        <nav class="pager" aria-label="Pages of results">
          ${previous === undefined ? '' : html`<a rel="prev" href="${previous}">Previous page</a>`}
          ${next === undefined ? '' : html`<a rel="next" href="${next}">Next page</a>`}
        </nav>`
}
