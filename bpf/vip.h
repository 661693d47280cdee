/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A packet -> its VIP.  VIP first: whatever is odd about a packet concerns us only if its address is one.
 */
#ifndef REMORA_VIP_H
#define REMORA_VIP_H

#include <linux/types.h>
#include "lb_abi.h"
#include "lb_maps.h"
#include "packet.h"
#include "address.h"
#include "decision.h"

static __always_inline const struct lb_address *address_of(const u64 *be_address, u64 version)
{
	const struct lb_address *address = find_address(ADDRESSES, be_address, version);

	if (!address && CONTROL->flags & LB_PREFIXES)
		return prefix_of(be_address, version);
	return address;
}

/* To an address of the node: encapsulated for it, if it is a real itself, or none of our business. */
static __always_inline u64 is_for_us(const struct packet *p)
{
	if (p->odd)
		return LB_PASS;
	if (is_encapsulated(p->protocol))
		return UNWRAP;
	return p->protocol == PROTOCOL_UDP && be_port(p) == CONTROL->be_gue_port ? UNWRAP : LB_PASS;
}

static __always_inline u64 find_vip(const struct packet *p, struct decision *d)
{
	const struct lb_address *address = address_of(p->be_destination, p->version);
	u64 number;

	if (!address)
		return LB_PASS;
	d->address_flags = address->flags;
	number = address->number;
	if (!(d->address_flags & LB_ADDRESS_VIP))
		return is_for_us(p);
	if (p->odd)
		return drop(d, p->odd);
	d->vip_num = find_vip_num(VIPS, vip_key(number, p, be_port(p)));
	if (!d->vip_num && d->address_flags & LB_ADDRESS_ALL_PORTS)
		d->vip_num = find_vip_num(VIPS, vip_key(number, p, 0));
	return d->vip_num ? GO_ON : LB_PASS;
}

#endif
