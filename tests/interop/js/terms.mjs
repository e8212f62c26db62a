// Terms and deals: the section "Terms" of docs/protocol.md, for a network with the rules that stand there.
import { agreement, poolHash } from './wire.mjs'

const RULES = { lock: 30, transfer: 60, claim: 300, grace: 60, answer: 60, judge: 120, appeal: 0, jurors: 3, quorum: 2 }

export function makeTerms (now, timeout, pay, mediators, checkPpm = 0) {
  const startBy = Math.floor(now) + RULES.lock
  const deliverBy = startBy + timeout + RULES.transfer
  const jurors = Math.max(1, Math.min(RULES.jurors, mediators.length))
  return repriced({
    unit: 'job',
    most: 1,
    fee: 0n,
    juror_stake: 0n,
    start_by: startBy,
    deliver_by: deliverBy,
    claim_until: deliverBy + RULES.grace + RULES.claim,
    grace: RULES.grace,
    answer: RULES.answer + timeout,
    judge: RULES.judge + 4 * timeout,
    appeal: RULES.appeal,
    mediators,
    jurors,
    quorum: Math.max(Math.min(RULES.quorum, jurors), Math.floor(jurors / 2) + 1),
    silence: 0,
    check_ppm: checkPpm,
    check_fee: 0n,
    check_payer: 0
  }, pay)
}

export function repriced (terms, pay) {
  const floor = pay + BigInt(terms.jurors) * terms.fee
  return {
    ...terms,
    pay,
    rate: pay,
    jc_stake: pay * 20n / 100n,
    rp_stake: pay,
    cheat: 10n * pay > floor ? 10n * pay : floor
  }
}

// table: the digest of the move that put these terms on the table
export function dealOf (terms, jc, rp, table, job) {
  const { pay, jc_stake, rp_stake, cheat, fee, juror_stake, start_by, deliver_by, claim_until } = terms
  const { grace, answer, judge, appeal, jurors, quorum, silence } = terms
  const pool = poolHash(terms.mediators)
  const money = { pay, jc_stake, rp_stake, cheat, fee, juror_stake }
  const times = { start_by, deliver_by, claim_until, grace, answer, judge, appeal }
  return { jc, rp, ...money, ...times, pool, jurors, quorum, silence, jc_seat: 0n, rp_seat: 0n, terms: agreement(table, job) }
}
