const units = [
  ['d', 86_400_000],
  ['h', 3_600_000],
  ['min', 60_000],
] as const

/** A duration in milliseconds as people are told it: in the largest unit there is one of, rounded down. */
export function age(ms: number): string {
  const [name, length] = units.find(([, it]) => ms >= it) ?? ['s', 1000]
  return `${Math.floor(ms / length)} ${name}`
}
