// SPDX-License-Identifier: GPL-2.0
/*
 * Fills a Maglev ring: the members take their turns, each the next free slot of its permutation
 * (agent/core/maglev.py says who has which turn and is the reference; both must give the same bytes).
 *
 * They walk until few slots are free. The last ones would take more than half of all steps, so there each
 * member computes how far each free slot is along its permutation, and takes the nearest.
 *
 * It never sees a packet. The agent puts the work into the map `fill` and test-runs the program until
 * it returns LB_FILL_DONE (docs/adr/0003). A run is a few steps and keeps its place in the map,
 * so a stopped fill can go on. It is a tc program because a test run of XDP costs 15 ms each.
 */
#include "lb_maps.h"

#define FILL ((struct lb_fill *)MAP_VALUE(LB_MAP_FILL))

/* Slots per run: at 64 the run's own cost is a tenth, and the unrolled loop is 2,700 instructions. */
#define FILL_STEPS 64
#define SLOT_BITS 0x1ffff	/* so that to the verifier one slot is like any other, and it follows one */
#define WALKED (LB_RING_SLOTS - LB_FILL_REST)

_Static_assert(LB_RING_SLOTS == (1 << 16) + 1, "remainder() relies on it");

/* All ones if x is negative.  No branch, here and in what uses it: chance would decide it. */
static __always_inline s64 sign(s64 x)
{
	x >>= 63;
	asm volatile("" : "+r"(x));	/* or the compiler makes a branch of it */
	return x;
}

/* x + LB_RING_SLOTS if x is negative. */
static __always_inline u64 wrapped(s64 x)
{
	return x + (sign(x) & LB_RING_SLOTS);
}

/* slot + skip, both below the number of slots. */
static __always_inline u64 following(u64 slot, u64 skip)
{
	return wrapped(slot + skip - LB_RING_SLOTS);
}

static __always_inline int walk(struct lb_fill *fill)
{
	struct lb_fill_member *member;
	u64 turn = fill->turn;
	u64 num, slot, skip;

	if (turn >= WALKED)
		return LB_FILL_DONE;
	num = fill->order[turn] & (LB_MAX_REALS - 1);
	member = &fill->members[num];
	slot = member->next;
	skip = member->skip;
#pragma unroll
	for (int step = 0; step < FILL_STEPS; step++) {
		u64 at = slot & SLOT_BITS;

		if (at >= LB_RING_SLOTS)
			return LB_FILL_BROKEN;
		slot = following(at, skip);
		if (fill->slots[at] != LB_FILL_NOBODY)
			continue;
		fill->slots[at] = num;
		member->next = slot;
		turn = (turn + 1) & SLOT_BITS;
		if (turn >= WALKED)
			break;
		num = fill->order[turn] & (LB_MAX_REALS - 1);
		member = &fill->members[num];
		slot = member->next;
		skip = member->skip;
	}
	if (turn < WALKED)
		member->next = slot;
	fill->turn = turn;
	return turn < WALKED ? LB_FILL_MORE : LB_FILL_DONE;
}

/* x % LB_RING_SLOTS of a product: 2^16 is -1 there. */
static __always_inline u64 remainder(u64 x)
{
	return wrapped((s64)(x & 0xffff) - (s64)(x >> 16));
}

static __always_inline u64 lesser(u64 a, u64 b)
{
	s64 difference = a - b;

	return b + (sign(difference) & difference);
}

/* One turn. */
static __always_inline int take_nearest(struct lb_fill *fill)
{
	u64 turn = fill->turn, count = fill->free_slots, nearest = ~0ULL >> 1, slot;
	struct lb_fill_member *member;
	u64 num, from, inverse;

	if (turn >= LB_RING_SLOTS || count > LB_FILL_REST)
		return LB_FILL_BROKEN;
	num = fill->order[turn] & (LB_MAX_REALS - 1);
	member = &fill->members[num];
	from = member->next;
	inverse = member->inverse;
#pragma nounroll
	for (u64 i = 0; i < LB_FILL_REST; i++) {
		u64 steps;

		if (i >= count)
			break;
		steps = remainder(wrapped((s64)fill->free[i] - (s64)from) * inverse);
		nearest = lesser(steps * LB_FILL_REST + i, nearest);
	}
	nearest &= LB_FILL_REST - 1;
	slot = fill->free[nearest];
	if (slot >= LB_RING_SLOTS)
		return LB_FILL_BROKEN;
	fill->slots[slot] = num;
	fill->free[nearest] = fill->free[(count - 1) & (LB_FILL_REST - 1)];
	fill->free_slots = count - 1;
	fill->turn = turn + 1;
	return turn + 1 < LB_RING_SLOTS ? LB_FILL_MORE : LB_FILL_DONE;
}

int ring(struct __sk_buff *skb)
{
	struct lb_fill *fill = FILL;

	asm volatile("" : "+r"(fill));	/* one register, or every access loads the address again */
	return fill->free_slots ? take_nearest(fill) : walk(fill);
}
