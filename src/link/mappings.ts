import { createHash } from 'node:crypto'
import { conditionKeys, type StudyFacts, textsOf } from './mappings-facts.ts'
import { type FindRules, indexRules } from './mappings-index.ts'
import { readTables, type TableName, tableNames } from './mappings-parse.ts'
import { explainRule, type Mapped, type RuleText } from './mappings-rule.ts'

export { factsOf, joinFacts, mappingFields, type StudyFacts, seriesMappingFields } from './mappings-facts.ts'
export type { TableName } from './mappings-parse.ts'
export { tableNames } from './mappings-parse.ts'
export type { Mapped, RuleText } from './mappings-rule.ts'

/** The tables that give a study its specialty and its body part, their rules by number, lowest first. */
export interface Mappings extends Readonly<Record<TableName, readonly RuleText[]>> {
  /**
   * SHA-256, in lower-case hexadecimal, of what the tables say, however it was written down: sites whose tables are
   * the same have the same.
   */
  readonly digest: string
  /** The places of the rules of each table that a study meets. */
  readonly find: Readonly<Record<TableName, FindRules>>
}

/**
 * Reads tables in YAML or JSON; `source` is what to call them in errors. Throws `LinkError` with code `config` whose
 * text has a line for every problem: the table, the rule, what was given and what is allowed.
 */
export function parseMappings(text: string, source: string): Mappings {
  const written = readTables(text, source)
  const sorted = (table: TableName) => written[table].toSorted((a, b) => a.rule - b.rule)
  const tables = { specialty: sorted('specialty'), bodyPart: sorted('bodyPart') }
  const find = { specialty: indexRules(tables.specialty), bodyPart: indexRules(tables.bodyPart) }
  return { ...tables, find, digest: digestOf(tables) }
}

/** What each table gives a study: the rule with the lowest number of those it meets. */
export function mapStudy(mappings: Mappings, facts: StudyFacts): Record<TableName, Mapped> {
  const { specialty, bodyPart } = matchingRules(mappings, facts, 1)
  return { specialty: specialty[0] ?? nothing, bodyPart: bodyPart[0] ?? nothing }
}

const nothing: Mapped = { values: [], why: 'no rule matches' }

/** All rules of each table that a study meets, the one that fires first; at most `limit` of them. */
export function matchingRules(mappings: Mappings, facts: StudyFacts, limit: number): Record<TableName, Mapped[]> {
  const texts = textsOf(facts)
  const met = (table: TableName) => {
    const rules = mappings.find[table](texts).take(limit)
    return rules
      .flatMap((at) => mappings[table].slice(at, at + 1))
      .map((rule) => explainRule(rule, texts))
      .toArray()
  }
  return { specialty: met('specialty'), bodyPart: met('bodyPart') }
}

/** The order of keys and of alternative patterns says nothing; that of the values given does. */
function digestOf(tables: Pick<Mappings, TableName>): string {
  const canonical = tableNames.map((table) =>
    tables[table].map(({ rule, when, gives }) => [
      rule,
      conditionKeys.map((key) => when[key] && [...new Set(when[key])].toSorted()),
      gives,
    ]),
  )
  return createHash('sha256').update(JSON.stringify(canonical)).digest('hex')
}
