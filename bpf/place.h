/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A packet of a VIP -> the real that gets it: by QUIC connection id, by flow table, by ring.
 *
 * A ring alone places a flow rightly as long as it does not change.  So each slot also knows to which
 * real its flows went before; which flows must be stored follows from that (docs/dataplane.md; the
 * idea is that of JET, CoNEXT 2020).
 */
#ifndef REMORA_PLACE_H
#define REMORA_PLACE_H

#include <linux/types.h>
#include "lb_abi.h"
#include "lb_maps.h"
#include "packet.h"
#include "decision.h"
#include "hash.h"
#include "flows.h"
#include "encap.h"
#include "quic.h"

/*
 * Tried in turn while the slots' reals are down, for the milliseconds until the ring is rebuilt: with
 * one of three reals down one packet in 40 million finds none, with nine of ten one in five.
 */
#define SLOTS_TRIED 16

/* Flow tables that a packet without an entry may be looked for in: bounds the price of a flood. */
#define SEARCHED_CPUS (LB_CPUS < 64 ? LB_CPUS : 64)

#define PLACED_BY_PART (LB_VIP_ANY_SOURCE | LB_VIP_ANY_SOURCE_PORT | LB_VIP_ANY_PORT)
#define QUIC (LB_VIP_QUIC_LB | LB_VIP_QUIC_CID)

_Static_assert(LB_MAX_REALS == 1 << LB_SLOT_BITS && LB_SLOT_REAL == LB_MAX_REALS - 1,
	       "a part of a slot's word holds any real_num");

/* Where the packet's VIP and flow are kept. */
struct places {
	const struct lb_service *service;
	const struct lb_ring *ring;
	struct lb_flow_set *set;
};

static __always_inline bool fits(const struct packet *p, u64 encap)
{
	return p->ip_length + overhead(encap) <= CONTROL->underlay_mtu;
}

/* What keeps new flows from a real (bits of enum lb_real_flag). */
static __always_inline u64 bars_new(u64 flags)
{
	return flags & LB_VIP_FAIL_OPEN ? LB_REAL_DISABLED : LB_REAL_DISABLED | LB_REAL_DOWN;
}

/* What keeps a flow from the real that it was on. */
static __always_inline u64 bars_known(u64 flags, const struct packet *p)
{
	return flags & LB_VIP_KEEP && !opens(p) ? LB_REAL_DISABLED : bars_new(flags);
}

/* The real, if it is the VIP's and nothing bars it. */
static __always_inline const struct lb_real *real_of_vip(u64 real_num, u64 vip_num, u64 bars)
{
	const struct lb_real *real = real_of(real_num);

	if (!real || real->vip_num != vip_num || real->flags & bars)
		return NULL;
	return real;
}

/* How much room there is depends on the real: only now it is known. */
static __always_inline u64 settle(const struct packet *p, struct decision *d, u64 encap)
{
	d->encap = encap;
	return fits(p, encap) ? GO_ON : drop(d, REASON_TOO_BIG);
}

/* ---- by the ring alone */

/* Whether flows of which the ring alone is right are left out of the table: not of UDP, whose first
 * packet looks like any other, unless there is no room for them. */
static __always_inline bool is_sparse(const struct packet *p, u64 flags)
{
	return flags & LB_VIP_PRESSURE || (flags & LB_VIP_CHANGED && p->protocol == PROTOCOL_TCP);
}

/* NULL: it takes a closer look. */
static __always_inline const struct lb_real *place_untracked(const struct lb_ring *ring,
							     struct decision *d)
{
	u64 word = ring->slots[slot_of(d->placing)];
	u64 real_num = word & LB_SLOT_REAL;

	if (!(d->flags & LB_VIP_COMPUTE) && word != (real_num | real_num << LB_SLOT_BITS))
		return NULL;
	d->real_num = real_num;
	return real_of_vip(real_num, d->vip_num, bars_new(d->flags));
}

/* Whether a packet that the table does not know is of a flow that began before. */
static __always_inline bool is_of_old_flow(const struct packet *p, u64 flags)
{
	if (flags & LB_VIP_COMPUTE)
		return false;
	if (p->protocol == PROTOCOL_UDP)
		return flags & LB_VIP_PRESSURE;
	return !opens(p);
}

/* The ring's real for the flow, or NULL with the reason set. */
static __always_inline const struct lb_real *place_by_ring(const struct lb_ring *ring,
							   const struct packet *p,
							   struct decision *d)
{
	u64 word = ring->slots[slot_of(d->placing)];
	u64 previous = word >> LB_SLOT_BITS & LB_SLOT_REAL;
	const struct lb_real *real;
	u64 hash = d->placing;

	d->irreplaceable = previous != (word & LB_SLOT_REAL);
	if ((d->irreplaceable || d->flags & LB_VIP_KEEP) && is_of_old_flow(p, d->flags)) {
		d->real_num = previous;
		real = real_of_vip(previous, d->vip_num, bars_known(d->flags, p));
		if (real) {
			d->marks |= (u64)(d->irreplaceable && !p->quoted) << PREVIOUS;
			return real;
		}
	}
	for (int i = 0; i < SLOTS_TRIED; i++) {
		d->slot = slot_of(hash);
		d->real_num = ring->slots[slot_of(hash)] & LB_SLOT_REAL;
		if (!d->real_num)
			break;
		real = real_of_vip(d->real_num, d->vip_num, bars_new(d->flags));
		if (real)
			return real;
		d->irreplaceable = true;
		hash = next_hash(hash);
	}
	d->reason = REASON_NO_REAL;
	return NULL;
}

/* ---- by the flow table */

static __always_inline u64 miss_marks(const struct packet *p, u64 now)
{
	if (p->quoted)
		return 0;
	if (p->protocol == PROTOCOL_UDP)
		return 1 << MISS_UDP | 1 << OPENED;
	if (opens(p))
		return 1 << MISS_SYN | 1 << OPENED;
	return 1 << MISS_OTHER | (u64)(now < CONTROL->warm_at) << RESTART;
}

static __always_inline struct lb_flow *make_room(struct lb_flow_set *set, struct decision *d)
{
	struct lb_flow *entry = spare_entry(set, flow_clock(d->now));

	d->marks |= (u64)is_live(entry) << EVICTED;
	return entry;
}

/* In any CPU's table; newer than what was found here, if something was. */
static __always_inline struct lb_flow *search_flow(u64 hash, const struct lb_flow *here)
{
	struct lb_flow *there = NULL;

	for (u32 cpu = 0; cpu < SEARCHED_CPUS; cpu++) {
		struct lb_flow_set *other = flow_set_of(cpu, hash);

		there = other ? find_flow(other, hash) : NULL;
		if (there && (!here || (s32)(there->seen - here->seen) > 0))
			break;
		there = NULL;
	}
	return there;
}

/*
 * Fetches the flow from the CPU that had it: its packets come by another queue now.  Without this it
 * would follow the ring, which may have changed since it began, and leave a copy that looks alive.
 * No lock: at worst the other CPU is just renewing the entry, and the copy stays after all.
 */
static __always_inline struct lb_flow *fetch_flow(struct lb_flow *there, struct lb_flow *here,
						  struct lb_flow_set *set, struct decision *d)
{
	if (!here)
		here = make_room(set, d);
	*here = *there;
	there->seen = 0;
	mark(d, MOVED);
	return here;
}

/* An ICMP error looks and leaves no trace: it is the router's packet, and comes by any queue. */
static __always_inline struct lb_flow *look_up(struct lb_flow_set *set, const struct packet *p,
					       struct decision *d)
{
	struct lb_flow *here = find_flow(set, d->hash);
	struct lb_flow *there;

	if (opens(p) || (here && !may_be_outdated(here, flow_clock(d->now))))
		return here;
	there = search_flow(d->hash, here);
	if (!there)
		return here;
	return p->quoted ? there : fetch_flow(there, here, set, d);
}

/*
 * Whether the flow gets an entry.  Neither one at its end nor one of which nothing was sent is worth
 * another's place; and of those that the ring places alike, only so many per second are.
 */
static __always_inline bool is_stored(const struct packet *p, struct decision *d, u64 encap)
{
	if (closes(p) || p->quoted || !fits(p, encap))
		return false;
	if (d->irreplaceable)
		return true;
	if (is_sparse(p, d->flags))
		return false;
	if (!CONTROL->flow_interval)
		return true;
	if (take_token(bucket_of(d->cpu, LB_BUCKET_FLOWS), d->now, CONTROL->flow_interval,
		       CONTROL->flow_ahead))
		return true;
	mark(d, UNSTORED);
	return false;
}

static __always_inline void store(struct lb_flow *flow, struct lb_flow_set *set,
				  const struct packet *p, struct decision *d, u8 generation)
{
	store_flow(flow ? flow : make_room(set, d), d->hash, d->real_num, generation, p,
		   flow_clock(d->now));
}

static __always_inline u64 place_by_table(const struct places *at, const struct packet *p,
					  struct decision *d, const struct lb_real **chosen)
{
	struct lb_flow *flow = look_up(at->set, p, d);
	u32 now = flow_clock(d->now);
	u64 encap;
	const struct lb_real *real;

	if (flow) {
		d->real_num = flow->real_num;
		real = real_of_vip(flow->real_num, d->vip_num, bars_known(d->flags, p));
		if (real && keeps_flow(flow, real, p, now, at->service->udp_idle)) {
			mark(d, p->quoted ? QUOTED_HIT : HIT);
			if (!p->quoted)
				touch_flow(flow, p, now);
			*chosen = real;
			return settle(p, d, real->encap);
		}
		d->marks |= (u64)!p->quoted << STALE;
	}
	d->marks |= miss_marks(p, d->now);
	real = place_by_ring(at->ring, p, d);
	if (!real)
		return LB_DROP;
	*chosen = real;
	encap = real->encap;
	d->irreplaceable |= flow && !closes(p);	/* its old entry would take it back */
	if (is_stored(p, d, encap))
		store(flow, at->set, p, d, real->generation);
	return settle(p, d, encap);
}

/* ---- by QUIC connection id */

/* The real that the packet names, if it does and may be sent to. */
static __always_inline const struct lb_real *real_by_quic(struct xdp_md *ctx,
							  const struct lb_service *service,
							  const struct packet *p,
							  struct decision *d)
{
	const struct lb_real *real = NULL;
	u64 server_id = 0;
	u32 *real_num;

	switch (read_quic(ctx, p, service, d->flags, &server_id)) {
	case QUIC_OPENING:
		mark(d, QUIC_INITIAL);
		return NULL;
	case QUIC_NAMED:
		real_num = real_by_quic_id(server_id, d->vip_num);
		if (real_num) {
			d->real_num = *real_num;
			real = real_of_vip(*real_num, d->vip_num, bars_known(d->flags, p));
		}
	}
	mark(d, real ? QUIC_ROUTED : QUIC_UNKNOWN);
	return real;
}

/* Stored all the same: a drain counts it, and an ICMP error quotes ports, no connection id. */
static __always_inline u64 place_by_quic(const struct lb_real *real, struct lb_flow_set *set,
					 const struct packet *p, struct decision *d)
{
	struct lb_flow *flow = look_up(set, p, d);
	u64 encap = real->encap;

	if (flow && flow->real_num == d->real_num && flow->generation == real->generation) {
		mark(d, HIT);
		touch_flow(flow, p, flow_clock(d->now));
		return settle(p, d, encap);
	}
	d->marks |= 1ULL << MISS_OTHER | (u64)(flow != NULL) << STALE;
	d->irreplaceable = flow != NULL;
	if (is_stored(p, d, encap))
		store(flow, set, p, d, real->generation);
	return settle(p, d, encap);
}

/* ---- */

/* Reads the VIP's settings and hashes the flow; false: something is missing, which cannot be. */
static __always_inline bool prepare(const struct packet *p, struct decision *d, struct places *at)
{
	const struct lb_service *service = service_of(d->vip_num);
	u64 row_and_flags;

	if (!service)
		return false;
	row_and_flags = *(const volatile u64 *)service;	/* one load: never of two revisions */
	d->flags = row_and_flags >> 32;
	d->hash = flow_hash(CONTROL->hash_key, p);
	d->placing = d->hash;
	if (d->flags & PLACED_BY_PART)
		d->placing = placing_hash(CONTROL->hash_key, p, d->flags);
	d->slot = slot_of(d->placing);
	at->service = service;
	at->ring = ring_of((u32)row_and_flags);
	at->set = flow_set_of(d->cpu, d->hash);
	return at->ring && at->set;
}

/* Everything but QUIC. */
static __always_inline u64 place(const struct places *at, const struct packet *p,
				 struct decision *d, const struct lb_real **chosen)
{
	const struct lb_real *real;

	if (!(d->flags & LB_VIP_COMPUTE) && !is_sparse(p, d->flags))
		return place_by_table(at, p, d, chosen);
	real = place_untracked(at->ring, d);
	if (!real && !(d->flags & LB_VIP_COMPUTE))
		return place_by_table(at, p, d, chosen);
	if (!real)
		real = place_by_ring(at->ring, p, d);
	if (!real)
		return LB_DROP;
	if (!p->quoted)
		d->marks |= 1ULL << UNTRACKED | (u64)opens(p) << OPENED;
	*chosen = real;
	return settle(p, d, real->encap);
}

static __always_inline u64 place_plain(const struct packet *p, struct decision *d,
				       const struct lb_real **chosen)
{
	struct places at = {};

	if (!prepare(p, d, &at))
		return drop(d, REASON_INTERNAL);
	return d->flags & QUIC ? ASIDE : place(&at, p, d, chosen);
}

static __always_inline u64 place_any(struct xdp_md *ctx, const struct packet *p,
				     struct decision *d, const struct lb_real **chosen)
{
	struct places at = {};

	if (!prepare(p, d, &at))
		return drop(d, REASON_INTERNAL);
	if (d->flags & QUIC && !p->quoted) {
		*chosen = real_by_quic(ctx, at.service, p, d);
		if (*chosen)
			return place_by_quic(*chosen, at.set, p, d);
	}
	return place(&at, p, d, chosen);
}

static __always_inline u64 push_encap(struct xdp_md *ctx, const struct packet *p,
				      struct decision *d, const struct lb_real *real)
{
	if (!push_outer(ctx, p, CONTROL, d->hash, real, d->encap))
		return drop(d, REASON_ENCAP_FAILED);
	return LB_SEND;
}

#endif
