/** What is to happen when, in simulated time. */
export class Agenda {
  now = 0
  readonly #heap: { readonly at: number; readonly order: number; readonly happen: () => void }[] = []
  #order = 0

  at(at: number, happen: () => void): void {
    const heap = this.#heap
    const entry = { at: Math.max(at, this.now), order: this.#order++, happen }
    let index = heap.length
    for (; index > 0; ) {
      const above = (index - 1) >> 1
      const parent = heap[above]
      if (parent === undefined || !isBefore(entry, parent)) break
      heap[index] = parent
      index = above
    }
    heap[index] = entry
  }

  in(ms: number, happen: () => void): void {
    this.at(this.now + ms, happen)
  }

  /** Until nothing is left to happen, or that time has come. */
  run(untilMs: number): void {
    for (let first = this.#heap[0]; first && first.at <= untilMs; first = this.#heap[0]) {
      this.#removeFirst()
      this.now = first.at
      first.happen()
    }
    this.now = untilMs
  }

  #removeFirst(): void {
    const heap = this.#heap
    const last = heap.pop()
    if (last === undefined || heap.length === 0) return
    let index = 0
    for (;;) {
      const [left, right] = [heap[2 * index + 1], heap[2 * index + 2]]
      const side = left && right && isBefore(right, left) ? 2 : 1
      const child = side === 2 ? right : left
      if (child === undefined || !isBefore(child, last)) break
      heap[index] = child
      index = 2 * index + side
    }
    heap[index] = last
  }
}

const isBefore = (a: { at: number; order: number }, b: { at: number; order: number }): boolean =>
  a.at < b.at || (a.at === b.at && a.order < b.order)

/** First in, first out, however long it becomes. */
export class Line<T> {
  #items: T[] = []
  #head = 0

  push(item: T): void {
    this.#items.push(item)
  }

  shift(): T | undefined {
    const item = this.#items[this.#head++]
    if (this.#head > 1000 && 2 * this.#head > this.#items.length) {
      this.#items = this.#items.slice(this.#head)
      this.#head = 0
    }
    if (item === undefined) this.#head = this.#items.length
    return item
  }
}

/** A number that goes up and down, and how high it was. */
export class Gauge {
  value = 0
  most = 0
  /** When it changed last. */
  busyUntil = 0
  /** When, after that time, it was first no more than usual. */
  cameDownAt: number | undefined
  readonly #after: { readonly until: number; readonly usual: number } | undefined

  constructor(after?: { readonly until: number; readonly usual: number }) {
    this.#after = after
  }

  /** Of the number over time, in milliseconds. */
  area = 0

  add(change: number, now: number): void {
    this.area += this.value * (now - this.busyUntil)
    this.value += change
    this.most = Math.max(this.most, this.value)
    this.busyUntil = now
    if (this.#after && now >= this.#after.until && this.value <= this.#after.usual) this.cameDownAt ??= now
  }
}
