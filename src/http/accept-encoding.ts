/**
 * Whether gzip is what a client likes best, RFC 9110 12.5.3: it has to be named, or meant by `*`, with a weight above
 * zero, and not below that of the plain content where that is named.
 */
export function prefersGzip(header: string | undefined): boolean {
  const weights = weightsIn(header ?? '')
  const gzip = weights.get('gzip') ?? weights.get('x-gzip') ?? weights.get('*') ?? 0
  return gzip > 0 && gzip >= (weights.get('identity') ?? 0)
}

/** A coding whose weight is none is passed over. */
function weightsIn(header: string): ReadonlyMap<string, number> {
  const codings = header.split(',').flatMap((member) => {
    const [, coding = '', weight = '1'] =
      /^\s*([\w!#$%&'*+.^`|~-]+)\s*(?:;\s*q=(0(?:\.\d{0,3})?|1(?:\.0{0,3})?)\s*)?$/i.exec(member) ?? []
    return coding === '' ? [] : [[coding.toLowerCase(), Number(weight)] as const]
  })
  return new Map(codings)
}
