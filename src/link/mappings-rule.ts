import { type ConditionKey, conditionKeys, type Texts } from './mappings-facts.ts'
import { compilePattern } from './mappings-pattern.ts'

/** Patterns by what they are matched on: of each key one has to match, of all keys given. */
export type Conditions = Readonly<Partial<Record<ConditionKey, readonly string[]>>>

/** One rule as it stands in the file, with lists in place of single texts. */
export interface RuleText {
  /** Its number: of the rules that match, the lowest wins. */
  readonly rule: number
  /** No condition at all makes it the default rule, which every study meets. */
  readonly when: Conditions
  readonly gives: readonly string[]
}

/** What a table says of a study. */
export interface Mapped {
  readonly values: readonly string[]
  /** The number of the rule that fired; absent when none did. */
  readonly rule?: number
  /** In words: `rule 10: StudyDescription matches %BRAIN%`. */
  readonly why: string
}

/** Says what a rule gives to a study that meets it, and why. */
export function explainRule({ rule, when, gives }: RuleText, texts: Texts): Mapped {
  const met = conditionKeys.flatMap((key) => {
    const pattern = when[key]?.find((text) => texts[key].some(compilePattern(text)))
    return pattern === undefined ? [] : [`${key} matches ${pattern}`]
  })
  const reason = met.length > 0 ? met.join(' and ') : 'the default, it has no conditions'
  return { values: gives, rule, why: `rule ${rule}: ${reason}` }
}
