/** What is seen: rows from the top, pixels from the left, eight bits for each channel of a pixel. */
export interface Picture {
  readonly width: number
  readonly height: number
  /** Grey, or red, green and blue. */
  readonly channels: 1 | 3
  readonly pixels: Uint8Array
}
