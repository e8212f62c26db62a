// Frames on libp2p streams, and one inbox for whatever arrives: the section "Connections" of docs/protocol.md.
export const PROTOCOLS = ['/lilypad/negotiate/1', '/lilypad/deal/1', '/lilypad/mediate/1']
const MOST = 256 * 1024

export class Mail {
  constructor (libp2p) {
    this.libp2p = libp2p
    this.streams = new Map()
    this.letters = []
    this.waiting = []
  }

  async open () {
    for (const protocol of PROTOCOLS) {
      await this.libp2p.handle(protocol, (stream, connection) => { this.#take(stream, connection.remotePeer) })
    }
  }

  async send (peer, protocol, frame) {
    const key = `${peer} ${protocol}`
    let stream = this.streams.get(key)
    if (stream?.status !== 'open') {
      stream = await this.libp2p.dialProtocol(peer, protocol)
      this.#take(stream, peer)
    }
    const whole = new Uint8Array(4 + frame.length)
    new DataView(whole.buffer).setUint32(0, frame.length)
    whole.set(frame, 4)
    if (!stream.send(whole)) await stream.onDrain()
  }

  // the first letter, here or to come, that the test accepts; it is taken out of the inbox
  expect (test, seconds = 10) {
    const at = this.letters.findIndex(test)
    if (at >= 0) return Promise.resolve(this.letters.splice(at, 1)[0])
    return new Promise((resolve, reject) => {
      const waiter = { test, resolve }
      this.waiting.push(waiter)
      setTimeout(() => {
        this.waiting = this.waiting.filter(other => other !== waiter)
        reject(new Error(`nothing that was awaited came within ${seconds} s`))
      }, seconds * 1000).unref()
    })
  }

  #take (stream, peer) {
    this.streams.set(`${peer} ${stream.protocol}`, stream)
    this.#read(stream, peer).catch(error => stream.abort(error))
  }

  async #read (stream, peer) {
    let buffer = new Uint8Array(0)
    for await (const chunk of stream) {
      buffer = join(buffer, chunk.subarray())
      while (buffer.length >= 4) {
        const size = new DataView(buffer.buffer, buffer.byteOffset).getUint32(0)
        if (size > MOST) throw new Error('a frame that is too long')
        if (buffer.length < 4 + size) break
        this.#deliver({ from: peer, protocol: stream.protocol, frame: buffer.slice(4, 4 + size) })
        buffer = buffer.slice(4 + size)
      }
    }
  }

  #deliver (letter) {
    const at = this.waiting.findIndex(({ test }) => test(letter))
    if (at < 0) this.letters.push(letter)
    else this.waiting.splice(at, 1)[0].resolve(letter)
  }
}

function join (one, other) {
  const whole = new Uint8Array(one.length + other.length)
  whole.set(one)
  whole.set(other, one.length)
  return whole
}
