import { type ConditionKey, conditionKeys, type Texts } from './mappings-facts.ts'
import { compilePattern } from './mappings-pattern.ts'
import type { RuleText } from './mappings-rule.ts'

/** Which of the rules, in their order, a study meets. */
export type FindRules = (texts: Texts) => IteratorObject<number, undefined>

/**
 * Makes the rules of a table ready for many studies. Tables of hospitals have thousands of patterns of which hardly any
 * has to do with one study: patterns are found by three characters that a text must have to match them, and only those
 * are tried.
 */
export function indexRules(rules: readonly RuleText[]): FindRules {
  const indices = conditionKeys.map((key, at) => indexOf(rules, key, 1 << at))
  const required = rules.map(({ when }) => indices.reduce((bits, { key, bit }) => (when[key] ? bits | bit : bits), 0))
  return (texts) => {
    const met = new Uint8Array(rules.length)
    for (const { key, bit, find } of indices) {
      for (const text of texts[key]) {
        for (const rule of find(text)) met[rule] = (met[rule] ?? 0) | bit
      }
    }
    return required.keys().filter((rule) => met[rule] === required[rule])
  }
}

interface Candidate {
  readonly rule: number
  readonly matches: (text: string) => boolean
}

const gramLength = 3

/** The conditions of all rules for one key; a rule that is met has the bit of each of its keys. */
function indexOf(rules: readonly RuleText[], key: ConditionKey, bit: number) {
  const exact = new Map<string, number[]>()
  const byGram = new Map<string, Candidate[]>()
  for (const [rule, { when }] of rules.entries()) {
    for (const pattern of when[key] ?? []) {
      if (!pattern.includes('%')) push(exact, pattern, rule)
      else push(byGram, gramOf(pattern), { rule, matches: compilePattern(pattern) })
    }
  }
  const find = (text: string): number[] => {
    const candidates = gramsOf(text).flatMap((gram) => byGram.get(gram) ?? [])
    return [...(exact.get(text) ?? []), ...candidates.filter(({ matches }) => matches(text)).map(({ rule }) => rule)]
  }
  return { key, bit, find }
}

function push<T>(lists: Map<string, T[]>, key: string, item: T): void {
  const list = lists.get(key)
  if (list) list.push(item)
  else lists.set(key, [item])
}

/** The beginning of the longest piece of a pattern; nothing when none is long enough. */
function gramOf(pattern: string): string {
  const [longest = ''] = pattern.split('%').toSorted((a, b) => b.length - a.length)
  return longest.length < gramLength ? '' : longest.slice(0, gramLength)
}

/** What patterns that match a text may begin their longest piece with. */
function gramsOf(text: string): string[] {
  const grams = new Set([''])
  for (let at = 0; at + gramLength <= text.length; at++) grams.add(text.slice(at, at + gramLength))
  return [...grams]
}
