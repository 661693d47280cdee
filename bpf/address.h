/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Where an address and a VIP stand in their tables; touches no map.
 *
 * Cuckoo hashing (Pagh and Rodler 2004): two places each, and the agent (agent/dataplane/places.py) moves others out
 * of the way when it writes.  Not keyed: only the operator decides what is in the tables.
 */
#ifndef REMORA_ADDRESS_H
#define REMORA_ADDRESS_H

#include <linux/types.h>
#include "lb_abi.h"
#include "hash.h"

#define PLACE_BITS 11		/* of LB_PLACES */

_Static_assert(1 << PLACE_BITS == LB_PLACES, "a place is that many bits of the hash");

static __always_inline u64 first_place(u64 hash)
{
	return hash >> (64 - PLACE_BITS);
}

static __always_inline u64 second_place(u64 hash)
{
	return hash >> (64 - 2 * PLACE_BITS) & (LB_PLACES - 1);
}

static __always_inline u64 address_hash(const u64 *be_address, u64 version)
{
	u64 x = (be_address[0] + version) * HASH_ODD_1 ^ be_address[1];

	return (x ^ x >> 32) * HASH_ODD_2;
}

static __always_inline u64 vip_hash(u64 key)
{
	u64 x = key * HASH_ODD_1;

	return (x ^ x >> 32) * HASH_ODD_2;
}

static __always_inline bool is_address(const struct lb_address *place, const u64 *be_address,
				       u64 version)
{
	return place->be_address[0] == be_address[0] && place->version == version &&
	       place->be_address[1] == be_address[1];
}

static __always_inline const struct lb_address *
find_address(const struct lb_addresses *table, const u64 *be_address, u64 version)
{
	u64 hash = address_hash(be_address, version);
	const struct lb_address *place = &table->place[first_place(hash)];

	if (is_address(place, be_address, version))
		return place;
	place = &table->place[second_place(hash)];
	return is_address(place, be_address, version) ? place : NULL;
}

static __always_inline u64 vip_key(u64 number, const struct packet *p, u64 be_port)
{
	return number << 17 | (p->protocol == PROTOCOL_UDP) << 16 | be_port;
}

/* The vip_num; 0: none. */
static __always_inline u64 find_vip_num(const struct lb_vips *table, u64 key)
{
	u64 hash = vip_hash(key);
	u64 word = *(const volatile lb_u64 *)&table->place[first_place(hash)];

	if (word >> 32 != key)
		word = *(const volatile lb_u64 *)&table->place[second_place(hash)];
	return word >> 32 == key ? word & 0xffffffff : 0;
}

#endif
