/** A reader of the Native DICOM Model, so that what the product writes is not read by itself: small, and strict. */

/** An element with its attributes and what is in it. */
interface XmlElement {
  readonly name: string
  readonly attributes: Readonly<Record<string, string>>
  readonly children: readonly XmlElement[]
  readonly text: string
}

export interface ReadAttribute {
  readonly tag: string
  readonly vr: string
  readonly keyword?: string
  readonly privateCreator?: string
  readonly Value?: readonly unknown[]
  readonly BulkDataURI?: string
  readonly InlineBinary?: string
}

const name = String.raw`[A-Za-z][\w:.-]*`
const tagPattern = new RegExp(String.raw`<(/?)(${name})((?:\s+${name}\s*=\s*"[^"<]*")*)\s*(/?)>`, 'y')
const textPattern = /[^<]+/y
const charPattern = /^[\t\n\r\u0020-\ud7ff\ue000-\ufffd\u{10000}-\u{10ffff}]*$/u

/** The attributes of a document. Throws for anything that is not well-formed or not of the schema in PS3.19 A.1.6. */
export function readNativeXml(document: string): ReadAttribute[] {
  if (!charPattern.test(document)) throw new Error('characters that XML 1.0 does not have')
  const root = parseXml(document.replace(/^<\?xml version="1\.0" encoding="(UTF-8|ISO-8859-1)"\?>\s*/, '').trim())
  expectName(root, 'NativeDicomModel')
  if (root.attributes.xmlns !== 'http://dicom.nema.org/PS3.19/models/NativeDICOM') throw new Error('namespace')
  if (root.attributes['xml:space'] !== 'preserve') throw new Error('xml:space')
  return root.children.map(readAttribute)
}

function parseXml(document: string): XmlElement {
  const stack: { name: string; attributes: Record<string, string>; children: XmlElement[]; text: string }[] = [
    { name: '', attributes: {}, children: [], text: '' },
  ]
  for (let at = 0; at < document.length; ) {
    textPattern.lastIndex = at
    tagPattern.lastIndex = at
    const open = stack.at(-1)
    const [text] = textPattern.exec(document) ?? []
    const [markup, closing, element = '', attributes = '', empty] =
      (text === undefined && tagPattern.exec(document)) || []
    if (open === undefined || (text === undefined && markup === undefined)) throw new Error(`not well-formed at ${at}`)
    if (text !== undefined) open.text += unescaped(text)
    else if (closing) {
      if (open.name !== element) throw new Error(`${element} closes ${open.name}`)
      stack.pop()
      stack.at(-1)?.children.push(open)
    } else {
      const started = { name: element, attributes: readAttributes(attributes), children: [], text: '' }
      if (empty) open.children.push(started)
      else stack.push(started)
    }
    at += (text ?? markup ?? '').length
  }
  const [root] = stack[0]?.children ?? []
  if (stack.length !== 1 || stack[0]?.children.length !== 1 || root === undefined) throw new Error('not one root')
  return root
}

function readAttributes(text: string): Record<string, string> {
  const pairs = [...text.matchAll(new RegExp(String.raw`(${name})\s*=\s*"([^"]*)"`, 'g'))]
  const attributes = pairs.map(
    ([, key = '', value = '']) => [key, unescaped(value.replaceAll(/[\t\n\r]/g, ' '))] as const,
  )
  if (new Set(attributes.map(([key]) => key)).size < attributes.length) throw new Error('an attribute twice')
  return Object.fromEntries(attributes)
}

const entities: Readonly<Record<string, string>> = { amp: '&', lt: '<', gt: '>', quot: '"', apos: "'" }

/** As a parser of XML does it: line ends first. */
function unescaped(text: string): string {
  return text.replaceAll(/\r\n?/g, '\n').replaceAll(/&([^;]*);?/g, (all, entity: string) => {
    const code = /^#(\d+)$/.exec(entity)?.[1]
    const character = code === undefined ? entities[entity] : String.fromCodePoint(Number(code))
    if (character === undefined || !all.endsWith(';')) throw new Error(`no entity: ${all}`)
    return character
  })
}

function readAttribute(element: XmlElement): ReadAttribute {
  expectName(element, 'DicomAttribute')
  const { tag = '', vr = '', keyword, privateCreator, ...others } = element.attributes
  if (!/^[0-9A-F]{8}$/.test(tag) || !/^[A-Z]{2}$/.test(vr) || Object.keys(others).length > 0)
    throw new Error(`${tag} ${vr}`)
  return {
    tag,
    vr,
    ...(keyword !== undefined && { keyword }),
    ...(privateCreator !== undefined && { privateCreator }),
    ...readContent(vr, element.children),
  }
}

function readContent(vr: string, children: readonly XmlElement[]): Partial<ReadAttribute> {
  const [first] = children
  if (first === undefined) return {}
  if (first.name === 'BulkData' && children.length === 1)
    return { BulkDataURI: first.attributes.uri ?? first.attributes.uuid ?? '' }
  if (first.name === 'InlineBinary' && children.length === 1) return { InlineBinary: first.text }
  const expected = vr === 'SQ' ? 'Item' : vr === 'PN' ? 'PersonName' : 'Value'
  children.forEach((child, at) => {
    expectName(child, expected)
    if (child.attributes.number !== String(at + 1)) throw new Error(`number ${child.attributes.number}`)
  })
  return { Value: children.map((child) => readValue(vr, child)) }
}

function readValue(vr: string, element: XmlElement): unknown {
  if (vr === 'SQ') return element.children.map(readAttribute)
  if (vr === 'PN') return Object.fromEntries(element.children.map((group) => [group.name, readGroup(group)]))
  if (element.children.length > 0) throw new Error('elements in a Value')
  return element.text
}

const components = ['FamilyName', 'GivenName', 'MiddleName', 'NamePrefix', 'NameSuffix']

function readGroup(group: XmlElement): string {
  if (!['Alphabetic', 'Ideographic', 'Phonetic'].includes(group.name)) throw new Error(group.name)
  const places = group.children.map((child) => components.indexOf(child.name))
  if (places.some((place, at) => place <= (places[at - 1] ?? -1))) throw new Error('components out of order')
  const texts = components.map((component) => group.children.find((child) => child.name === component)?.text ?? '')
  return texts.join('^').replace(/\^+$/, '')
}

function expectName(element: XmlElement, expected: string): void {
  if (element.name !== expected) throw new Error(`${element.name} where ${expected} belongs`)
}
