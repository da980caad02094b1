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

export interface Rule extends RuleText {
  readonly meets: (texts: Texts) => boolean
  /** What it gives to a study that meets it, and why. */
  readonly explain: (texts: Texts) => Mapped
}

interface Test {
  readonly key: ConditionKey
  readonly patterns: readonly { readonly text: string; readonly matches: (text: string) => boolean }[]
}

/** Makes a rule ready for many studies. */
export function compileRule({ rule, when, gives }: RuleText): Rule {
  const tests = conditionKeys.flatMap((key): Test[] => {
    const patterns = when[key]
    return patterns ? [{ key, patterns: patterns.map((text) => ({ text, matches: compilePattern(text) })) }] : []
  })
  return {
    rule,
    when,
    gives,
    meets: (texts) => tests.every((test) => metBy(test, texts) !== undefined),
    explain: (texts) => ({ values: gives, rule, why: `rule ${rule}: ${reasonOf(tests, texts)}` }),
  }
}

/** The first pattern that one of the texts matches. */
const metBy = ({ key, patterns }: Test, texts: Texts) =>
  patterns.find(({ matches }) => texts[key].some((text) => matches(text)))

function reasonOf(tests: readonly Test[], texts: Texts): string {
  const met = tests.map((test) => `${test.key} matches ${metBy(test, texts)?.text}`)
  return met.length > 0 ? met.join(' and ') : 'the default, it has no conditions'
}
