// Package shaping says how gently mail is sent: how many connections a site gets, how fast messages go to it, how tenants
// share, and what a reply such as "421 4.7.28 slow down" is to change about that.
//
// It decides and does nothing: every function is pure, time is an argument, and nothing in it waits, stores or starts
// anything. A scheduler asks a [Policy] for the [Limits] of a site and counts its messages in a [Bucket]; a worker shows each
// refusal to [Policy.Match] and hands on the [Order] values that come back.
//
// # Promises
//
//   - The zero Policy works: it is careful with everyone, and knows the large providers' limits and their ways to say "slow
//     down".
//   - Whoever waits for a Bucket's Next takes at most N + Burst in any period of Per, however long it was idle before. No change
//     of the rate and no jump of the clock makes it wait for longer than what was counted warrants.
//   - A rule makes mail go later, slower or, if it says so, not at all. None can make a delivery of a refusal, a failure of a
//     delivery, or an end of what concerns a host alone; see [Temporary] and [Permanent].
//   - What a server says is bounded before it is looked at, and matched in a time proportional to its length.
//
// # Terms
//
// A site is what shares limits: a provider, under the name that [Providers] has for it, or else a set of hosts, under their names
// joined with commas. The zero value of a limit or a rate is always "not said here", so that small policies can be laid over
// others, field by field.
//
// # Plugging in
//
// Policy.Sites, Tenants, Senders and Sources are maps to fill in, and Policy.Rules are looked at before the shipped ones.
// [Policy.Check] names the field that makes no sense. [Limits], [Rate] and [Order] have a JSON form that reads well and can
// be kept as a small durable fact.
package shaping
