import type { Mapped, Mappings, StudyFacts, TableName } from '../link/mappings.ts'
import { tableNames } from '../link/mappings.ts'
import type { Change, TableComparison } from '../mappings/compare.ts'
import type { DryRun, WalkedCluster } from '../mappings/dry-run.ts'
import { countOf } from './progress.ts'

const titles = { specialty: 'specialty', bodyPart: 'body part' } as const satisfies Record<TableName, string>

const valuesOf = (values: readonly string[]): string => (values.length > 0 ? values.join(', ') : '(none)')

export interface TestResult extends Readonly<Record<TableName, readonly Mapped[]>> {
  readonly path: string
  readonly digest: string
  readonly facts: StudyFacts
  readonly warnings: readonly string[]
}

/** The facts, then for each table what fires and what would have fired without it. */
export function renderTest({ path, digest, facts, warnings, ...tables }: TestResult): string {
  const told = [
    ['StudyDescription', facts.studyDescription],
    ['ProcedureCode', facts.procedureCodes.join(', ')],
    ['Modality', facts.modalities.join(', ')],
    ['BodyPartExamined', facts.bodyParts.join(', ')],
    ['InstitutionName', facts.institutions.join(', ')],
  ].map(([name = '', text = '']) => `  ${name.padEnd(17)} ${text || '-'}`)
  const lines = tableNames.flatMap((table) => renderFiring(titles[table], tables[table]))
  return [`tables ${path}`, `digest ${digest}`, ...warnings.map(warning), 'study', ...told, ...lines].join('\n')
}

const warning = (text: string): string => `WARNING  ${text}`

function renderFiring(title: string, [first, ...next]: readonly Mapped[]): string[] {
  if (!first) return [`${title}: (none)`, '  no rule matches']
  return [
    `${title}: ${valuesOf(first.values)}`,
    `  ${first.why}`,
    ...next.map(({ values, why }) => `  then ${valuesOf(values)}: ${why}`),
  ]
}

export interface CheckResult {
  readonly digest: string
  readonly rules: Readonly<Record<TableName, number>>
  readonly remarks: readonly string[]
}

export const renderCheck = ({ digest, rules, remarks }: CheckResult): string =>
  [
    `ok: ${rules.specialty} rules for specialty, ${rules.bodyPart} for body part`,
    `digest ${digest}`,
    ...remarks.map((remark) => `note  ${remark}`),
  ].join('\n')

/** What is allowed and probably not meant, a sentence each. */
export const remarksOn = (mappings: Mappings): string[] =>
  tableNames.flatMap((table) => {
    const rules = mappings[table]
    const last = rules.findIndex(({ when }) => Object.keys(when).length === 0)
    if (last < 0) return [`${table}: no default rule (when: {}); studies that no rule matches have no value`]
    const hidden = rules.slice(last + 1).map(({ rule }) => rule)
    if (hidden.length === 0) return []
    return [`${table}: the default rule ${rules[last]?.rule} comes before rules that never fire: ${listed(hidden)}`]
  })

const maxListed = 200

const listed = (numbers: readonly number[]): string => {
  const more = numbers.length - maxListed
  return numbers.slice(0, maxListed).join(', ') + (more > 0 ? ` and ${more} more` : '')
}

/** Table by table what changes, which rules fire how often and which never; then what could not be counted. */
export function renderDryRun({ before, after, studies, tables, clusters }: DryRun): string {
  const same = before === after ? ['the new tables say the same as those in force'] : []
  const seen = `${countOf(studies)} looked at; one that several clusters hold counts for each`
  const lines = tableNames.flatMap((table) => renderTable(titles[table], tables[table], studies))
  return [...same, seen, '', ...lines, ...clusters.flatMap(renderCluster)].join('\n')
}

function renderTable(title: string, { changed, changes, rules, unmapped }: TableComparison, studies: number): string[] {
  const never = rules.filter((it) => it.studies === 0).map(({ rule }) => rule)
  const fired = rules.filter((it) => it.studies > 0).map((it) => `    rule ${it.rule}: ${countOf(it.studies)}`)
  return [
    `${title}: ${countOf(changed)} of ${studies.toLocaleString('en')} ${changed === 1 ? 'changes' : 'change'}`,
    ...changes.flatMap(renderChange),
    '  rules of the new table',
    ...fired,
    ...(never.length > 0 ? [`    never fire: ${listed(never)}`] : []),
    ...(unmapped > 0 ? [`    no rule matches: ${countOf(unmapped)}`] : []),
    '',
  ]
}

const renderChange = ({ from, to, studies, examples }: Change): string[] => [
  `  ${valuesOf(from)} → ${valuesOf(to)}: ${countOf(studies)}`,
  ...examples.map((study) => `    e.g. ${study}`),
]

function renderCluster({ id, studies, gaps, skipped, failed }: WalkedCluster): string[] {
  if (skipped !== undefined) return [`cluster ${id}: not looked at, ${skipped}`]
  const end = failed === undefined ? '' : ', then it FAILED'
  const lines = [`cluster ${id}: ${countOf(studies)}${end}`, ...gaps.map((gap) => `  not complete: ${gap}`)]
  return failed === undefined ? lines : [...lines, `  ${failed}`]
}
