/**
 * Does work on many items at once though they come singly: while one batch is being done, the next one gathers.
 * A single item never waits for company. `work` answers one result an item; what it throws, all of its items get.
 */
export function inBatches<Item, Result>(
  work: (items: readonly Item[]) => Promise<readonly Result[]>,
  maxItems: number,
): (item: Item) => Promise<Result> {
  const waiting: { item: Item; settle: PromiseWithResolvers<Result> }[] = []
  let running = false

  const run = async () => {
    running = true
    while (waiting.length > 0) {
      const batch = waiting.splice(0, maxItems)
      try {
        const results = await work(batch.map(({ item }) => item))
        for (const [index, { settle }] of batch.entries()) settle.resolve(results[index] as Result)
      } catch (error) {
        for (const { settle } of batch) settle.reject(error)
      }
    }
    running = false
  }

  return (item) => {
    const settle = Promise.withResolvers<Result>()
    waiting.push({ item, settle })
    if (!running) void run()
    return settle.promise
  }
}
