// A peer driven by JSON lines: requests {"id", "do", …} on stdin, answers {"id", "done"} or {"id", "failed"} on stdout.
// In JSON, binary is hex and money is decimal text, both marked: {"hex": "…"}, {"money": "…"}.
import { createHash } from 'node:crypto'
import { createInterface } from 'node:readline'
import { unixfs } from '@helia/unixfs'
import { multiaddr } from '@multiformats/multiaddr'
import { bytesToHex, hexToBytes } from '@noble/hashes/utils.js'
import { peerIdFromString } from '@libp2p/peer-id'
import { CID } from 'multiformats/cid'
import { buy, sell } from './negotiate.mjs'
import { openGatewayClient, openNode } from './node.mjs'
import { checkVectors } from './vectors.mjs'
import { dealId, recover, same, seal, structDigest, unseal } from './wire.mjs'

const DEAL = '/lilypad/deal/1'
let node

const commands = {
  async open (options) {
    node = await openNode(options)
    return { peer: node.libp2p.peerId.toString(), address: node.address, places: node.places }
  },

  async dial ({ place }) {
    const connection = await node.libp2p.dial(multiaddr(place))
    return { peer: connection.remotePeer.toString(), security: connection.encryption, muxer: connection.multiplexer }
  },

  async peers () {
    return node.libp2p.getPeers().map(String)
  },

  async ping ({ peer }) {
    return await node.libp2p.services.ping.ping(peerIdFromString(peer))
  },

  async identify ({ peer }) {
    const [connection] = node.libp2p.getConnections(peerIdFromString(peer))
    const { protocols, agentVersion, listenAddrs, peerId } = await node.libp2p.services.identify.identify(connection)
    return { protocols, agent: agentVersion, places: listenAddrs.map(String), peer: peerId.toString() }
  },

  // where a peer can be dialled, asked through the DHT
  async find ({ peer, seconds = 20 }) {
    const { id, multiaddrs } = await node.libp2p.peerRouting.findPeer(peerIdFromString(peer), { signal: AbortSignal.timeout(seconds * 1000) })
    return { peer: id.toString(), places: multiaddrs.map(String) }
  },

  async publish ({ offer }) {
    return await node.publish(offer)
  },

  // an offer of that type by that author, signed and unwrapped
  async hear ({ type, author, seconds = 15 }) {
    return await soon(seconds, () => node.gossip.find(({ message, author: by }) => message.type === type && same(by, author)))
  },

  async buy ({ peer, ...wanted }) {
    const { talk, deal, signature } = await buy(node, peerIdFromString(peer), wanted)
    const signer = recover(structDigest(node.domain, 'Deal', deal), signature)
    return { moves: talk.moves, deal, id: dealId(node.domain, deal), signature, signer }
  },

  async sell (prices) {
    const { talk, deal, job } = await sell(node, prices)
    return { moves: talk.moves, deal, id: dealId(node.domain, deal), job }
  },

  async say ({ peer, message }) {
    await node.mail.send(peerIdFromString(peer), DEAL, seal(message, node.domain, node.secret))
  },

  // a message about a deal, its signer proven to be the peer at the other end
  async told ({ peer, type, seconds }) {
    const letter = await node.mail.expect(({ from, frame, protocol }) =>
      protocol === DEAL && from.toString() === peer && unseal(frame, node.domain).message.type === type, seconds)
    return unseal(letter.frame, node.domain)
  },

  async signDeal ({ deal }) {
    return seal({ type: 'locked', deal, signature: new Uint8Array(65) }, node.domain, node.secret)
  },

  async add ({ bytes }) {
    return (await unixfs(node.helia).addBytes(bytes)).toString()
  },

  async fetchByBitswap (wanted) {
    return await read(unixfs(node.helia), wanted)
  },

  async fetchByHttp ({ url, ...wanted }) {
    const client = await openGatewayClient(url)
    try {
      return await read(unixfs(client), wanted)
    } finally {
      await client.stop()
    }
  },

  async vectors ({ path }) {
    return checkVectors(path)
  }
}

// every file below a CID: its size and the hash of its bytes; helia hashes each block on its way in
async function read (fs, { cid, seconds = 30 }) {
  const signal = AbortSignal.timeout(seconds * 1000)
  const files = {}
  const started = performance.now()
  const visit = async (at, path) => {
    const { type } = await fs.stat(at, { signal })
    if (type === 'directory') {
      const entries = []
      for await (const entry of fs.ls(at, { signal })) entries.push(visit(entry.cid, `${path}/${entry.name}`))
      await Promise.all(entries)
      return
    }
    const hash = createHash('sha256')
    let size = 0
    for await (const chunk of fs.cat(at, { signal })) {
      hash.update(chunk)
      size += chunk.length
    }
    files[path] = { size, sha256: hash.digest('hex') }
  }
  await visit(CID.parse(cid), '')
  return { files, seconds: (performance.now() - started) / 1000 }
}

async function soon (seconds, look) {
  const until = Date.now() + seconds * 1000
  while (Date.now() < until) {
    const found = look()
    if (found !== undefined) return found
    await new Promise(resolve => { setTimeout(resolve, 20) })
  }
  throw new Error(`nothing came within ${seconds} s`)
}

function fromJson (key, value) {
  if (typeof value?.hex === 'string') return hexToBytes(value.hex)
  if (typeof value?.money === 'string') return BigInt(value.money)
  return value
}

function toJson (key, value) {
  if (typeof value === 'bigint') return { money: value.toString() }
  if (value instanceof Uint8Array) return { hex: bytesToHex(value) }
  return value
}

function answer (reply) {
  process.stdout.write(JSON.stringify(reply, toJson) + '\n')
}

for await (const line of createInterface({ input: process.stdin })) {
  const { id, do: name, ...options } = JSON.parse(line, fromJson)
  Promise.resolve()
    .then(() => commands[name](options))
    .then(done => answer({ id, done: done ?? null }), error => answer({ id, failed: `${error.name}: ${error.message}`, stack: error.stack }))
}
await node?.helia.stop()
process.exit(0)
