import type { Uid } from '../dicom/uid.ts'
import { type Mapped, type Mappings, mapStudy, type StudyFacts, type TableName, tableNames } from '../link/mappings.ts'

/** Studies that get other values. */
export interface Change {
  readonly from: readonly string[]
  readonly to: readonly string[]
  readonly studies: number
  /** The first of them. */
  readonly examples: readonly Uid[]
}

/** What new tables make of the studies, table by table. */
export interface TableComparison {
  /** Studies whose values change. */
  readonly changed: number
  /** The most frequent first, at most a thousand. */
  readonly changes: readonly Change[]
  /** Studies that fire each rule of the new table, by number; 0 for those that never fire. */
  readonly rules: readonly { readonly rule: number; readonly studies: number }[]
  /** Studies that no rule of the new table matches. */
  readonly unmapped: number
}

const maxExamples = 10
const maxChanges = 1000

/** Counts, study by study, what changes from the tables in force to new ones. */
export class Comparison {
  readonly #before: Mappings
  readonly #after: Mappings
  readonly #tables: Readonly<Record<TableName, Tally>>

  constructor(before: Mappings, after: Mappings) {
    this.#before = before
    this.#after = after
    this.#tables = { specialty: new Tally(after.specialty), bodyPart: new Tally(after.bodyPart) }
  }

  add(study: Uid, facts: StudyFacts): void {
    const [before, after] = [mapStudy(this.#before, facts), mapStudy(this.#after, facts)]
    for (const table of tableNames) this.#tables[table].add(study, before[table], after[table])
  }

  result(): Record<TableName, TableComparison> {
    return { specialty: this.#tables.specialty.result(), bodyPart: this.#tables.bodyPart.result() }
  }
}

interface Counted {
  readonly from: readonly string[]
  readonly to: readonly string[]
  studies: number
  readonly examples: Uid[]
}

class Tally {
  readonly #hits: Map<number, number>
  readonly #changes = new Map<string, Counted>()
  #changed = 0
  #unmapped = 0

  constructor(rules: readonly { readonly rule: number }[]) {
    this.#hits = new Map(rules.map(({ rule }) => [rule, 0]))
  }

  add(study: Uid, before: Mapped, after: Mapped): void {
    if (after.rule === undefined) this.#unmapped++
    else this.#hits.set(after.rule, (this.#hits.get(after.rule) ?? 0) + 1)
    const key = JSON.stringify([before.values, after.values])
    if (JSON.stringify(before.values) === JSON.stringify(after.values)) return
    this.#changed++
    const counted = this.#changes.get(key) ?? { from: before.values, to: after.values, studies: 0, examples: [] }
    counted.studies++
    if (counted.examples.length < maxExamples && !counted.examples.includes(study)) counted.examples.push(study)
    if (this.#changes.size < maxChanges) this.#changes.set(key, counted)
  }

  result(): TableComparison {
    return {
      changed: this.#changed,
      changes: [...this.#changes.values()].toSorted((a, b) => b.studies - a.studies),
      rules: [...this.#hits].map(([rule, studies]) => ({ rule, studies })),
      unmapped: this.#unmapped,
    }
  }
}
