// What Node 20 lacks of what js-libp2p and helia expect of Node 22; on Node 22 this file changes nothing.
// Two of them are stubs: they are looked up while a HTTP library loads, and never called here.
import { createRequire } from 'node:module'

const require = createRequire(import.meta.url)
const zlib = require('node:zlib')
const workers = require('node:worker_threads')

Promise.withResolvers ??= function () {
  let resolve, reject
  const promise = new this((yes, no) => { resolve = yes; reject = no })
  return { promise, resolve, reject }
}
zlib.createZstdDecompress ??= () => { throw new Error('no zstd in this version of Node') }
workers.markAsUncloneable ??= () => {}
globalThis.WebSocket ??= class WebSocket extends EventTarget {}
globalThis.CloseEvent ??= class CloseEvent extends Event {}
