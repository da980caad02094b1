import codecs from 'dcmjs-codecs'
import type { Frame, PixelLayout } from './layout.ts'
import { damaged, unrenderable } from './refusals.ts'
import { readStreamHeader, type StreamHeader } from './stream-header.ts'

const { NativeCodecs, Context } = codecs
type Context = InstanceType<typeof Context>

// What decoders say of damaged streams is in the errors they throw; the console is for others.
codecs.log.setLevel('silent')

interface Decoder {
  readonly decode: (context: Context) => Context
  /** Bits of a decoded sample: 8 or 16. */
  readonly width: (header: StreamHeader) => 8 | 16
  /** Whether a stream without its end is decoded as if nothing was missing. */
  readonly forgiving: boolean
}

const byPrecision = ({ precision }: StreamHeader) => (precision <= 8 ? 8 : 16)

const jpeg: Decoder = { decode: (it) => NativeCodecs.decodeJpeg(it), width: byPrecision, forgiving: true }
const jpegLs: Decoder = { decode: (it) => NativeCodecs.decodeJpegLs(it), width: byPrecision, forgiving: false }
const jpeg2000: Decoder = { decode: (it) => NativeCodecs.decodeJpeg2000(it), width: byPrecision, forgiving: false }
const htJpeg2000: Decoder = {
  decode: (it) => NativeCodecs.decodeHtJpeg2000(it),
  // Into eight bits it puts no negative values.
  width: (header) => (header.signed ? 16 : byPrecision(header)),
  forgiving: true,
}

/** By transfer syntax, PS3.5 annex A.4. */
const decoders: Readonly<Record<string, Decoder>> = {
  '1.2.840.10008.1.2.4.50': jpeg,
  '1.2.840.10008.1.2.4.51': jpeg,
  '1.2.840.10008.1.2.4.57': jpeg,
  '1.2.840.10008.1.2.4.70': jpeg,
  '1.2.840.10008.1.2.4.80': jpegLs,
  '1.2.840.10008.1.2.4.81': jpegLs,
  '1.2.840.10008.1.2.4.90': jpeg2000,
  '1.2.840.10008.1.2.4.91': jpeg2000,
  '1.2.840.10008.1.2.4.201': htJpeg2000,
  '1.2.840.10008.1.2.4.202': htJpeg2000,
  '1.2.840.10008.1.2.4.203': htJpeg2000,
}

export const hasDecoder = (transferSyntaxUID: string): boolean => transferSyntaxUID in decoders

/**
 * Decodes one frame. Throws `bad-gateway` for a stream that is damaged or is not of the image that the dataset
 * describes.
 */
export async function decodeStream(transferSyntaxUID: string, stream: Buffer, layout: PixelLayout): Promise<Frame> {
  const decoder = decoders[transferSyntaxUID]
  if (decoder === undefined) throw unrenderable(`its transfer syntax is ${transferSyntaxUID}`)
  const codestream = withoutBoxes(stream)
  const header = readStreamHeader(codestream)
  checkAgainst(layout, header)
  if (decoder.forgiving && !endsWithMarker(codestream)) throw damaged('its pixel data breaks off')
  const width = decoder.width(header)
  const { rows, columns, samplesPerPixel } = layout
  const context = contextOf({ rows, columns, samplesPerPixel, bits: width, precision: header.precision })
  context.setPixelRepresentation(header.signed ? 1 : 0)
  context.setEncodedBuffer(codestream)
  const decoded = await coded(() => decoder.decode(context).getDecodedBuffer())
  if (decoded.length !== (rows * columns * samplesPerPixel * width) / 8) throw damaged('its pixel data is incomplete')
  return {
    samples: width === 8 ? decoded : new Uint16Array(decoded.buffer),
    layout: { ...layout, ...bitsOf(layout, width), ...coloursOf(layout), planar: header.planar },
  }
}

/** As baseline JPEG, without subsampling of colours. `samples`: grey or red, green and blue of each pixel. */
export async function encodeJpeg(picture: CodedPicture, quality: number): Promise<Uint8Array> {
  const context = contextOf({ ...picture, bits: 8, precision: 8 })
  context.setDecodedBuffer(picture.samples)
  const sampleFactor = codecs.constants.JpegSampleFactor.Sf444
  return coded(() => NativeCodecs.encodeJpeg(context, { lossy: true, quality, sampleFactor }).getEncodedBuffer())
}

interface CodedPicture {
  readonly rows: number
  readonly columns: number
  readonly samplesPerPixel: 1 | 3
  readonly samples: Uint8Array
}

async function coded(work: () => Uint8Array | undefined): Promise<Uint8Array> {
  if (!NativeCodecs.isInitialized()) await NativeCodecs.initializeAsync()
  try {
    return work() ?? new Uint8Array()
  } catch (error) {
    // They may be left in any state: the next frame gets new ones.
    NativeCodecs.release()
    throw damaged('its pixel data cannot be decoded', error)
  }
}

interface ContextOptions extends Omit<CodedPicture, 'samples'> {
  readonly bits: 8 | 16
  readonly precision: number
}

const contextOf = ({ rows, columns, samplesPerPixel, bits, precision }: ContextOptions): Context =>
  new Context({
    width: columns,
    height: rows,
    bitsAllocated: bits,
    bitsStored: precision,
    samplesPerPixel,
    pixelRepresentation: 0,
    planarConfiguration: 0,
    // Colours are converted here, as the dataset says, and not as a decoder guesses.
    photometricInterpretation: samplesPerPixel === 1 ? 'MONOCHROME2' : 'RGB',
  })

function checkAgainst({ rows, columns, samplesPerPixel }: PixelLayout, header: StreamHeader): void {
  if (header.rows !== rows || header.columns !== columns || header.components !== samplesPerPixel) {
    const stream = `${header.columns} × ${header.rows} pixels of ${header.components} sample(s)`
    throw damaged(`its pixel data has ${stream}, its dataset says ${columns} × ${rows} of ${samplesPerPixel}`)
  }
  if (header.precision > 16) throw unrenderable(`its samples have ${header.precision} bits`)
  if (header.components > 1 && header.precision > 8) throw unrenderable('its compressed colours have more than 8 bits')
  if (header.subsampled) throw unrenderable('its colours are stored in fewer pixels than its brightness')
}

/** In a stream the bits of a sample are the lowest ones. */
const bitsOf = ({ bitsStored }: PixelLayout, width: 8 | 16) => {
  const stored = Math.min(bitsStored, width)
  return { bitsAllocated: width, bitsStored: stored, highBit: stored - 1 }
}

/** JPEG 2000 undoes its own colour transform, and what JPEG stores of colours in fewer pixels is spread out again. */
const coloursOf = ({ photometricInterpretation }: PixelLayout) => ({
  photometricInterpretation: photometricInterpretation
    .replace(/^YBR_(RCT|ICT)$/, 'RGB')
    .replace(/^YBR_FULL_422$/, 'YBR_FULL'),
})

/** End of image or of codestream; padding may follow. */
const endsWithMarker = (stream: Buffer): boolean => stream.subarray(-16).includes(Buffer.from([0xff, 0xd9]))

/** A JPEG 2000 codestream that was stored as a JP2 file (ITU-T T.800 annex I): what is in its box `jp2c`. */
function withoutBoxes(stream: Buffer): Buffer {
  if (stream.length < 12 || stream.toString('latin1', 4, 8) !== 'jP  ') return stream
  for (let at = 0; at + 8 <= stream.length; ) {
    const length = stream.readUInt32BE(at)
    if (stream.toString('latin1', at + 4, at + 8) === 'jp2c') return stream.subarray(at + (length === 1 ? 16 : 8))
    if (length < 8) break
    at += length
  }
  return stream
}
