// One js-libp2p node with gossip and helia on it, for the loopback: no bootstrap list, no public gateway, no discovery.
import { noise } from '@chainsafe/libp2p-noise'
import { yamux } from '@chainsafe/libp2p-yamux'
import { withBitswap } from '@helia/bitswap'
import { withHTTP } from '@helia/http'
import { withLibp2pLight } from '@helia/libp2p'
import { generateKeyPair, privateKeyFromRaw } from '@libp2p/crypto/keys'
import { gossipsub } from '@libp2p/gossipsub'
import { identify } from '@libp2p/identify'
import { kadDHT, passthroughMapper } from '@libp2p/kad-dht'
import { ping } from '@libp2p/ping'
import { tcp } from '@libp2p/tcp'
import { multiaddr } from '@multiformats/multiaddr'
import { MemoryBlockstore } from 'blockstore-core'
import { MemoryDatastore } from 'datastore-core'
import { createHeliaLight } from 'helia'
import { Mail } from './frames.mjs'
import { addressOf, seal, unseal } from './wire.mjs'

const OFFERS = '/lilypad/1/resource-offers'
const JOBS = '/lilypad/1/job-offers'

export async function openNode ({ secret, chainId, vault, key = 'secp256k1', dht = false }) {
  // the peer's key and the chain's key are one
  const privateKey = secret === undefined ? await generateKeyPair(key) : privateKeyFromRaw(secret)
  const helia = withBitswap(withLibp2pLight(createHeliaLight({ blockstore: new MemoryBlockstore(), datastore: new MemoryDatastore() }), {
    privateKey,
    addresses: { listen: ['/ip4/127.0.0.1/tcp/0'] },
    transports: [tcp()],
    connectionEncrypters: [noise()],
    streamMuxers: [yamux()],
    connectionGater: { denyDialMultiaddr: () => false },
    services: {
      identify: identify({ maxOutboundStreams: 2 }), // the one that a new connection starts, and one that is asked for
      ping: ping(),
      pubsub: gossipsub({ allowPublishToZeroTopicPeers: true }),
      ...(dht ? { dht: kadDHT({ protocol: '/lilypad/kad/1.0.0', clientMode: false, peerInfoMapper: passthroughMapper }) } : {})
    }
  }))
  await helia.start()
  const node = new Node(helia, privateKey.raw, { chainId, vault })
  await node.open()
  return node
}

class Node {
  constructor (helia, secret, domain) {
    this.helia = helia
    this.libp2p = helia.libp2p
    this.secret = secret
    this.domain = domain
    const { type, publicKey } = this.libp2p.peerId
    this.address = type === 'secp256k1' ? addressOf(publicKey.raw) : new Uint8Array(20)
    this.mail = new Mail(this.libp2p)
    this.gossip = []
  }

  async open () {
    await this.mail.open()
    const { pubsub } = this.libp2p.services
    pubsub.addEventListener('message', ({ detail }) => {
      try {
        this.gossip.push({ topic: detail.topic, from: detail.from, ...unseal(detail.data, this.domain) })
      } catch (error) {
        this.gossip.push({ topic: detail.topic, error: error.message, message: {} })
      }
    })
    pubsub.subscribe(OFFERS)
    pubsub.subscribe(JOBS)
  }

  get places () {
    return this.libp2p.getMultiaddrs().map(String)
  }

  async publish (offer) {
    const topic = offer.type === 'job_offer' ? JOBS : OFFERS
    const { recipients } = await this.libp2p.services.pubsub.publish(topic, seal(offer, this.domain, this.secret))
    return recipients.length
  }
}

// a second helia, without libp2p: it asks one HTTP gateway and believes nothing that it has not hashed
export async function openGatewayClient (url) {
  const { hostname, port } = new URL(url)
  const helia = withHTTP(createHeliaLight({ blockstore: new MemoryBlockstore(), datastore: new MemoryDatastore() }), {
    delegatedRouters: [],
    recursiveGateways: [],
    allowInsecure: true,
    allowLocal: true
  })
  // helia asks its list of fallback gateways only after another router has answered, so this one is a router of its own
  helia.addRouter({
    name: 'one-gateway',
    async * findProviders (cid) {
      yield { id: cid, multiaddrs: [multiaddr(`/ip4/${hostname}/tcp/${port}/http`)], protocols: [], router: 'one-gateway' }
    }
  })
  await helia.start()
  return helia
}
