// SPDX-License-Identifier: GPL-2.0
/*
 * The balancer: a frame -> one verdict -> one conclusion.
 *
 * The stages decide and count nothing; conclude() is the only one that counts, records and returns
 * an XDP action, so that every frame has exactly one outcome.  What is not for a VIP is passed
 * untouched.
 */
#include "lb_abi.h"
#include "lb_maps.h"
#include "packet.h"
#include "hash.h"
#include "flows.h"
#include "encap.h"
#include "icmp.h"

/*
 * Tried when the slot's real is down, for the milliseconds until the ring is rebuilt: with one of
 * ten reals down one packet in 100,000 finds none, with one of three one in 243.
 */
#define OTHER_SLOTS 4

/* Flow tables that a packet without an entry may be looked for in: bounds the price of a flood. */
#define SEARCHED_CPUS (LB_CPUS < 64 ? LB_CPUS : 64)

struct decision {
	u64 hash;
	u64 slot;
	u32 cpu;
	u32 vip_num;		/* 0: none */
	u32 real_num;
	u32 reason;		/* enum lb_reason */
	u32 lookup;		/* enum lookup */
	bool stale;
	bool moved;
	bool evicted;
	bool suppressed;	/* an answer that the rate forbids */
	u32 encap;		/* of the real: bits of enum lb_encap */
	const struct lb_real *real;
};

static __always_inline int drop(struct decision *d, u32 reason)
{
	d->reason = reason;
	return LB_DROP;
}

/* VIP first: an odd packet concerns us only if its address is a VIP's. */
static __always_inline int find_vip(const struct packet *p, struct decision *d)
{
	u32 *vip_num = vip_of(&p->to);

	if (!vip_num)
		return LB_PASS;
	d->vip_num = *vip_num;
	return GO_ON;
}

static __always_inline int admit(const struct packet *p, struct decision *d)
{
	return p->odd ? drop(d, p->odd) : GO_ON;
}

static __always_inline bool fits(const struct packet *p, u32 encap)
{
	return p->ip_length + overhead(encap) <= CONTROL->underlay_mtu;
}

/* The real, if packets of this VIP may go to it. */
static __always_inline struct lb_real *usable_real(u32 real_num, u32 vip_num)
{
	struct lb_real *real = real_of(real_num);

	if (!real || real->vip_num != vip_num || real->flags & LB_REAL_DOWN)
		return NULL;
	return real;
}

/* The ring's real for the flow, or NULL with the reason set. */
static __always_inline struct lb_real *place_by_ring(struct decision *d)
{
	struct lb_service *service = service_of(d->vip_num);
	struct lb_ring *ring = service ? ring_of(service->ring_row) : NULL;
	struct lb_real *real;
	u64 hash = d->hash;

	d->reason = REASON_INTERNAL;
	if (!ring)
		return NULL;
	d->reason = REASON_NO_REAL;
#pragma unroll
	for (int i = 0; i <= OTHER_SLOTS; i++) {
		u64 slot = slot_of(hash);

		d->slot = slot;
		d->real_num = ring->slots[slot];
		if (!d->real_num)
			return NULL;
		real = usable_real(d->real_num, d->vip_num);
		if (real) {
			d->reason = REASON_NONE;
			return real;
		}
		hash = next_hash(hash);
	}
	return NULL;
}

static __always_inline u32 miss_cause(const struct packet *p)
{
	if (p->quoted)
		return QUOTED_MISS;
	if (p->protocol == PROTOCOL_UDP)
		return MISS_UDP;
	return opens(p) ? MISS_SYN : MISS_OTHER;
}

static __always_inline struct lb_flow *make_room(struct lb_flow_set *set, struct decision *d, u32 now)
{
	struct lb_flow *entry = spare_entry(set, now);

	d->evicted = is_live(entry);
	return entry;
}

/* In any CPU's table. */
static __always_inline struct lb_flow *search_flow(u64 hash)
{
	struct lb_flow *there = NULL;

	for (u32 cpu = 0; cpu < SEARCHED_CPUS; cpu++) {
		struct lb_flow_set *other = flow_set_of(cpu, hash);

		there = other ? find_flow(other, hash) : NULL;
		if (there)
			break;
	}
	return there;
}

/*
 * Fetches the flow from the CPU that had it: its packets come by another queue now.  Without this it
 * would follow the ring, which may have changed since it began, and leave a copy that looks alive.
 * No lock: at worst the other CPU is just renewing the entry, and the copy stays after all.
 */
static __always_inline struct lb_flow *fetch_flow(struct lb_flow *there, struct lb_flow_set *set,
						  struct decision *d, u32 now)
{
	struct lb_flow *here = make_room(set, d, now);

	*here = *there;
	there->seen = 0;
	d->moved = true;
	return here;
}

/* How much room there is depends on the real: only now it is known. */
static __always_inline int settle(const struct packet *p, struct decision *d,
				  const struct lb_real *real, u32 encap)
{
	d->encap = encap;
	if (!fits(p, encap))
		return drop(d, REASON_TOO_BIG);
	d->real = real;
	return GO_ON;
}

/* An ICMP error looks and leaves no trace: it is the router's packet, and comes by any queue. */
static __always_inline int place(const struct packet *p, struct decision *d)
{
	u32 now = flow_clock();
	struct lb_flow_set *set;
	struct lb_flow *flow;
	struct lb_real *real;
	u32 encap;

	d->hash = flow_hash(CONTROL->hash_key, p);
	d->slot = slot_of(d->hash);
	set = flow_set_of(d->cpu, d->hash);
	if (!set)
		return drop(d, REASON_INTERNAL);
	flow = find_flow(set, d->hash);
	if (!flow && !opens(p)) {
		flow = search_flow(d->hash);
		if (flow && !p->quoted)
			flow = fetch_flow(flow, set, d, now);
	}
	if (flow) {
		d->real_num = flow->real_num;
		real = usable_real(flow->real_num, d->vip_num);
		if (real && keeps_flow(flow, real, p, now)) {
			d->lookup = p->quoted ? QUOTED_HIT : HIT;
			if (!p->quoted)
				touch_flow(flow, p, now);
			return settle(p, d, real, real->encap);
		}
		d->stale = true;
	}
	d->lookup = miss_cause(p);
	real = place_by_ring(d);
	if (!real)
		return LB_DROP;
	encap = real->encap;
	/* Neither a flow at its end nor one of which nothing was sent is worth another's place. */
	if (!closes(p) && !p->quoted && fits(p, encap))
		store_flow(flow ? flow : make_room(set, d, now), d->hash, d->real_num,
			   real->generation, p, now);
	return settle(p, d, real, encap);
}

static __always_inline int push_encap(struct xdp_md *ctx, const struct packet *p,
				      struct decision *d)
{
	if (!push_outer(ctx, p, CONTROL, d->hash, d->real, d->encap))
		return drop(d, REASON_ENCAP_FAILED);
	return LB_SEND;
}

/* One token per `interval` (ns; 0: never), and as many beside it as fit into `ahead`. */
static __always_inline bool take_token(struct lb_bucket *bucket, u64 interval, u64 ahead)
{
	u64 now, due;

	if (!bucket || !interval)
		return false;
	now = bpf_ktime_get_coarse_ns();
	due = bucket->due > now ? bucket->due : now;
	if (due - now > ahead)
		return false;
	bucket->due = due + interval;
	return true;
}

static __always_inline bool may_record(const struct decision *d)
{
	return take_token(bucket_of(d->cpu, d->reason), CONTROL->event_interval,
			  CONTROL->event_ahead);
}

static __always_inline bool may_answer(struct decision *d, u32 bucket)
{
	d->suppressed = !take_token(bucket_of(d->cpu, bucket), CONTROL->icmp_interval,
				    CONTROL->icmp_ahead);
	return !d->suppressed;
}

static __always_inline int answer_too_big(struct xdp_md *ctx, const struct packet *p,
					  struct decision *d)
{
	u64 room = CONTROL->underlay_mtu - overhead(d->encap);

	if (!wants_to_know(ctx, p) || !may_answer(d, LB_BUCKET_TOO_BIG))
		return LB_DROP;
	return write_too_big(ctx, p, CONTROL, room) ? LB_ANSWER : LB_DROP;
}

static __always_inline int answer_ping(struct xdp_md *ctx, const struct packet *p,
				       struct decision *d)
{
	if (!(CONTROL->flags & LB_ANSWER_PING) || !answerable(ctx, p))
		return LB_PASS;
	if (!may_answer(d, LB_BUCKET_PING))
		return LB_DROP;
	return write_echo_reply(ctx, p, CONTROL) ? LB_ANSWER : LB_DROP;
}

/* What would be dropped, but its sender can be told and the rate permits. */
static __always_inline int answer(struct xdp_md *ctx, const struct packet *p, struct decision *d)
{
	int verdict = LB_DROP;

	if (d->reason == REASON_TOO_BIG)
		verdict = answer_too_big(ctx, p, d);
	else if (d->reason == REASON_PING_LIMIT)
		verdict = answer_ping(ctx, p, d);
	if (verdict == LB_ANSWER)
		d->reason = REASON_NONE;
	return verdict;
}

/* The frame as it is now, behind whatever conclude() did to it. */
static __always_inline void copy_head(struct xdp_md *ctx, struct lb_event *event)
{
	u64 length = (void *)(long)ctx->data_end - (void *)(long)ctx->data;

	__builtin_memset(event->head, 0, sizeof(event->head));
	asm volatile("" : "+r"(length));	/* or the bound is proven for a copy of it */
	if (length > LB_CAPTURE)
		length = LB_CAPTURE;
	if (length >= ETHERNET_SIZE)
		bpf_xdp_load_bytes(ctx, 0, event->head, length);
}

static __always_inline void record(struct xdp_md *ctx, const struct packet *p,
				   const struct decision *d, int verdict, struct lb_totals *totals)
{
	struct lb_event *event;

	if (!(CONTROL->flags & LB_TRACE_ALL) && !may_record(d)) {
		totals->events_suppressed++;
		return;
	}
	event = bpf_ringbuf_reserve(MAP(LB_MAP_EVENTS), sizeof(*event), 0);
	if (!event) {
		totals->events_lost++;
		return;
	}
	event->at = bpf_ktime_get_ns();
	event->length = p->length;
	event->slot = d->slot;
	event->verdict = verdict;
	event->reason = d->reason;
	event->vip_num = d->vip_num;
	event->real_num = d->real_num;
	event->cpu = d->cpu;
	event->rx_queue = ctx->rx_queue_index;
	event->flow_hit = d->lookup == HIT || d->lookup == QUOTED_HIT;
	copy_head(ctx, event);
	totals->events++;
	bpf_ringbuf_submit(event, BPF_RB_NO_WAKEUP);	/* a wake-up costs microseconds */
}

static __always_inline void count_lookup(const struct decision *d, struct lb_totals *totals)
{
	totals->flow_moved += d->moved;
	if (d->lookup == HIT) {
		totals->flow_hits++;
		return;
	}
	if (d->lookup == QUOTED_HIT || d->lookup == QUOTED_MISS)
		return;
	totals->flow_miss_syn += d->lookup == MISS_SYN;
	totals->flow_miss_udp += d->lookup == MISS_UDP;
	totals->flow_miss_other += d->lookup == MISS_OTHER;
	totals->flow_stale += d->stale;
}

static __always_inline void count_sent(const struct packet *p, const struct decision *d,
				       struct lb_share *share)
{
	if (!share)
		return;
	share->packets++;
	share->bytes += p->length;
	if (d->lookup == MISS_SYN || d->lookup == MISS_UDP)
		share->flows++;
}

static __always_inline int conclude_answer(struct xdp_md *ctx, const struct packet *p,
					   const struct decision *d, struct lb_totals *totals)
{
	totals->tx_packets++;
	totals->tx_bytes += p->length;
	totals->icmp_sent++;
	if (CONTROL->flags & LB_TRACE_ALL)
		record(ctx, p, d, LB_ANSWER, totals);
	return XDP_TX;
}

static __always_inline int conclude(struct xdp_md *ctx, const struct packet *p,
				    const struct decision *d, int verdict)
{
	struct lb_totals *totals = totals_of(d->cpu);
	struct lb_share *vip;

	if (!totals)
		return XDP_ABORTED;	/* cannot be: there is a row for every possible CPU */
	totals->rx_packets++;
	totals->rx_bytes += p->length;
	if (verdict == LB_PASS) {
		totals->pass_packets++;
		totals->pass_bytes += p->length;
		return XDP_PASS;
	}
	if (d->lookup)
		count_lookup(d, totals);
	totals->flow_evictions += d->evicted;
	vip = vip_share(d->cpu, d->vip_num);
	if (verdict == LB_SEND) {
		totals->tx_packets++;
		totals->tx_bytes += p->length;
		if (p->quoted)
			totals->icmp_forwarded++;
		count_sent(p, d, vip);
		count_sent(p, d, real_share(d->cpu, d->real_num));
		if (CONTROL->flags & LB_TRACE_ALL)
			record(ctx, p, d, verdict, totals);
		return XDP_TX;
	}
	if (verdict == LB_ANSWER)
		return conclude_answer(ctx, p, d, totals);
	totals->drop_packets++;
	totals->drop_bytes += p->length;
	totals->drops[d->reason & (REASON_COUNT - 1)]++;
	totals->icmp_suppressed += d->suppressed;
	if (vip)
		vip->drops++;
	record(ctx, p, d, verdict, totals);
	return XDP_DROP;
}

int lb(struct xdp_md *ctx)
{
	struct packet p = {};
	struct decision d = {};
	int verdict;

	d.cpu = bpf_get_smp_processor_id();
	verdict = parse(ctx, &p);
	if (verdict == ASIDE)
		verdict = parse_icmp(ctx, &p);
	if (verdict == GO_ON)
		verdict = find_vip(&p, &d);
	if (verdict == GO_ON)
		verdict = admit(&p, &d);
	if (verdict == GO_ON)
		verdict = place(&p, &d);
	if (verdict == LB_DROP)
		verdict = answer(ctx, &p, &d);
	if (verdict == GO_ON)
		verdict = push_encap(ctx, &p, &d);
	return conclude(ctx, &p, &d, verdict);
}
