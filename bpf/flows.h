/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The flow table's rules: one set of four entries, one CPU, no locks.  Works on the set it is given
 * and touches no map itself.  States and layout: lb_abi.h; why a table of our own: docs/adr/0002.
 */
#ifndef REMORA_FLOWS_H
#define REMORA_FLOWS_H

#include <linux/types.h>
#include "lb_abi.h"
#include "packet.h"

/* The loader passes LB_HZ, jiffies per second. */
#define REUSE_AFTER (60 * LB_HZ)
#define OVER_AFTER LB_HZ	/* the last packets of a connection that was closed are past */
#define STALE_BY 1		/* jiffies by which `seen` may lag: a busy flow's line stays clean */

/* The state of a flow that goes on receiving: a client that ended its half acknowledges on and on,
 * one that is done once or twice (RFC 9293, 3.6).  Those between it and LB_FLOW_CLOSING count. */
#define HALF_CLOSED (LB_FLOW_CLOSING + 6)

/* Never 0, which marks a free entry. Wraps after months: only compare. */
static __always_inline u32 flow_clock(u64 jiffies)
{
	return jiffies | 1;
}

static __always_inline struct lb_flow *find_flow(struct lb_flow_set *set, u64 tag)
{
#pragma unroll
	for (int i = 0; i < LB_FLOW_WAYS; i++)
		if (set->way[i].tag == tag && set->way[i].seen)
			return &set->way[i];
	return NULL;
}

static __always_inline bool is_closing(const struct lb_flow *flow)
{
	return flow->state >= LB_FLOW_CLOSING;
}

/*
 * Whether the packet belongs to the flow as stored.  `real` is of the packet's VIP and may be sent to.
 *
 * A SYN is a copy of the one that opened the flow, or the first of another connection with the same
 * ports.  The copy must reach the real that has the connection; the new one had better not go to a
 * real that drains.  After FIN or RST it is the new one.  On a draining real the age decides: no
 * copy of a SYN comes a minute after the flow's last packet, while a client's port is rarely used
 * again within one.  (A SYN that was refused leaves an opening flow that nothing ever closes.)
 */
static __always_inline bool keeps_flow(const struct lb_flow *flow, const struct lb_real *real,
				       const struct packet *p, u32 now, u32 udp_idle)
{
	u32 silent = now - flow->seen;

	if (flow->generation != real->generation)
		return false;
	if (p->protocol == PROTOCOL_UDP)
		return !udp_idle || silent <= udp_idle || p->quoted;
	if (!opens(p))
		return true;
	if (is_closing(flow))
		return false;
	return !(real->flags & LB_REAL_DRAINING) || silent <= REUSE_AFTER;
}

/*
 * Whether a later connection with the same ports may have begun on another CPU, whose first packet
 * does not look here.  Of one that goes on that is not asked: it would cost every packet.
 */
static __always_inline bool may_be_outdated(const struct lb_flow *flow, u32 now)
{
	return now - flow->seen > (is_closing(flow) ? OVER_AFTER : REUSE_AFTER);
}

static __always_inline void touch_flow(struct lb_flow *flow, const struct packet *p, u32 now)
{
	if ((u32)(now - flow->seen) > STALE_BY)
		flow->seen = now;
	if (closes(p))
		flow->state = LB_FLOW_CLOSING;
	else if (flow->state != LB_FLOW_OPEN && flow->state < HALF_CLOSED && !opens(p))
		flow->state++;
}

/* How willingly an entry is given away: free ones first, then closing, then the longest silent. */
static __always_inline u64 spare(const struct lb_flow *flow, u32 now)
{
	u64 age = (u32)(now - flow->seen);

	if (!flow->seen)
		return ~0ULL;
	return is_closing(flow) ? age | 1ULL << 32 : age;
}

/* The entry of the set that is missed least. */
static __always_inline struct lb_flow *spare_entry(struct lb_flow_set *set, u32 now)
{
	struct lb_flow *entry = &set->way[0];
	u64 best = spare(entry, now);

#pragma unroll
	for (int i = 1; i < LB_FLOW_WAYS; i++) {
		u64 candidate = spare(&set->way[i], now);

		if (candidate > best) {
			best = candidate;
			entry = &set->way[i];
		}
	}
	return entry;
}

static __always_inline bool is_live(const struct lb_flow *flow)
{
	return flow->seen && !is_closing(flow);
}

static __always_inline void store_flow(struct lb_flow *entry, u64 tag, u32 real_num, u8 generation,
				       const struct packet *p, u32 now)
{
	entry->tag = tag;
	entry->real_num = real_num;
	entry->generation = generation;
	entry->state = opens(p) ? LB_FLOW_OPENING : LB_FLOW_OPEN;
	entry->seen = now;
}

#endif
