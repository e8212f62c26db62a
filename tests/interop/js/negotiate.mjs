// Both sides of a negotiation, as a buyer and as a seller: the section "A negotiation" of docs/protocol.md.
import { dealOf, makeTerms, repriced } from './terms.mjs'
import { addressOf, dealId, encode, moveDigest, same, seal, unseal } from './wire.mjs'

const NEGOTIATE = '/lilypad/negotiate/1'
const now = () => Date.now() / 1000

// One talk with one peer: says moves in their chain, hears the other side's, keeps who said what.
class Talk {
  constructor (me, peer, id) {
    this.me = me
    this.peer = peer
    this.theirAddress = addressOf(peer.publicKey.raw)
    this.id = id
    this.head = undefined
    this.table = undefined
    this.terms = undefined
    this.moves = []
  }

  async say (type, fields) {
    const move = { type, talk: this.id, ...(type === 'propose' ? {} : { previous: this.head }), ...fields }
    const frame = seal(move, this.me.domain, this.me.secret)
    this.#note(move)
    await this.me.mail.send(this.peer, NEGOTIATE, frame)
  }

  async hear () {
    const letter = await this.me.mail.expect(({ from, frame }) => from.equals(this.peer) && this.#isMine(frame))
    const { message, author } = unseal(letter.frame, this.me.domain)
    if (!same(author, this.theirAddress)) throw new Error('a move that its sender did not sign')
    if (this.head !== undefined && !same(message.previous, this.head)) throw new Error('a move that answers another one')
    this.#note(message)
    return message
  }

  #note (move) {
    this.head = moveDigest(move)
    this.moves.push(move.type)
    if ('terms' in move) {
      this.table = this.head
      this.terms = move.terms
    }
  }

  #isMine (frame) {
    return same(unseal(frame, this.me.domain).message.talk, this.id)
  }
}

// Propose, haggle up to `most`, confirm, and hear the provider's signature of the deal.
export async function buy (me, peer, { job, first, most, mediators }) {
  const talk = new Talk(me, peer, crypto.getRandomValues(new Uint8Array(16)))
  await talk.say('propose', { job, gateway: 0, terms: makeTerms(now(), job.resources.timeout, first, mediators) })
  let offered = first
  for (;;) {
    const move = await talk.hear()
    if (move.type === 'accept') break
    if (move.type !== 'counter') throw new Error(`the seller answered with ${move.type}: ${move.reason}`)
    const asked = move.terms.pay
    offered = asked <= most && talk.moves.length > 4 ? asked : offered + (asked - offered) / 3n
    if (offered > most) throw new Error(`they want ${asked}, we give ${most}`)
    // the same terms again is how a buyer takes them
    await talk.say('counter', { terms: offered === asked ? move.terms : repriced(move.terms, offered) })
  }
  const deal = dealOf(talk.terms, me.address, talk.theirAddress, talk.table, job)
  await talk.say('confirm', { deal })
  const bind = await talk.hear()
  if (bind.type !== 'bind') throw new Error(`instead of a signature came ${bind.type}: ${bind.reason}`)
  if (!same(encodeDeal(bind), encodeDeal({ ...bind, deal }))) throw new Error('they signed another deal')
  // `unseal` has recovered the signer of the deal and of the move, and found one and the same: the sender
  return { talk, deal, signature: bind.signature }
}

// Wait for a buyer, counter once with `ask`, accept from `floor` on, and sign what it confirms.
export async function sell (me, { floor, ask }) {
  const letter = await me.mail.expect(({ frame }) => unseal(frame, me.domain).message.type === 'propose', 20)
  const talk = new Talk(me, letter.from, unseal(letter.frame, me.domain).message.talk)
  me.mail.letters.unshift(letter)
  const { job, gateway } = await talk.hear()
  await talk.say('counter', { terms: repriced(talk.terms, ask) })
  for (;;) {
    const move = await talk.hear()
    if (move.type !== 'counter') throw new Error(`the buyer answered with ${move.type}: ${move.reason}`)
    if (move.terms.pay >= floor) break
    await talk.say('counter', { terms: repriced(move.terms, (ask + move.terms.pay) / 2n > floor ? (ask + move.terms.pay) / 2n : floor) })
  }
  await talk.say('accept', { until: Math.floor(now()) + 10 })
  const { type, deal, reason } = await talk.hear()
  if (type !== 'confirm') throw new Error(`instead of a confirmation came ${type}: ${reason}`)
  const expected = dealOf(talk.terms, talk.theirAddress, me.address, talk.table, job)
  if (!same(dealId(me.domain, deal), dealId(me.domain, expected))) throw new Error('they confirm another deal')
  await talk.say('bind', { deal, signature: new Uint8Array(65) })
  return { talk, job, gateway, deal }
}

function encodeDeal (bind) {
  return encode({ ...bind, signature: new Uint8Array(65) })
}
