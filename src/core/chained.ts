/**
 * What was read of a source already, then what is left of it. Leaving the loop, early or at its end, lets the source go;
 * one that was never begun does not notice that it is left.
 */
export async function* chained<T>(begun: readonly T[], rest?: AsyncIterator<T>): AsyncGenerator<T, void, undefined> {
  try {
    yield* begun
    for (let step = await rest?.next(); step && !step.done; step = await rest?.next()) yield step.value
  } finally {
    await rest?.return?.()
  }
}
