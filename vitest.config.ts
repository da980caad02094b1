import { defineConfig } from 'vitest/config'

/** Their clusters and clients have seconds to answer, so nothing else may take the processor from them. */
const alone = ['test/e2e/faults-load.e2e.ts', 'test/e2e/faults-clusters.e2e.ts']

/** An end-to-end test waits for its own processes most of the time. */
const endToEnd = { testTimeout: 240_000, hookTimeout: 240_000 }

/** Kinds of tests by suffix: unit and contract in seconds, real archives and browsers apart. */
export default defineConfig({
  test: {
    // An embedded database takes seconds to start, and many start at once on few cores.
    testTimeout: 60_000,
    hookTimeout: 120_000,
    maxWorkers: '100%',
    projects: [
      { extends: true, test: { name: 'unit', include: ['test/**/*.test.ts', 'test/**/*.fuzz.ts'] } },
      { extends: true, test: { ...endToEnd, name: 'e2e', include: ['test/**/*.e2e.ts'], exclude: alone } },
      { extends: true, test: { ...endToEnd, name: 'alone', include: alone, fileParallelism: false } },
    ],
  },
})
