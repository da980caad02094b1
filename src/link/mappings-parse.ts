import { parseAllDocuments } from 'yaml'
import { z } from 'zod'
import { LinkError, toError } from '../core/errors.ts'
import { conditionKeys } from './mappings-facts.ts'
import type { RuleText } from './mappings-rule.ts'

export const tableNames = ['specialty', 'bodyPart'] as const
export type TableName = (typeof tableNames)[number]

/** Bounds on what one file may say. */
const maxTextLength = 8 * 1024 ** 2
const maxRules = 10_000
const maxRuleNumber = 999_999_999
const maxPatterns = 200
const maxPatternLength = 256
const maxValues = 16
const maxProblems = 100

const quoted = 'in quotes where YAML would read a number'
const patternRule = `patterns of 1 to ${maxPatternLength} characters without spaces at their ends, ${quoted}`
const patternsRule = `one to ${maxPatterns} ${patternRule}`
const ruleNumberRule = `a whole number from 0 to ${maxRuleNumber}`
const valueRules = {
  specialty: `one to ${maxValues} LO values of 1 to 64 characters without \\ and without spaces at their ends, ${quoted}`,
  bodyPart: `one to ${maxValues} CS values of 1 to 16 upper-case letters, digits, spaces and underscores, ${quoted}`,
} as const satisfies Record<TableName, string>

// biome-ignore lint/suspicious/noControlCharactersInRegex: these are what is not allowed
const control = /[\u0000-\u001f\u007f]/
const isTrimmed = (text: string) => text === text.trim()

const pattern = z
  .string(patternsRule)
  .min(1, patternsRule)
  .max(maxPatternLength, patternsRule)
  .refine((text) => isTrimmed(text) && !control.test(text), patternsRule)
  .transform((text) => text.normalize('NFC'))

const values = {
  specialty: z
    .string(valueRules.specialty)
    .min(1, valueRules.specialty)
    .max(64, valueRules.specialty)
    .refine((text) => isTrimmed(text) && !text.includes('\\') && !control.test(text), valueRules.specialty),
  bodyPart: z
    .string(valueRules.bodyPart)
    .regex(/^[A-Z0-9 _]{1,16}$/, valueRules.bodyPart)
    .refine(isTrimmed, valueRules.bodyPart),
} satisfies Record<TableName, z.ZodType<string>>

/** One, or a list. */
const oneOrMore = <T extends z.ZodType>(item: T, max: number, rule: string) =>
  z.preprocess((given) => (Array.isArray(given) ? given : [given]), z.array(item).min(1, rule).max(max, rule))

const when = z.strictObject(
  Object.fromEntries(conditionKeys.map((key) => [key, oneOrMore(pattern, maxPatterns, patternsRule).optional()])),
  `an object with any of the keys ${conditionKeys.join(', ')}; {} for the default rule`,
)

const ruleOf = (table: TableName) =>
  z.strictObject(
    {
      rule: z.int(ruleNumberRule).min(0, ruleNumberRule).max(maxRuleNumber, ruleNumberRule),
      when,
      gives: oneOrMore(values[table], maxValues, valueRules[table]),
    },
    'a rule with the keys rule, when and gives',
  )

const tableRule = `a list of rules, at most ${maxRules}`

/** Rules are counted before any of them is looked at. */
const tableOf = (table: TableName) =>
  z
    .array(z.unknown(), tableRule)
    .max(maxRules, tableRule)
    .pipe(z.array(ruleOf(table)))
    .default([])

const schema = z.strictObject(
  { specialty: tableOf('specialty'), bodyPart: tableOf('bodyPart') },
  `an object with the keys ${tableNames.join(' and ')}`,
)

/** The rules of each table in the order of the file. Throws `config`, see `parseMappings`. */
export function readTables(text: string, source: string): Record<TableName, RuleText[]> {
  const written = parse(text, source)
  const result = schema.safeParse(written)
  const problems = [...(result.error?.issues ?? []).flatMap((issue) => explain(issue, written)), ...repeated(written)]
  if (!result.success || problems.length > 0) throw refusal(source, [...new Set(problems)])
  return result.data as Record<TableName, RuleText[]>
}

/** JSON is YAML. */
function parse(text: string, source: string): unknown {
  if (text.length > maxTextLength) throw refusal(source, [`longer than ${maxTextLength} characters`])
  const documents = parseAllDocuments(text, { prettyErrors: true, logLevel: 'error' })
  const [document, second] = 'empty' in documents ? [] : documents
  if (!document || document.contents === null) throw refusal(source, ['the file is empty'])
  if (second) throw refusal(source, ['more than one document; a "---" line too many?'])
  const problems = document.errors.map(({ message }) => message.split('\n')[0]?.replace(/:$/, '') ?? '')
  if (problems.length > 0) throw refusal(source, problems.map(withHint))
  try {
    return document.toJS()
  } catch (error) {
    throw refusal(source, [toError(error).message])
  }
}

/** The error that everybody makes once. */
const withHint = (problem: string): string =>
  problem.includes('cannot start with directive indicator') ? `${problem}; put patterns in quotes: '%BRAIN%'` : problem

type Path = readonly PropertyKey[]

function explain(issue: z.core.$ZodIssue, written: unknown): string[] {
  const { path } = issue
  if (issue.code === 'unrecognized_keys') {
    return issue.keys.map((key) => `${where([...path, key], written)}: unknown key; allowed are ${keysAt(path)}`)
  }
  const value = valueAt(written, path)
  if (value === undefined) return [`${where(path, written)}: missing; expected ${issue.message}`]
  return [`${where(path, written)}: ${show(value)} is not allowed; expected ${issue.message}`]
}

/** `specialty, rule 10: when.Modality`; a rule without a number is told by its place. */
function where([table, index, ...rest]: Path, written: unknown): string {
  if (table === undefined) return 'the file'
  if (index === undefined) return String(table)
  const number = valueAt(written, [table, index, 'rule'])
  const name = typeof number === 'number' ? `rule ${number}` : `entry ${Number(index) + 1} of the list`
  const key = rest.filter((step) => typeof step === 'string').join('.')
  return `${String(table)}, ${name}${key && `: ${key}`}`
}

const keysAt = ({ length }: Path): string =>
  length === 0 ? tableNames.join(' and ') : length === 2 ? 'rule, when and gives' : conditionKeys.join(', ')

/** A single text in place of a list is found under the index 0 of that list too. */
const valueAt = (root: unknown, path: Path): unknown =>
  path.reduce<unknown>((node, key) => {
    if (typeof key === 'number' && !Array.isArray(node)) return node
    return typeof node === 'object' && node !== null ? (node as Record<PropertyKey, unknown>)[key] : undefined
  }, root)

function show(value: unknown): string {
  if (Array.isArray(value)) return `a list of ${value.length}`
  if (typeof value === 'object' && value !== null) return `an object with ${Object.keys(value).join(', ') || 'no keys'}`
  const text = typeof value === 'string' ? JSON.stringify(value) : String(value)
  return text.length > 80 ? `${text.slice(0, 80)}…` : text
}

/** Two rules of one number: which of them would win, would be an accident. */
function repeated(written: unknown): string[] {
  return tableNames.flatMap((table) => {
    const rules = valueAt(written, [table])
    const seen = new Map<unknown, number>()
    for (const number of (Array.isArray(rules) ? rules : []).map((_, index) => valueAt(rules, [index, 'rule']))) {
      if (number !== undefined) seen.set(number, (seen.get(number) ?? 0) + 1)
    }
    const twice = [...seen].filter(([, count]) => count > 1)
    return twice.map(
      ([number, count]) => `${table}, rule ${show(number)}: there ${count} times; expected a number no other rule has`,
    )
  })
}

function refusal(source: string, problems: readonly string[]): LinkError {
  const shown = problems.slice(0, maxProblems)
  const more = problems.length - shown.length
  const lines = [...shown, ...(more > 0 ? [`and ${more} more problems`] : [])].map((problem) => `  ${problem}`)
  return new LinkError('config', `mapping tables ${source} cannot be used:\n${lines.join('\n')}`)
}
