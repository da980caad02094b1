import { html } from 'hono/html'
import { badRequest } from '../core/errors.ts'
import { hasWildcard } from '../dicom/glob.ts'
import { linkTag, linkTerms } from '../dicom/private-dictionary.ts'
import type { Problem } from './problem.ts'
import { alertText, type Html } from './ui-page.ts'

interface Field {
  /** In the address of the page; but for the dates that of the parameter of QIDO-RS. */
  readonly name: string
  /** The parameter of QIDO-RS it becomes part of, where it has another name. */
  readonly parameter?: string
  readonly label: string
  readonly kind: 'text' | 'date' | 'choice' | 'check'
  /** Of a choice: what may be chosen, with `''` for anything; absent: the clusters. */
  readonly choices?: readonly string[]
  /** What the typed text becomes in the query. */
  readonly write?: (text: string) => string
}

interface Group {
  readonly legend: string
  readonly fields: readonly Field[]
}

/** Names and comments are looked for anywhere in the value unless the text says where. */
const anywhere = (text: string): string => (hasWildcard(text) ? text : `*${text}*`)
/** Code strings have no small letters, PS3.5 6.2. */
const capitals = (text: string): string => text.toUpperCase()

const terms = (tag: string): readonly string[] => ['', ...(linkTerms[tag] ?? [])]

const groups: readonly Group[] = [
  {
    legend: 'Patient and order',
    fields: [
      { name: 'PatientName', label: 'Patient name', kind: 'text', write: anywhere },
      { name: 'PatientID', label: 'Patient ID', kind: 'text' },
      { name: 'AccessionNumber', label: 'Accession number', kind: 'text' },
    ],
  },
  {
    legend: 'Study',
    fields: [
      { name: 'from', parameter: 'StudyDate', label: 'Study date from', kind: 'date' },
      { name: 'to', parameter: 'StudyDate', label: 'Study date to', kind: 'date' },
      { name: 'ModalitiesInStudy', label: 'Modality', kind: 'text', write: capitals },
    ],
  },
  {
    legend: 'Link attributes',
    fields: [
      { name: 'link.reportStatus', label: 'Report status', kind: 'choice', choices: terms(linkTag.reportStatus) },
      { name: 'link.specialty', label: 'Specialty', kind: 'text' },
      { name: 'link.bodyPart', label: 'Body part', kind: 'text', write: capitals },
      { name: 'link.verified', label: 'Verified', kind: 'choice', choices: terms(linkTag.verified) },
      { name: 'link.location', label: 'Location', kind: 'choice', choices: terms(linkTag.location) },
      { name: 'link.cluster', label: 'Cluster', kind: 'choice' },
      { name: 'link.comments', label: 'Comments', kind: 'text', write: anywhere },
    ],
  },
  {
    legend: 'Answer',
    fields: [
      { name: 'limit', label: 'Studies per page', kind: 'choice', choices: ['10', '25', '50', '100'] },
      { name: 'partial', label: 'Fail when a cluster is missing', kind: 'check' },
    ],
  },
]

const fields = groups.flatMap((group) => group.fields)
const parameterOf = ({ parameter, name }: Field): string => parameter ?? name
const defaultLimit = '25'

/** What is in the form, by the names of its fields, and `offset`. */
export type FormValues = ReadonlyMap<string, string>

/** The values in the address of the page, without spaces around them; others are none of the form's. */
export function formValues(given: URLSearchParams): FormValues {
  const names = [...fields.map(({ name }) => name), 'offset']
  return new Map(names.flatMap((name) => (given.has(name) ? [[name, (given.get(name) ?? '').trim()]] : [])))
}

/** Browsers send every field, empty ones too: whoever sends the empty form asks for all studies. */
export const isAsked = (values: FormValues): boolean => values.size > 0

/** The query part of QIDO-RS that the form stands for, without its question mark. Throws `bad-request`. */
export function searchOf(values: FormValues): string {
  const search = new URLSearchParams({ includefield: 'all' })
  for (const { name, parameter, write = String } of fields) {
    const text = values.get(name)
    if (text && parameter === undefined) search.set(name, write(text))
  }
  const dates = datesOf(values)
  if (dates !== '-') search.set('StudyDate', dates)
  search.set('limit', values.get('limit') || defaultLimit)
  if (values.get('offset')) search.set('offset', values.get('offset') ?? '')
  return search.toString()
}

/** Nothing is in a range that is the wrong way round: without a word about it, that would look like an answer. */
function datesOf(values: FormValues): string {
  const [from = '', to = ''] = ['from', 'to'].map((name) => dicomDate(values.get(name) ?? ''))
  if ([from, to].every((date) => /^\d{8}$/.test(date)) && from > to) {
    throw badRequest('StudyDate: the range ends before it begins')
  }
  return `${from}-${to}`
}

/** `2024-01-31` as PS3.5 6.2 writes it; what is no date is left for the query to refuse. */
const dicomDate = (text: string): string => (/^\d{4}-\d{2}-\d{2}$/.test(text) ? text.replaceAll('-', '') : text)

/** The address of another page of the same search. */
export function pageAddress(values: FormValues, offset: number): string {
  const kept = [...values].filter(([, text]) => text !== '')
  return `/ui?${new URLSearchParams([...kept.filter(([name]) => name !== 'offset'), ['offset', String(offset)]])}`
}

/** The number of studies a page may have; of values that the query did not refuse. */
export const limitIn = (values: FormValues): number => Number(values.get('limit') || defaultLimit)

/** Why a search was refused, and which parameter is the reason when it is one of the form's. */
export interface Fault {
  readonly text: string
  readonly parameter?: string
}

/** The texts of bad requests begin with the name of the parameter. */
export function faultOf({ code, detail }: Pick<Problem, 'code' | 'detail'>): Fault {
  const named = code === 'bad-request' ? /^([\w.]+): /.exec(detail)?.[1] : undefined
  const field = fields.find((each) => parameterOf(each) === named)
  return { text: detail, ...(field && { parameter: parameterOf(field) }) }
}

interface Form {
  readonly values: FormValues
  readonly fault: Fault | undefined
  /** Ids of the clusters to choose from. */
  readonly clusters: readonly string[]
}

/** A plain form: every search has an address, and works where scripts do not. */
export const searchForm = (form: Form): Html => html`
      <section id="search" tabindex="-1">
        <h2 id="search-heading">Search all clusters</h2>
        ${form.fault && form.fault.parameter === undefined ? alertText(form.fault.text) : ''}
        <p id="wildcards">In text, <kbd>*</kbd> stands for any characters and <kbd>?</kbd> for one.</p>
        <form action="/ui" method="get" role="search" aria-labelledby="search-heading" aria-describedby="wildcards">
          ${groups.map(
            ({ legend, fields: its }) => html`
          <fieldset>
            <legend>${legend}</legend>
            <div class="fields">${its.map((field) => formField(field, form))}</div>
          </fieldset>`,
          )}
          <p class="buttons"><button>Search</button> <a href="/ui">Clear</a></p>
        </form>
      </section>`

const alert = (id: string, text: string): Html => html`<p class="error" role="alert" id="${id}">${text}</p>`

/** A wrong field says so where it is, and has the focus: that is what screen readers begin with. */
function formField(field: Field, form: Form): Html {
  const { fault } = form
  const isWrong = fault?.parameter === parameterOf(field)
  const isFirst = isWrong && fields.find((each) => parameterOf(each) === fault.parameter) === field
  const errorId = `${parameterOf(field)}-error`
  const state = html`${isWrong ? html` aria-invalid="true" aria-describedby="${errorId}"` : ''}${isFirst ? html` autofocus` : ''}`
  return html`
              <div class="${field.kind}">
                <label for="${field.name}">${field.label}</label>
                ${control(field, form, state)}
                ${isFirst ? alert(errorId, fault.text) : ''}
              </div>`
}

function control(field: Field, { values, clusters }: Form, state: Html): Html {
  const { name, kind } = field
  const value = values.get(name) ?? ''
  switch (kind) {
    case 'choice': {
      const chosen = name === 'limit' ? value || defaultLimit : value
      const choices = offered(field.choices ?? ['', ...clusters], chosen)
      return html`<select id="${name}" name="${name}"${state}>${choices.map((it) => option(it, it === chosen))}</select>`
    }
    case 'check':
      return html`<input type="checkbox" id="${name}" name="${name}" value="abort"${value === 'abort' ? html` checked` : ''}${state}>`
    default:
      // Names of patients are nothing for a shared workstation to suggest to the next user.
      return html`<input type="${kind}" id="${name}" name="${name}" value="${value}" autocomplete="off" spellcheck="false"${state}>`
  }
}

/** A value from elsewhere stays what it is, even where it is refused. */
const offered = (choices: readonly string[], chosen: string): readonly string[] =>
  choices.includes(chosen) ? choices : [...choices, chosen]

const option = (choice: string, isChosen: boolean): Html =>
  html`<option value="${choice}"${isChosen ? html` selected` : ''}>${choice === '' ? 'any' : choice}</option>`
