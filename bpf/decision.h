/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What is decided about a packet, from stage to stage, and what is remembered for the counters.  Touches no
 * map.
 */
#ifndef REMORA_DECISION_H
#define REMORA_DECISION_H

#include <linux/types.h>
#include "lb_abi.h"
#include "packet.h"

/*
 * What happened on the way, for the counters: bits of decision.marks. Nothing on the way may depend on
 * them: the verifier would follow every combination (conclude() makes them unknown to it).
 */
enum mark {
	HIT,
	MISS_SYN,
	MISS_UDP,
	MISS_OTHER,
	RESTART,		/* of those: the table is new */
	UNTRACKED,		/* placed without a lookup */
	QUOTED_HIT,		/* of ICMP errors, which only look */
	OPENED,			/* a new flow, as far as one can tell */
	STALE,
	MOVED,
	EVICTED,
	PREVIOUS,		/* placed as before the ring changed */
	UNSTORED,
	QUIC_ROUTED,
	QUIC_INITIAL,
	QUIC_UNKNOWN,
	SUPPRESSED,		/* an answer that the rate forbids */
	TOO_BIG,		/* answered as such */
	DECAPSULATED,
	TRACED,
};

struct decision {		/* words as in struct packet */
	u64 now;		/* jiffies */
	u64 hash;		/* of the flow */
	u64 placing;		/* what the ring is asked with */
	u64 slot;
	u64 marks;		/* 1 << enum mark */
	u64 reason;		/* enum lb_reason */
	u64 cpu;
	u64 vip_num;		/* 0: none */
	u64 flags;		/* of the VIP: enum lb_vip_flag */
	u64 real_num;
	u64 encap;		/* of the real: bits of enum lb_encap */
	u64 address_flags;	/* of the destination: enum lb_address_flag */
	bool irreplaceable;	/* where the ring alone would not send it, or not for ever */
};

/* Clears what lb.c may read though nobody has set it: to clear all of both would cost it 16 stores. */
static __always_inline void begin(struct xdp_md *ctx, struct packet *p, struct decision *d, u64 cpu)
{
	p->received = ctx->data_end - ctx->data;
	p->be_source[1] = p->be_destination[1] = 0;
	p->be_ports = 0;
	p->tag = 0;
	p->tcp_flags = 0;
	p->quoted = p->extended = 0;
	d->now = bpf_jiffies64();
	d->cpu = cpu;
	d->slot = d->marks = d->reason = 0;
	d->vip_num = d->real_num = 0;
	d->irreplaceable = false;
}

static __always_inline void mark(struct decision *d, u32 what)
{
	d->marks |= 1ULL << what;
}

/* 0 or 1, without a branch. */
static __always_inline u64 is_marked(u64 marks, u32 what)
{
	return marks >> what & 1;
}

static __always_inline u64 drop(struct decision *d, u64 reason)
{
	d->reason = reason;
	return LB_DROP;
}

/* Of lb_abi.h: 1/65536 of a jiffy. */
static __always_inline u64 ticks(u64 jiffies)
{
	return jiffies << 16;
}

/* One token per `interval` (0: none at all), and as many beside it as fit into `ahead`; in ticks. */
static __always_inline bool take_token(struct lb_bucket *bucket, u64 jiffies, u64 interval,
				       u64 ahead)
{
	u64 now = ticks(jiffies), due;

	if (!bucket || !interval)
		return false;
	due = bucket->due > now ? bucket->due : now;
	if (due - now > ahead)
		return false;
	bucket->due = due + interval;
	return true;
}

#endif
