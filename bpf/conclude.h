/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A verdict -> counters, events and the XDP action.  conclude() is the only one that counts, records and
 * returns an action, so that every frame has exactly one outcome.
 */
#ifndef REMORA_CONCLUDE_H
#define REMORA_CONCLUDE_H

#include <linux/types.h>
#include "lb_abi.h"
#include "lb_maps.h"
#include "packet.h"
#include "vlan.h"
#include "decision.h"

_Static_assert(!(REASON_COUNT & (REASON_COUNT - 1)), "count_dropped() masks with it");

/* ---- events */

static __always_inline bool may_record(const struct decision *d)
{
	return take_token(bucket_of(d->cpu, d->reason), d->now, CONTROL->event_interval,
			  CONTROL->event_ahead);
}

/* The frame as it is now. */
static __always_inline void copy_head(struct xdp_md *ctx, struct lb_event *event)
{
	u64 length = (void *)(long)ctx->data_end - (void *)(long)ctx->data;

	__builtin_memset(event->head, 0, sizeof(event->head));
	asm volatile("" : "+r"(length));	/* or the bound is proven for a copy of it */
	if (length > LB_CAPTURE)
		length = LB_CAPTURE;
	event->captured = length;
	if (length >= ETHERNET_SIZE)
		bpf_xdp_load_bytes(ctx, 0, event->head, length);
}

/* Whether there was room for it. */
static __always_inline bool write_event(struct xdp_md *ctx, const struct packet *p,
					const struct decision *d, u32 kind, u64 verdict, u32 packet)
{
	struct lb_event *event = bpf_ringbuf_reserve(MAP(LB_MAP_EVENTS), sizeof(*event), 0);

	if (!event)
		return false;
	event->at = bpf_ktime_get_ns();
	event->length = kind == LB_EVENT_EXIT ? ctx->data_end - ctx->data : p->received;
	event->slot = d->slot;
	event->verdict = verdict;
	event->reason = d->reason;
	event->vip_num = d->vip_num;
	event->real_num = d->real_num;
	event->cpu = d->cpu;
	event->rx_queue = ctx->rx_queue_index;
	event->kind = kind;
	event->flow_hit = is_marked(d->marks, HIT) | is_marked(d->marks, QUOTED_HIT);
	event->packet = packet;
	event->pad = 0;
	copy_head(ctx, event);
	bpf_ringbuf_submit(event, BPF_RB_NO_WAKEUP);	/* a wake-up costs microseconds */
	return true;
}

static __always_inline void record(struct xdp_md *ctx, const struct packet *p,
				   const struct decision *d, u64 verdict, struct lb_totals *totals)
{
	if (!(CONTROL->flags & LB_TRACE_ALL) && !may_record(d)) {
		totals->events_suppressed++;
		return;
	}
	if (write_event(ctx, p, d, LB_EVENT_CONCLUSION, verdict, totals->rx_packets))
		totals->events++;
	else
		totals->events_lost++;
}

/* ---- trace */

static __always_inline bool is_within(const u64 *be_address, const u64 *network, const u64 *mask)
{
	return !((be_address[0] ^ network[0]) & mask[0]) &&
	       !((be_address[1] ^ network[1]) & mask[1]);
}

static __always_inline bool is_wanted(const struct packet *p, const struct decision *d)
{
	const struct lb_trace *trace = TRACE;

	return (!trace->version || trace->version == p->version) &&
	       (!trace->protocol || trace->protocol == p->protocol) &&
	       (!trace->vip_num || trace->vip_num == d->vip_num) &&
	       (!trace->real_num || trace->real_num == d->real_num) &&
	       !((trace->be_ports ^ p->be_ports) & trace->be_ports_mask) &&
	       is_within(p->be_source, trace->be_source, trace->be_source_mask) &&
	       is_within(p->be_destination, trace->be_destination, trace->be_destination_mask) &&
	       ticks(d->now) < trace->until &&
	       (trace->one_in <= 1 || bpf_get_prandom_u32() % trace->one_in == 0);
}

/*
 * The packet as it came (without its VLAN tag); what it became is written by conclude().  Counted before the
 * rate and the ring buffer have their say: what the reader got less is what these kept from it.
 */
static __always_inline void trace_entry(struct xdp_md *ctx, const struct packet *p,
					struct decision *d)
{
	struct lb_totals *totals = totals_of(d->cpu);

	if (!totals || !is_wanted(p, d))
		return;
	totals->traced++;
	if (take_token(bucket_of(d->cpu, LB_BUCKET_TRACE), d->now, TRACE->interval, TRACE->ahead) &&
	    write_event(ctx, p, d, LB_EVENT_ENTRY, LB_PASS, totals->rx_packets))
		mark(d, TRACED);
}

/* ---- counters */

static __always_inline void count_marks(u64 marks, struct lb_totals *totals)
{
	totals->flow_hits += is_marked(marks, HIT);
	totals->flow_untracked += is_marked(marks, UNTRACKED);
	if (!(marks & ~(1 << UNTRACKED | 1 << OPENED)))
		return;
	totals->flow_miss_syn += is_marked(marks, MISS_SYN);
	totals->flow_miss_udp += is_marked(marks, MISS_UDP);
	totals->flow_miss_other += is_marked(marks, MISS_OTHER);
	totals->flow_restart += is_marked(marks, RESTART);
	totals->flow_stale += is_marked(marks, STALE);
	totals->flow_moved += is_marked(marks, MOVED);
	totals->flow_evictions += is_marked(marks, EVICTED);
	totals->flow_previous += is_marked(marks, PREVIOUS);
	totals->flow_unstored += is_marked(marks, UNSTORED);
	totals->quic_routed += is_marked(marks, QUIC_ROUTED);
	totals->quic_initial += is_marked(marks, QUIC_INITIAL);
	totals->quic_unknown += is_marked(marks, QUIC_UNKNOWN);
	totals->icmp_suppressed += is_marked(marks, SUPPRESSED);
	totals->icmp_too_big += is_marked(marks, TOO_BIG);
	totals->decapsulated += is_marked(marks, DECAPSULATED);
}

static __always_inline void count_share(const struct packet *p, const struct decision *d,
					struct lb_share *share)
{
	if (!share)
		return;
	share->packets++;
	share->bytes += p->received;
	if (is_marked(d->marks, OPENED))
		share->flows++;
}

static __always_inline void count_sent(const struct packet *p, const struct decision *d,
				       struct lb_totals *totals)
{
	totals->tx_packets++;
	totals->tx_bytes += p->received;
	if (p->quoted)	/* another cache line */
		totals->icmp_forwarded++;
	count_share(p, d, vip_share(d->cpu, d->vip_num));
	count_share(p, d, real_share(d->cpu, d->real_num));
}

static __always_inline void count_dropped(const struct packet *p, const struct decision *d,
					  struct lb_totals *totals)
{
	struct lb_share *vip = vip_share(d->cpu, d->vip_num);

	totals->drop_packets++;
	totals->drop_bytes += p->received;
	totals->drops[d->reason & (REASON_COUNT - 1)]++;
	if (vip)
		vip->drops++;
}

static __always_inline void count_passed(const struct packet *p, struct lb_totals *totals)
{
	totals->pass_packets++;
	totals->pass_bytes += p->received;
}

static __always_inline void count_answered(const struct packet *p, struct lb_totals *totals)
{
	totals->tx_packets++;
	totals->tx_bytes += p->received;
	totals->icmp_sent++;
}

static __always_inline void count_received(struct xdp_md *ctx, const struct packet *p,
					   const struct decision *d, struct lb_totals *totals)
{
	u64 queue = ctx->rx_queue_index;

	totals->rx_packets++;
	totals->rx_bytes += p->received;
	totals->queues[queue < LB_QUEUES ? queue : LB_QUEUES - 1]++;
	if (p->tag)
		totals->tagged++;
	if (p->extended && d->vip_num)
		totals->extended++;
	if (d->marks == 1 << HIT)	/* nearly all, in "track" */
		totals->flow_hits++;
	else if (d->marks)
		count_marks(d->marks, totals);
}

/* ---- */

/* The same value, of which the verifier knows nothing: so it follows one path from here, not one for
 * each combination that may lead here. */
static __always_inline u64 forgotten(u64 value)
{
	return value ^ CONTROL->nothing;
}

static __always_inline u64 conclude(struct xdp_md *ctx, const struct packet *p,
				    struct decision *d, u64 verdict)
{
	struct lb_totals *totals = totals_of(d->cpu);

	if (!totals)
		return XDP_ABORTED;	/* cannot be: there is a row for every possible CPU */
	if (p->tag && !retag(ctx, p))
		verdict = drop(d, REASON_ENCAP_FAILED);
	if (verdict == LB_PASS && !d->marks) {
		count_received(ctx, p, d, totals);
		count_passed(p, totals);
		return XDP_PASS;
	}
	d->marks = forgotten(d->marks);
	d->reason = forgotten(d->reason);
	if (is_marked(d->marks, TRACED))
		write_event(ctx, p, d, LB_EVENT_EXIT, verdict, totals->rx_packets);
	count_received(ctx, p, d, totals);
	if (verdict == LB_PASS) {
		count_passed(p, totals);
		return XDP_PASS;
	}
	if (verdict == LB_SEND) {
		count_sent(p, d, totals);
	} else if (verdict == LB_ANSWER) {
		count_answered(p, totals);
	} else {
		count_dropped(p, d, totals);
		record(ctx, p, d, verdict, totals);
		return XDP_DROP;
	}
	if (CONTROL->flags & LB_TRACE_ALL)
		record(ctx, p, d, verdict, totals);
	return XDP_TX;
}

#endif
