/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Where an address and a VIP stand in their tables; touches no map.
 *
 * Cuckoo hashing (Pagh and Rodler 2004): two places each, and the agent (agent/places.py) moves others out
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

static __always_inline u64 address_hash(const u32 *be_address, u32 version)
{
	u64 x = (joined(be_address[0], be_address[1]) + version) * HASH_ODD_1;

	x ^= joined(be_address[2], be_address[3]);
	return (x ^ x >> 32) * HASH_ODD_2;
}

static __always_inline u64 vip_hash(u32 key)
{
	u64 x = key * HASH_ODD_1;

	return (x ^ x >> 32) * HASH_ODD_2;
}

static __always_inline bool is_address(const struct lb_address *place, const u32 *be_address,
				       u32 version)
{
	return place->be_address[0] == be_address[0] && place->version == version &&
	       place->be_address[1] == be_address[1] && place->be_address[2] == be_address[2] &&
	       place->be_address[3] == be_address[3];
}

static __always_inline const struct lb_address *
find_address(const struct lb_addresses *table, const u32 *be_address, u32 version)
{
	u64 hash = address_hash(be_address, version);
	const struct lb_address *place = &table->place[first_place(hash)];

	if (is_address(place, be_address, version))
		return place;
	place = &table->place[second_place(hash)];
	return is_address(place, be_address, version) ? place : NULL;
}

static __always_inline u32 vip_key(u32 number, u8 protocol, u16 be_port)
{
	return number << 17 | (protocol == PROTOCOL_UDP) << 16 | be_port;
}

/* The vip_num; 0: none. */
static __always_inline u32 find_vip_num(const struct lb_vips *table, u32 key)
{
	u64 hash = vip_hash(key);
	const struct lb_vip *place = &table->place[first_place(hash)];

	if (place->key == key)
		return place->vip_num;
	place = &table->place[second_place(hash)];
	return place->key == key ? place->vip_num : 0;
}

#endif
