// Package budget keeps what keys, teams and users may spend: money is reserved before it is spent, so that requests
// side by side, at one replica or at twenty, never pass a budget together.
//
// # Words
//
// An account has a Max for its current period. What a request may cost at most is held on its accounts from its
// reservation to its settlement; what it did cost is then unwritten until its row is in the spend log, and from then on
// part of the account's spend. What a replica has held and unwritten is what it uses. It may use as much as its lease,
// which the bank gave it out of the account's rest:
//
//	rest = Max - spend - leases of all replicas
//
// # What always holds
//
//  1. A replica reserves only within its lease: used + amount <= lease. So spend + used, summed over all replicas, never
//     passes Max by reservations. Only a cost above its own reservation does (a debt, counted as soon as it is known).
//  2. A replica thinks its lease no larger than the bank does. It gives back by using less first and telling then; it
//     takes by asking first and using after the answer. While a call is under way, and when its answer is lost, it goes on
//     with what both outcomes allow: the call's Keep.
//  3. Claims are absolute, and calls are numbered: one that is repeated changes nothing, one that is late is refused. After
//     any answered call both sides agree, whatever was lost before.
//  4. A cost is unwritten or in the log, and moves there in the same transaction that lowers the lease by it. Rows are
//     written once by their ID; a row that is sent again because an answer was lost lowers the lease again to
//     the same amount. In between it may be counted twice, never less than once.
//  5. Every cost has one row, and every row's cost is unwritten before it is sent: Settle for what is held, Charge for all
//     others. A reservation that ends by itself is told by Options.Expired, and its row has its amount; a true row that
//     comes after all has the same ID and changes nothing.
//  6. A replica that is cut off stops using what is free of its leases Margin after it sent the last call that was
//     answered. The bank goes on counting them for the Life of the call: Margin and the longest Life of its
//     reservations, so that what was held then has ended. A replica that comes back has no lease, but says what it uses,
//     and that counts whatever is left.
//  7. A reset changes the spend only. Leases, what is held and what is unwritten go on and count in the new period, when
//     they are written: a cost belongs to the period in which it gets into the log. So a reset mints nothing.
//  8. A replica takes the whole rest for a reservation larger than that only if it holds nothing and nobody else has a
//     lease, so that a request that guesses high is alone.
//
// # How much is leased
//
// What requests need, and in store about what was reserved in the last ten seconds, so that few requests wait for the
// bank: at most half of the rest divided by the replicas, and nothing when the rest isn't four times as much. So near the
// limit requests ask one by one, and what one replica doesn't use is another's within a second.
//
// # What can pass a budget
//
// Costs above their reservations. What a replica spent whose rows reach the log only after the bank has forgotten it
// (cut off or killed for longer than Life): at most its lease, which is at most half of the rest but for what requests
// needed. What an Exclusive process that was killed had admitted while its bank was down.
package budget
