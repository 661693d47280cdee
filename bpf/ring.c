// SPDX-License-Identifier: GPL-2.0
/*
 * Fills a Maglev ring: the members take their turns, each the next free slot of its permutation
 * (agent/core/maglev.py says who has which turn and is the reference; both must give the same bytes).
 *
 * They walk until few slots are free. The last ones would take more than half of all steps, so there each
 * member computes how far each free slot is along its permutation, and takes the nearest.
 *
 * What the walk costs is its instructions and the branches that chance decides, so a slot is a fraction of the
 * ring (lb_abi.h, lb_fill): the next one is a sum, its place a shift, and neither needs a look at the end.
 *
 * It never sees a packet. The agent puts the work into the map `fill` and test-runs the program until
 * it returns LB_FILL_DONE (docs/adr/0003). A run is a few steps and keeps its place in the map,
 * so a stopped fill can go on. It is a tc program because a test run of XDP costs 15 ms each.
 */
#include "lb_maps.h"

#define FILL ((struct lb_fill *)MAP_VALUE(LB_MAP_FILL))

/* Per run: so many that the run's own cost is a twentieth, and packets of this CPU wait for a microsecond at most. */
#define FILL_STEPS 128
#define PROBES 4		/* per step, at least 2 */
#define TURN_BITS 0x1ffff	/* so that to the verifier one turn is like any other, and it follows one */
#define WALKED (LB_RING_SLOTS - LB_FILL_REST)

_Static_assert(LB_RING_SLOTS == (1 << 16) + 1, "remainder() and LB_FILL_UNIT rely on it");

/* What the compiler would compute again, or turn into a branch. */
#define KEEP(x) asm volatile("" : "+r"(x))

/* All ones if x is negative.  No branch, here and in what uses it: chance would decide it. */
static __always_inline s64 sign(s64 x)
{
	x >>= 63;
	KEEP(x);
	return x;
}

/* x + LB_RING_SLOTS if x is negative. */
static __always_inline u64 wrapped(s64 x)
{
	return x + (sign(x) & LB_RING_SLOTS);
}

/* The slot's number.  Twice it is exact as well: no fraction is over a half. */
static __always_inline u64 slot_of(u64 at)
{
	return (at >> 32) * LB_RING_SLOTS >> 32;
}

static __always_inline u8 *taken(struct lb_fill *fill, u64 at)
{
	KEEP(at);
	return &fill->taken[at >> (64 - LB_FILL_PLACE_BITS)];
}

/* Where the member's number is written: slots[slot_of(at)], two instructions less. */
static __always_inline u16 *owner(struct lb_fill *fill, u64 at)
{
	return (void *)fill->slots + ((at >> 32) * (sizeof(u16) * LB_RING_SLOTS) >> 32);
}

/*
 * A step looks at the next PROBES slots of the member's permutation at once and takes the first free one, without a
 * branch on any single one.  Only whether there was one is a branch, which for the first half of the ring is nearly
 * always taken.
 */
static __always_inline int walk(struct lb_fill *fill)
{
	u64 turn = fill->turn, num, at, skip;
	struct lb_fill_member *member;

	if (turn >= WALKED)
		return LB_FILL_DONE;
	num = fill->order[turn] & (LB_MAX_REALS - 1);
	at = fill->members[num].next;
	skip = fill->members[num].skip;
#pragma unroll 4
	for (u64 step = 0; step < FILL_STEPS; step++) {
		u64 none_free = *taken(fill, at), passed = none_free, behind = at + skip;

#pragma unroll
		for (int i = 0; i < PROBES - 2; i++) {
			none_free &= *taken(fill, behind);
			KEEP(none_free);
			passed += none_free;
			behind += skip;
			KEEP(behind);
		}
		none_free &= *taken(fill, behind);
		KEEP(none_free);
		if (none_free) {
			at = behind + skip;
			continue;
		}
		at += passed * skip;
		KEEP(at);
		*taken(fill, at) = 1;
		*owner(fill, at) = num;
		member = &fill->members[num];
		member->next = at + skip;
		turn = (turn + 1) & TURN_BITS;
		if (turn >= WALKED)
			break;
		num = fill->order[turn] & (LB_MAX_REALS - 1);
		member = &fill->members[num];
		at = member->next;
		skip = member->skip;
	}
	if (turn < WALKED)
		fill->members[num].next = at;
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
	u64 num, from, inverse;

	if (turn >= LB_RING_SLOTS || count > LB_FILL_REST)
		return LB_FILL_BROKEN;
	num = fill->order[turn] & (LB_MAX_REALS - 1);
	from = slot_of(fill->members[num].next);
	inverse = fill->inverse[num];
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
