/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Flow -> 64-bit keyed hash.  Touches no map.
 *
 * For one IPv4 VIP (destination address, port, protocol) the hash is a bijection of {source address,
 * source port}: xor, addition, multiplication by an odd number and x ^= x >> n can all be undone.
 * So two flows of one VIP never share a hash, and the flow table's tag is exact.
 *
 * For an IPv6 VIP 160 bits become 64: it is a bijection of each of {upper half of the source
 * address, lower half, source port} while the other two stay, so that two flows can share a hash
 * only if they differ in two of them, and then with a chance of 2^-64.  They would share a real.
 *
 * Between any two multiplications a half of the secret goes in: who does not know it cannot choose
 * flows that fall on one slot or one flow set.
 *
 * Who uses which bits: the ring slot the upper 32 (slot_of), the flow set the lowest ones, the
 * outer header the lower 32 (the IPv6 source address nearly all).
 */
#ifndef REMORA_HASH_H
#define REMORA_HASH_H

#include <linux/types.h>
#include "lb_abi.h"
#include "packet.h"

#define HASH_ODD_1 0xd6e8feb86659fd93ULL
#define HASH_ODD_2 0xa0761d6478bd642fULL
#define HASH_ODD_3 0x9e3779b97f4a7c15ULL
#define HASH_STEP 0xd1342543de82ef95ULL	/* multiplier of a 64-bit LCG (Steele and Vigna, 2021) */

static __always_inline u64 stirred(u64 x)
{
	x ^= x >> 32;
	x *= HASH_ODD_1;
	return x ^ x >> 29;
}

static __always_inline u64 finished(u64 x)
{
	x *= HASH_ODD_2;
	return x ^ x >> 32;
}

static __always_inline u64 ipv4_hash(const lb_u64 *key, const struct packet *p, u64 be_source,
				     u64 be_ports)
{
	u64 vip = (p->be_destination[0] << 8 | p->protocol) * HASH_ODD_3;
	u64 x = stirred((be_source << 32 | be_ports) ^ (key[0] + vip));

	return finished(x + key[1]);
}

static __always_inline u64 ipv6_hash(const lb_u64 *key, const struct packet *p,
				     const u64 *be_source, u64 be_ports)
{
	u64 vip = ((p->be_destination[0] + p->be_destination[1] * HASH_ODD_2) << 8 | p->protocol) *
		  HASH_ODD_3;
	u64 x = stirred(be_source[0] ^ (key[0] + vip));

	x = stirred(be_source[1] ^ (x + key[1]));
	x = stirred(be_ports ^ (x + key[0]));
	return finished(x + key[1]);
}

/* Of the whole flow: the flow table's tag, and where the VIP wants nothing else the ring slot. */
static __always_inline u64 flow_hash(const lb_u64 *key, const struct packet *p)
{
	if (p->version == 4)
		return ipv4_hash(key, p, p->be_source[0], p->be_ports);
	return ipv6_hash(key, p, p->be_source, p->be_ports);
}

/* Of what the VIP's flags (enum lb_vip_flag) leave of the flow: equal for all that belong together. */
static __always_inline u64 placing_hash(const lb_u64 *key, const struct packet *p, u64 flags)
{
	u64 be_source[2] = { p->be_source[0], p->be_source[1] };
	u64 be_ports = p->be_ports;

	if (flags & LB_VIP_ANY_SOURCE)
		be_source[0] = be_source[1] = 0;
	if (flags & LB_VIP_ANY_SOURCE_PORT)
		be_ports &= 0xffff0000;
	if (flags & LB_VIP_ANY_PORT)
		be_ports &= 0xffff;
	if (p->version == 4)
		return ipv4_hash(key, p, be_source[0], be_ports);
	return ipv6_hash(key, p, be_source, be_ports);
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
