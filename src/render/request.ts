/** One picture to be made. */
export interface RenderRequest {
  /** The whole Part 10 file. It is copied, and belongs to the caller. */
  readonly file: Uint8Array
  /** Counted from 1. */
  readonly frame: number
  /** What may be made, the best first: `image/jpeg`, `image/png`, the types of documents, or any type by asterisks. */
  readonly mediaTypes: readonly string[]
  /** `window`, `viewport` and `quality` as `renderingParameters` gives them (PS3.18 8.3.5); others are ignored. */
  readonly parameters: Readonly<Record<string, string>>
}

export interface Rendered {
  readonly contentType: string
  readonly bytes: Uint8Array
}

export interface RenderLimits {
  /** In a frame, and in the picture made of it. */
  readonly maxPixels: number
}
