import { defineConfig } from 'vitest/config'

/** Kinds of tests by suffix: unit and contract in seconds, real archives and browsers apart. */
export default defineConfig({
  test: {
    // An embedded database takes seconds to start, and many start at once on few cores.
    testTimeout: 60_000,
    hookTimeout: 120_000,
    projects: [
      { extends: true, test: { name: 'unit', include: ['test/**/*.test.ts', 'test/**/*.fuzz.ts'] } },
      {
        extends: true,
        test: {
          name: 'e2e',
          include: ['test/**/*.e2e.ts'],
          testTimeout: 240_000,
          hookTimeout: 240_000,
          fileParallelism: false,
        },
      },
    ],
  },
})
