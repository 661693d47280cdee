/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Flow -> 64-bit keyed hash.  Touches no map.
 *
 * For one VIP (destination address, port, protocol) the hash is a bijection of {source address,
 * source port}: xor, addition, multiplication by an odd number and x ^= x >> n can all be undone.
 * So two flows of one VIP never share a hash, and the flow table's tag is exact.  One half of the
 * secret goes in before the first multiplication, the other between the two: who does not know it
 * cannot choose flows that fall on one slot or one flow set.
 *
 * Who uses which bits: the ring slot the upper 32 (slot_of), the flow set the lowest ones, the
 * outer source the lower 32.
 */
#ifndef REMORA_HASH_H
#define REMORA_HASH_H

#include <linux/types.h>
#include "lb_abi.h"

#define HASH_ODD_1 0xd6e8feb86659fd93ULL
#define HASH_ODD_2 0xa0761d6478bd642fULL
#define HASH_ODD_3 0x9e3779b97f4a7c15ULL
#define HASH_STEP 0xd1342543de82ef95ULL	/* multiplier of a 64-bit LCG (Steele and Vigna, 2021) */

/* All arguments as they stand in the packet, loaded as little-endian words. */
static __always_inline u64 flow_hash(const lb_u64 *key, u32 source, u32 destination, u32 ports,
				     u8 protocol)
{
	u64 vip = ((u64)destination << 8 | protocol) * HASH_ODD_3;
	u64 x = ((u64)source << 32 | ports) ^ (key[0] + vip);

	x ^= x >> 32;
	x *= HASH_ODD_1;
	x ^= x >> 29;
	x += key[1];
	x *= HASH_ODD_2;
	return x ^ x >> 32;
}

static __always_inline u64 slot_of(u64 hash)
{
	return (hash >> 32) * LB_RING_SLOTS >> 32;
}

/* The hash with which a flow looks for another slot when its own belongs to a real that is down. */
static __always_inline u64 next_hash(u64 hash)
{
	return hash * HASH_STEP + 1;
}

#endif
