// The part of msgpack that the protocol uses: maps with text keys, arrays, text, binary, integers, booleans.
// Written in the shortest form, so that equal values give equal bytes.

const utf8 = new TextEncoder()
const text = new TextDecoder('utf-8', { fatal: true })

export function encode (value) {
  const out = []
  write(out, value)
  return Uint8Array.from(out)
}

function write (out, value) {
  if (value === false || value === true) {
    out.push(value ? 0xc3 : 0xc2)
  } else if (typeof value === 'number' || typeof value === 'bigint') {
    writeInteger(out, BigInt(value))
  } else if (typeof value === 'string') {
    const bytes = utf8.encode(value)
    head(out, bytes.length, [[32, 0xa0], [256, 0xd9, 1], [65536, 0xda, 2], [2 ** 32, 0xdb, 4]])
    push(out, bytes)
  } else if (value instanceof Uint8Array) {
    head(out, value.length, [[256, 0xc4, 1], [65536, 0xc5, 2], [2 ** 32, 0xc6, 4]])
    push(out, value)
  } else if (Array.isArray(value)) {
    head(out, value.length, [[16, 0x90], [65536, 0xdc, 2], [2 ** 32, 0xdd, 4]])
    value.forEach(item => write(out, item))
  } else {
    const pairs = Object.entries(value)
    head(out, pairs.length, [[16, 0x80], [65536, 0xde, 2], [2 ** 32, 0xdf, 4]])
    pairs.forEach(([key, item]) => { write(out, key); write(out, item) })
  }
}

function writeInteger (out, value) {
  if (value < 0n || value >= 1n << 64n) throw new Error(`${value} is no integer of this protocol`)
  if (value < 128n) out.push(Number(value))
  else if (value < 1n << 8n) out.push(0xcc, Number(value))
  else if (value < 1n << 16n) { out.push(0xcd); bigEndian(out, value, 2) } else if (value < 1n << 32n) { out.push(0xce); bigEndian(out, value, 4) } else { out.push(0xcf); bigEndian(out, value, 8) }
}

function head (out, size, forms) {
  const [, mark, width] = forms.find(([below]) => size < below)
  if (width === undefined) out.push(mark | size)
  else { out.push(mark); bigEndian(out, BigInt(size), width) }
}

function bigEndian (out, value, width) {
  for (let at = width - 1; at >= 0; at--) out.push(Number((value >> BigInt(8 * at)) & 0xffn))
}

function push (out, bytes) {
  for (const byte of bytes) out.push(byte)
}

// Integers come back as numbers where a number holds them exactly, else as bigints.
export function decode (bytes) {
  const reader = new Reader(bytes)
  const value = reader.value()
  if (reader.at !== bytes.length) throw new Error('bytes after the end of the msgpack value')
  return value
}

class Reader {
  constructor (bytes) {
    this.bytes = bytes
    this.at = 0
  }

  value () {
    const mark = this.integer(1)
    if (mark < 0x80) return mark
    if (mark < 0x90) return this.map(mark & 0x0f)
    if (mark < 0xa0) return this.array(mark & 0x0f)
    if (mark < 0xc0) return text.decode(this.take(mark & 0x1f))
    switch (mark) {
      case 0xc2: return false
      case 0xc3: return true
      case 0xc4: case 0xc5: case 0xc6: return this.take(this.integer(1 << (mark - 0xc4))).slice()
      case 0xcc: case 0xcd: case 0xce: case 0xcf: return this.integer(1 << (mark - 0xcc))
      case 0xd9: case 0xda: case 0xdb: return text.decode(this.take(this.integer(1 << (mark - 0xd9))))
      case 0xdc: case 0xdd: return this.array(this.integer(mark === 0xdc ? 2 : 4))
      case 0xde: case 0xdf: return this.map(this.integer(mark === 0xde ? 2 : 4))
      default: throw new Error(`msgpack type 0x${mark.toString(16)} does not occur in this protocol`)
    }
  }

  map (size) {
    const found = {}
    for (let count = 0; count < size; count++) {
      const key = this.value()
      if (typeof key !== 'string' || Object.hasOwn(found, key)) throw new Error('a key twice, or no text')
      found[key] = this.value()
    }
    return found
  }

  array (size) {
    return Array.from({ length: Math.min(size, this.bytes.length) }, () => this.value())
  }

  integer (width) {
    let value = 0n
    for (const byte of this.take(width)) value = (value << 8n) | BigInt(byte)
    return value <= BigInt(Number.MAX_SAFE_INTEGER) ? Number(value) : value
  }

  take (size) {
    if (this.at + size > this.bytes.length) throw new Error('msgpack that stops halfway')
    this.at += size
    return this.bytes.subarray(this.at - size, this.at)
  }
}
