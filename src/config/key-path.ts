/** Where a value stands in the configuration file. */
export type KeyPath = readonly (string | number)[]

/** As its user writes it: `clusters[1].timeoutMs`. */
export const showPath = (path: KeyPath): string =>
  path.reduce<string>((text, key) => (typeof key === 'number' ? `${text}[${key}]` : text ? `${text}.${key}` : key), '')

/** The value at a path of a parsed file, or `undefined`. */
export function valueAt(root: unknown, path: KeyPath): unknown {
  return path.reduce<unknown>(
    (node, key) =>
      typeof node === 'object' && node !== null ? (node as Record<string | number, unknown>)[key] : undefined,
    root,
  )
}

/** A copy of the tree with another value at a path that exists. */
export function withValueAt(root: unknown, [key, ...rest]: KeyPath, value: unknown): unknown {
  if (key === undefined) return value
  const copy = Array.isArray(root) ? [...root] : { ...(root as object) }
  const slots = copy as Record<string | number, unknown>
  slots[key] = withValueAt(slots[key], rest, value)
  return copy
}
