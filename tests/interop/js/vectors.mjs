// Checks this peer's wire against the test vectors of the repository: the same bytes, digests, signatures and signers.
import { readFileSync } from 'node:fs'
import { bytesToHex, hexToBytes } from '@noble/hashes/utils.js'
import { decode, encode, moveDigest, seal, unseal } from './wire.mjs'

// the kinds of message that were checked; throws at the first difference
export function checkVectors (path) {
  const { domain: { chain_id: chainId, vault }, signer, messages } = JSON.parse(readFileSync(path, 'utf8'))
  const domain = { chainId, vault: hexToBytes(vault.slice(2)) }
  const secret = hexToBytes(signer.secret)
  for (const row of messages) {
    const message = decode(hexToBytes(row.canonical))
    expect(row, 'canonical bytes', bytesToHex(encode(message)), row.canonical)
    if ('digest' in row) expect(row, 'digest', bytesToHex(moveDigest(message)), row.digest)
    // signatures are deterministic (RFC 6979), so they agree to the last bit
    expect(row, 'sealed bytes', bytesToHex(seal(message, domain, secret)), row.sealed)
    const { author } = unseal(hexToBytes(row.sealed), domain, { anybody: true })
    if (author !== undefined) expect(row, 'signer', '0x' + bytesToHex(author), signer.address)
  }
  return messages.map(({ type }) => type)
}

function expect (row, what, found, wanted) {
  if (found !== wanted) throw new Error(`${row.type}: ${what} are ${found}, not ${wanted}`)
}
