// Messages as bytes and back, their digests and signatures: the sections "Frames" and "Signatures" of docs/protocol.md.
// Money is a bigint, a map of a message is a plain object, binary is a Uint8Array.
import { secp256k1 } from '@noble/curves/secp256k1.js'
import { keccak_256 as keccak } from '@noble/hashes/sha3.js'
import { bytesToHex, concatBytes, hexToBytes, utf8ToBytes } from '@noble/hashes/utils.js'
import { decode as unpack, encode as pack } from './msgpack.mjs'
import { structs, tables } from './page.mjs'

export { keccak }

export const MOST_BYTES = 64 * 1024
// numbers that a msgpack integer can't hold
const WIDE = { money: 12, uint80: 10 }
const ENVELOPE = utf8ToBytes('\x19Lilypad signed message\n')
const MOVES = ['propose', 'counter', 'accept', 'outbid', 'confirm', 'bind', 'decline', 'walk', 'withdraw']
const OFFERS = { resource_offer: 'provider', mediator_offer: 'mediator', job_offer: 'creator', withdrawal: 'author' }
const ENVELOPED = [...MOVES, ...Object.keys(OFFERS), 'rechecked', 'committed', 'revealed']
const STATEMENTS = {
  bind: message => ['Deal', message.deal],
  locked: message => ['Deal', message.deal],
  begun: ({ deal }) => ['Started', { deal }],
  delivered: message => ['Result', { ...message, sealed: sealed(message.cid, message.salt) }],
  received: message => ['Receipt', message],
  billed: message => ['Bill', message],
  paid: message => ['Voucher', message],
  promised: ({ deal, round }) => vote({ deal, round, ruling: 0, grounds: new Uint8Array(32) }),
  judged: vote
}

// the struct's name for what a vote rests on is older than the message's
function vote ({ deal, round, ruling, grounds }) {
  return ['Vote', { deal, round, ruling, grounds, commitments: grounds }]
}

// --- fields -----------------------------------------------------------------------------------------------------------

export function encode (message) {
  return pack({ type: message.type, ...toWire(message.type, message) })
}

export function decode (bytes) {
  if (bytes.length > MOST_BYTES) throw new Error('a message that is too long')
  const { type, ...fields } = unpack(bytes)
  if (!tables.has(type)) throw new Error(`no message is called ${type}`)
  return { type, ...fromWire(type, fields) }
}

function toWire (table, value) {
  return Object.fromEntries(tables.get(table).map(({ name, type }) => [name, fieldToWire(type, value[name])]))
}

function fieldToWire (type, value) {
  if (value === undefined) throw new Error(`a field of type ${type} is missing`)
  const list = listOf(type)
  if (list !== null) return value.map(item => fieldToWire(list.of, item))
  if (type in WIDE) return hexToBytes(BigInt(value).toString(16).padStart(2 * WIDE[type], '0'))
  return tables.has(type) ? toWire(type, value) : value
}

function fromWire (table, value) {
  const fields = tables.get(table)
  const names = Object.keys(value)
  if (names.length !== fields.length || !fields.every(({ name }) => Object.hasOwn(value, name))) {
    throw new Error(`${table} has other fields than ${names}`)
  }
  return Object.fromEntries(fields.map(({ name, type }) => [name, fieldFromWire(type, value[name])]))
}

function fieldFromWire (type, value) {
  const list = listOf(type)
  if (list !== null) {
    check(Array.isArray(value) && value.length <= list.most, type)
    return value.map(item => fieldFromWire(list.of, item))
  }
  const [kind, most] = type.split(', at most ')
  const length = WIDE[kind] ?? lengthOf(kind)
  if (length !== undefined) {
    check(value instanceof Uint8Array && value.length === length, type)
    return kind in WIDE ? BigInt('0x' + bytesToHex(value)) : value
  }
  if (kind.startsWith('uint')) check(isInteger(value) && BigInt(value) < 1n << BigInt(kind.slice(4)), type)
  else if (kind === 'text') check(typeof value === 'string' && [...value].length <= Number(most), type)
  else if (kind === 'bool') check(typeof value === 'boolean', type)
  else return fromWire(kind, value)
  return value
}

function listOf (type) {
  const found = type.match(/^list of (.+), at most (\d+)$/)
  return found === null ? null : { of: found[1], most: Number(found[2]) }
}

// of a binary in bytes: an address, or `bytes` with a number
function lengthOf (kind) {
  if (kind === 'address') return 20
  const found = kind.match(/^bytes(\d+)$/)
  return found === null ? undefined : Number(found[1])
}

function isInteger (value) {
  return typeof value === 'bigint' || Number.isSafeInteger(value)
}

function check (good, type) {
  if (!good) throw new Error(`not a ${type}`)
}

// --- digests ----------------------------------------------------------------------------------------------------------

// how later moves of a talk name this one
export function moveDigest (move) {
  const blank = { ...move }
  if ('gateway' in blank) blank.gateway = 0
  if ('signature' in blank) blank.signature = new Uint8Array(65)
  return keccak(encode(blank))
}

// what the `terms` of a deal are: the move that put the terms on the table, and the job
export function agreement (table, job) {
  return keccak(concatBytes(table, keccak(pack(toWire('Job', job)))))
}

export function sealed (cid, salt) {
  return keccak(concatBytes(salt, utf8ToBytes(cid)))
}

export function poolHash (mediators) {
  return keccak(concatBytes(...mediators))
}

// domain: { chainId, vault }
export function structDigest (domain, name, value) {
  const kind = 'EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)'
  const separator = keccak(concatBytes(
    keccak(utf8ToBytes(kind)),
    keccak(utf8ToBytes('Lilypad Vault')),
    keccak(utf8ToBytes('1')),
    word('uint256', domain.chainId),
    word('address', domain.vault)
  ))
  return keccak(concatBytes(Uint8Array.of(0x19, 0x01), separator, structHash(name, value)))
}

export function dealId (domain, deal) {
  return structDigest(domain, 'Deal', deal)
}

function structHash (name, value) {
  const { text, fields } = structs.get(name)
  const words = fields.map(({ type, name: field }) => word(type, value[field.replace(/[A-Z]/g, letter => '_' + letter.toLowerCase())]))
  return keccak(concatBytes(keccak(utf8ToBytes(text)), ...words))
}

function word (type, value) {
  const hex = value instanceof Uint8Array ? bytesToHex(value) : BigInt(value).toString(16)
  return hexToBytes(hex.padStart(64, '0'))
}

// --- signatures -------------------------------------------------------------------------------------------------------

export function sign (secret, digest) {
  const [recovery, ...rs] = secp256k1.sign(digest, secret, { prehash: false, format: 'recovered', lowS: true })
  return Uint8Array.from([...rs, 27 + recovery])
}

// the address whose key made this signature
export function recover (digest, signature) {
  if (signature.length !== 65 || (signature[64] !== 27 && signature[64] !== 28)) throw new Error('no signature')
  const found = secp256k1.Signature.fromBytes(Uint8Array.from([signature[64] - 27, ...signature.subarray(0, 64)]), 'recovered')
  if (found.hasHighS()) throw new Error('a signature with s in the upper half')
  return addressOf(found.recoverPublicKey(digest).toBytes(false))
}

export function addressOf (publicKey) {
  const whole = secp256k1.Point.fromBytes(publicKey).toBytes(false)
  return keccak(whole.subarray(1)).subarray(12)
}

export function envelopeDigest (body) {
  return keccak(concatBytes(ENVELOPE, body))
}

export function seal (message, domain, secret) {
  if (message.type in STATEMENTS) {
    message = { ...message, signature: sign(secret, structDigest(domain, ...STATEMENTS[message.type](message))) }
  }
  const body = encode(message)
  if (!ENVELOPED.includes(message.type)) return body
  return pack({ type: 'signed', body, signature: sign(secret, envelopeDigest(body)) })
}

// { message, author }: the author is undefined for the kinds that carry no signature.
// anybody: an offer may be signed by somebody else than its author (nobody but a test wants that)
export function unseal (bytes, domain, { anybody = false } = {}) {
  const outer = unpack(bytes)
  const body = outer.type === 'signed' ? outer.body : bytes
  const message = decode(body)
  let author
  if (outer.type === 'signed') author = recover(envelopeDigest(body), outer.signature)
  else if (ENVELOPED.includes(message.type)) throw new Error(`a ${message.type} without its envelope`)
  if (message.type in STATEMENTS) {
    const signer = recover(structDigest(domain, ...STATEMENTS[message.type](message)), message.signature)
    if (author !== undefined && !same(author, signer)) throw new Error('two signers of one message')
    author = signer
  }
  if (message.type in OFFERS && !anybody && !same(author, message[OFFERS[message.type]])) throw new Error('an offer that its author did not sign')
  return { message, author }
}

export function same (one, other) {
  return bytesToHex(one) === bytesToHex(other)
}
