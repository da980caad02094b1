import { describe, expect, test } from 'vitest'
import { add, closingLine, none, tallyOfCheck, tallyOfVitest, verdict } from '../../scripts/tally.ts'

const report = {
  numPassedTests: 3,
  numFailedTests: 0,
  numPendingTests: 2,
  numTodoTests: 0,
  testResults: [{ status: 'passed', assertionResults: [{}, {}, {}] }],
}

describe('the verdict of a test run', () => {
  test('counts what passed and what was left out', () => {
    expect(closingLine(tallyOfVitest(report, 0))).toBe('3 passed, 0 failed, 2 skipped')
  })

  test('a test file that does not load is a failure', () => {
    const broken = { ...report, testResults: [...report.testResults, { status: 'failed', assertionResults: [] }] }
    expect(tallyOfVitest(broken, 1)).toEqual({ passed: 3, failed: 1, skipped: 2 })
  })

  test('an error outside of every test is a failure', () => {
    expect(tallyOfVitest(report, 1).failed).toBe(1)
  })

  test('a run without a single passed test is a failure, skipped or not', () => {
    expect(tallyOfVitest({ ...report, numPassedTests: 0, testResults: [] }, 0).failed).toBe(1)
    expect(verdict(none)).toBe(1)
  })

  test('one failed check fails the whole', () => {
    const total = add(tallyOfVitest(report, 0), tallyOfCheck(2))
    expect(closingLine(total)).toBe('3 passed, 1 failed, 2 skipped')
    expect(verdict(total)).toBe(1)
    expect(verdict(tallyOfVitest(report, 0))).toBe(0)
  })
})
