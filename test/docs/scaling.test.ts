import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { sizes, tablesOf } from '../bench/scaling.ts'

const text = readFileSync(join(import.meta.dirname, '../../docs/scaling.md'), 'utf8')
/** The rows of all tables, as they are in Markdown, without the blanks that align them. */
const quoted = text
  .split('\n')
  .filter((line) => line.startsWith('| '))
  .map((line) => line.replaceAll(/ +/g, ' '))
/** The others take as long as all of these many times over, by the same rules. */
const few = sizes.filter((sites) => sites <= 20)

describe('the page about scaling', () => {
  test('quotes what is simulated for its seed by the rules of the product', () => {
    for (const { title, columns, rows } of tablesOf(few)) {
      const wanted = [columns, ...rows].map((row) => `| ${row.join(' | ')} |`)
      expect(quoted, `"${title}": run npm run bench -- scaling, and quote it`).toEqual(expect.arrayContaining(wanted))
    }
  })

  test('has a row for all sizes', () => {
    const first = quoted.map((row) => Number(row.split(' | ')[0]?.slice(2)))
    for (const sites of sizes) expect(first.filter((it) => it === sites).length).toBeGreaterThanOrEqual(6)
  })
})
