import { openPart10 } from '../dicom/part10-open.ts'
import type { ByteReader } from '../dicom/part10-window.ts'
import { Attributes } from './attributes.ts'
import { fromPalette, toRgb } from './colour.ts'
import { readDocument } from './document.ts'
import { choosePictureType, encodePicture } from './encode.ts'
import { readFrame } from './frame.ts'
import { readGreyTransform, toGrey } from './grey.ts'
import { type Frame, readLayout } from './layout.ts'
import type { Picture } from './picture.ts'
import { reading } from './refusals.ts'
import type { Rendered, RenderLimits, RenderRequest } from './request.ts'
import { parseViewport, throughViewport } from './viewport.ts'
import { parseWindow } from './window.ts'

/**
 * Makes a picture of one frame of an instance, or gives the document that the instance encapsulates.
 *
 * Throws `not-acceptable` when none of the media types can be had or no picture is made of such an instance,
 * `not-found` for a frame that it does not have, `bad-request` for a viewport that does not suit the image, and
 * `bad-gateway` when what is stored is damaged.
 */
export async function render(request: RenderRequest, limits: RenderLimits): Promise<Rendered> {
  const file = readerOf(request.file)
  const attributes = await reading(async () => Attributes.read(await openPart10(file), request.frame))
  const document = await reading(() => readDocument(file, attributes, request.mediaTypes))
  if (document !== undefined) return document
  const layout = readLayout(attributes, limits.maxPixels)
  const contentType = choosePictureType(request.mediaTypes)
  const frame = await reading(() => readFrame(file, request.frame, layout))
  const { viewport, quality } = request.parameters
  const whole = presented(frame, attributes, request.parameters.window)
  const shown = viewport === undefined ? whole : throughViewport(whole, parseViewport(viewport), limits.maxPixels)
  const bytes = await encodePicture(shown, contentType, quality === undefined ? undefined : Number(quality))
  return { contentType, bytes }
}

/** The stages of PS3.4 N.2 for what the frame is; a window is for greys only. */
function presented(frame: Frame, attributes: Attributes, window: string | undefined): Picture {
  const { rows: height, columns: width, photometricInterpretation } = frame.layout
  if (photometricInterpretation === 'PALETTE COLOR') {
    return { width, height, channels: 3, pixels: fromPalette(frame, attributes) }
  }
  if (frame.layout.samplesPerPixel === 3) return { width, height, channels: 3, pixels: toRgb(frame) }
  const transform = readGreyTransform(attributes, frame.layout)
  const named = window === undefined ? undefined : parseWindow(window)
  return { width, height, channels: 1, pixels: toGrey(frame, transform, named) }
}

function readerOf(file: Uint8Array): ByteReader {
  const bytes = Buffer.from(file.buffer, file.byteOffset, file.byteLength)
  return { size: bytes.length, read: async (offset, length) => bytes.subarray(offset, offset + length) }
}
