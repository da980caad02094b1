/** Who said it, and when. */
export interface Said {
  /** Id of a site. */
  readonly site: string
  readonly at: Date
}
