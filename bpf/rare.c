// SPDX-License-Identifier: GPL-2.0
/*
 * The balancer with all that lb.c leaves out: VLAN tags, IPv6 extension headers, ICMP, packets that are
 * encapsulated for this node, QUIC connection ids, answers, trace.  lb() jumps here, having changed
 * nothing, and all begins anew.
 *
 * The same stages as there.  But packet and decision are in a map: the verifier knows nothing of what is read from
 * there, so it follows each stage once, not once for every way that leads to it.
 */
#include "lb_abi.h"
#include "lb_maps.h"
#include "packet.h"
#include "vlan.h"
#include "aside.h"
#include "vip.h"
#include "place.h"
#include "decap.h"
#include "answer.h"
#include "conclude.h"

struct work {
	struct packet packet;
	struct decision decision;
};

_Static_assert(sizeof(struct work) <= sizeof(struct lb_work), "the map has room for it");

/* The inner packet is the host's if it is for a VIP: anything else would be a way around its firewall. */
static __always_inline u64 unwrap(struct xdp_md *ctx, struct decision *d)
{
	const void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	const struct lb_address *address;
	struct outer outer = {};
	u64 to[2] = {};
	u32 version = parse_encapsulated(data, end, CONTROL->be_gue_port, &outer);
	const void *inner = data + ETHERNET_SIZE + outer.size;

	if (!version || inner + sizeof(struct ipv4) > end)
		return LB_PASS;
	if (version == 4)
		to[0] = ((const struct ipv4 *)inner)->be_destination;
	else if (inner + sizeof(struct ipv6) <= end)
		copy_address(to, ((const struct ipv6 *)inner)->be_destination);
	address = address_of(to, version);
	if (!address || !(address->flags & LB_ADDRESS_VIP))
		return LB_PASS;
	if (!undo(ctx, &outer, version))
		return drop(d, REASON_CONGESTION);
	mark(d, DECAPSULATED);
	return LB_PASS;
}

/* "All ports" of a VIP are those of TCP and UDP: what is encapsulated for its address has none. */
static __always_inline u64 find_any_vip(const struct packet *p, struct decision *d)
{
	u64 verdict = find_vip(p, d);

	if (verdict != GO_ON || !is_encapsulated(p->protocol))
		return verdict;
	d->vip_num = 0;
	return LB_PASS;
}

static __always_inline bool may_answer(struct decision *d, u32 bucket)
{
	if (take_token(bucket_of(d->cpu, bucket), d->now, CONTROL->icmp_interval,
		       CONTROL->icmp_ahead))
		return true;
	mark(d, SUPPRESSED);
	return false;
}

static __always_inline u64 answer_too_big(struct xdp_md *ctx, const struct packet *p,
					  struct decision *d)
{
	u64 room = CONTROL->underlay_mtu - overhead(d->encap);

	if (!wants_to_know(ctx, p) || !may_answer(d, LB_BUCKET_TOO_BIG))
		return LB_DROP;
	mark(d, TOO_BIG);
	return write_too_big(ctx, p, CONTROL, room) ? LB_ANSWER : LB_DROP;
}

static __always_inline u64 answer_ping(struct xdp_md *ctx, const struct packet *p,
				       struct decision *d)
{
	if (!(CONTROL->flags & LB_ANSWER_PING) || !(d->address_flags & LB_ADDRESS_PING) ||
	    !answerable(ctx, p))
		return LB_PASS;
	if (!may_answer(d, LB_BUCKET_PING))
		return LB_DROP;
	return write_echo_reply(ctx, p, CONTROL) ? LB_ANSWER : LB_DROP;
}

/* What would be dropped, but its sender can be told and the rate permits. */
static __always_inline u64 answer(struct xdp_md *ctx, const struct packet *p, struct decision *d)
{
	u64 verdict = LB_DROP;

	if (d->reason == REASON_TOO_BIG)
		verdict = answer_too_big(ctx, p, d);
	else if (d->reason == REASON_PING_LIMIT)
		verdict = answer_ping(ctx, p, d);
	if (verdict == LB_ANSWER)
		d->reason = REASON_NONE;
	return verdict;
}

int rare(struct xdp_md *ctx)
{
	u32 cpu = bpf_get_smp_processor_id();
	struct work *work = work_of(cpu);
	const struct lb_real *real = NULL;
	struct decision *d;
	struct packet *p;
	u64 verdict;

	if (!work)
		return XDP_ABORTED;	/* cannot be: there is one for every possible CPU */
	p = &work->packet;
	d = &work->decision;
	__builtin_memset(work, 0, sizeof(*work));	/* the last packet's */
	begin(ctx, p, d, cpu);
	if (is_tagged(ctx))
		untag(ctx, p);
	verdict = parse(ctx, p);
	if (verdict == ASIDE)
		verdict = parse_aside(ctx, p);
	if (verdict == GO_ON)
		verdict = find_any_vip(p, d);
	if (verdict == GO_ON)
		verdict = place_any(ctx, p, d, &real);
	if (CONTROL->flags & LB_TRACING)
		trace_entry(ctx, p, d);
	if (verdict == UNWRAP)
		verdict = unwrap(ctx, d);
	if (verdict == LB_DROP)
		verdict = answer(ctx, p, d);
	if (verdict == GO_ON)
		verdict = push_encap(ctx, p, d, real);
	return conclude(ctx, p, d, verdict);
}
