/** How many tests and checks passed, failed and were left out. */
export interface Tally {
  readonly passed: number
  readonly failed: number
  readonly skipped: number
}

/** The part of vitest's JSON report that is counted. */
export interface VitestReport {
  readonly numPassedTests: number
  readonly numFailedTests: number
  readonly numPendingTests: number
  readonly numTodoTests: number
  readonly testResults: readonly { readonly status: string; readonly assertionResults: readonly unknown[] }[]
}

export const none: Tally = { passed: 0, failed: 0, skipped: 0 }

export const add = (a: Tally, b: Tally): Tally => ({
  passed: a.passed + b.passed,
  failed: a.failed + b.failed,
  skipped: a.skipped + b.skipped,
})

/** A check counts as one test. */
export const tallyOfCheck = (status: number): Tally => (status === 0 ? { ...none, passed: 1 } : { ...none, failed: 1 })

/**
 * Counts a run of vitest. A file that does not load has no tests to fail, and an error outside of every test fails
 * none: both still count as a failure, as does a run without a single test.
 */
export const tallyOfVitest = (report: VitestReport, status: number): Tally => {
  const unloaded = report.testResults.filter((it) => it.status === 'failed' && it.assertionResults.length === 0).length
  const failed = report.numFailedTests + unloaded
  return {
    passed: report.numPassedTests,
    failed: failed === 0 && (status !== 0 || report.numPassedTests === 0) ? 1 : failed,
    skipped: report.numPendingTests + report.numTodoTests,
  }
}

export const closingLine = ({ passed, failed, skipped }: Tally): string =>
  `${passed} passed, ${failed} failed, ${skipped} skipped`

/** Exit status: 0 only when something passed and nothing failed. */
export const verdict = ({ passed, failed }: Tally): number => (failed === 0 && passed > 0 ? 0 : 1)
