// SPDX-License-Identifier: GPL-2.0
/*
 * Fills a Maglev ring: the members take their turns, each the next free slot of its permutation
 * (agent/maglev.py says who has which turn and is the reference; both must give the same bytes).
 *
 * It never sees a packet. The agent puts the work into the map `fill` and test-runs the program until
 * it returns LB_FILL_DONE (docs/adr/0003). A run looks at FILL_STEPS slots and keeps its place in the map,
 * so a stopped fill can go on. It is a tc program because a test run of XDP costs 15 ms each.
 */
#include "lb_maps.h"

#define FILL ((struct lb_fill *)MAP_VALUE(LB_MAP_FILL))

/* Slots per run: at 64 the run's own cost is a tenth, and the unrolled loop is 2,700 instructions. */
#define FILL_STEPS 64

/* slot + skip, both below the number of slots. */
static __always_inline u64 following(u64 slot, u64 skip)
{
	slot += skip;
	return slot >= LB_RING_SLOTS ? slot - LB_RING_SLOTS : slot;
}

int ring(struct __sk_buff *skb)
{
	struct lb_fill *fill = FILL;
	struct lb_fill_member *member;
	u64 turn = fill->turn;
	u64 num, slot, skip;

	asm volatile("" : "+r"(fill));	/* one register, or every access loads the address again */
	if (turn >= LB_RING_SLOTS)
		return LB_FILL_DONE;
	num = fill->order[turn] & (LB_MAX_REALS - 1);
	member = &fill->members[num];
	slot = member->next;
	skip = member->skip;
#pragma unroll
	for (int step = 0; step < FILL_STEPS; step++) {
		if (slot >= LB_RING_SLOTS || skip >= LB_RING_SLOTS)
			return LB_FILL_BROKEN;
		if (fill->slots[slot] != LB_FILL_NOBODY) {
			slot = following(slot, skip);
			continue;
		}
		fill->slots[slot] = num;
		member->next = following(slot, skip);
		if (++turn >= LB_RING_SLOTS)
			break;
		num = fill->order[turn] & (LB_MAX_REALS - 1);
		member = &fill->members[num];
		slot = member->next;
		skip = member->skip;
	}
	if (turn < LB_RING_SLOTS)
		member->next = slot;
	fill->turn = turn;
	return turn < LB_RING_SLOTS ? LB_FILL_MORE : LB_FILL_DONE;
}
