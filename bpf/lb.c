// SPDX-License-Identifier: GPL-2.0
/*
 * The balancer: a frame -> one verdict -> one conclusion.
 *
 * The stages decide and count nothing; conclude() counts, records and returns the XDP action.  What is
 * not for a VIP is passed untouched.  Here is what nearly all packets are, plain TCP and UDP; what
 * is rare goes on in rare.c.
 */
#include "lb_abi.h"
#include "lb_maps.h"
#include "packet.h"
#include "vip.h"
#include "place.h"
#include "conclude.h"

int lb(struct xdp_md *ctx)
{
	struct packet p;
	struct decision d;
	const struct lb_real *real = NULL;
	u64 verdict;

	/* Keep both in memory.  Taken apart, thirty fields are ten registers' and the stack's, and every
	 * branch copies those that it has not set yet: 170 stores per packet instead of 80. */
	asm volatile("" : : "r"(&p), "r"(&d) : "memory");
	begin(ctx, &p, &d, bpf_get_smp_processor_id());
	verdict = CONTROL->flags & LB_TRACING ? ASIDE : parse(ctx, &p);
	if (verdict == GO_ON)
		verdict = find_vip(&p, &d);
	if (verdict == GO_ON)
		verdict = place_plain(&p, &d, &real);
	if (verdict == ASIDE || verdict == UNWRAP || d.reason == REASON_TOO_BIG) {
		jump(ctx, MAP(LB_MAP_JUMPS), LB_JUMP_RARE);
		verdict = drop(&d, REASON_INTERNAL);	/* there is nothing to jump to */
	}
	if (verdict == GO_ON)
		verdict = push_encap(ctx, &p, &d, real);
	return conclude(ctx, &p, &d, verdict);
}
