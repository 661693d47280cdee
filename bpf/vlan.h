/* SPDX-License-Identifier: GPL-2.0 */
/*
 * One VLAN tag (802.1Q, 802.1ad) around an IP packet: off before anything looks, on again before the
 * verdict.  So a packet leaves in the VLAN in which it came, and all else knows no tags.  Touches no map.
 *
 * A NIC that takes tags off itself shows them to no XDP program: switch that off
 * (ethtool -K IFACE rxvlan off), or give the program an interface without tags.
 */
#ifndef REMORA_VLAN_H
#define REMORA_VLAN_H

#include <linux/types.h>
#include "lb_abi.h"
#include "packet.h"

#define TAG_SIZE 4

struct tagged {
	u32 mac[3];
	u32 tag;		/* ethertype and VLAN, as they stand in the frame */
	u16 be_type;		/* of what is tagged */
} __attribute__((packed));

static __always_inline bool is_tagged(struct xdp_md *ctx)
{
	const struct ethernet *ethernet = (void *)(long)ctx->data;

	if ((const void *)(ethernet + 1) > (void *)(long)ctx->data_end)
		return false;
	return ethernet->be_type == BE16(ETHERTYPE_VLAN) ||
	       ethernet->be_type == BE16(ETHERTYPE_SERVICE_VLAN);
}

/* Takes the tag off, if there is IP behind it: p->tag. */
static __always_inline void untag(struct xdp_md *ctx, struct packet *p)
{
	const struct tagged *tagged = (void *)(long)ctx->data;
	u32 mac0, mac1, mac2, tag;
	u32 *frame;

	if ((const void *)(tagged + 1) > (void *)(long)ctx->data_end)
		return;
	if (tagged->be_type != BE16(ETHERTYPE_IPV4) && tagged->be_type != BE16(ETHERTYPE_IPV6))
		return;
	mac0 = ((const u32 *)tagged)[0];
	mac1 = ((const u32 *)tagged)[1];
	mac2 = ((const u32 *)tagged)[2];
	tag = ((const u32 *)tagged)[3];
	if (bpf_xdp_adjust_head(ctx, TAG_SIZE))
		return;
	p->tag = tag;
	frame = (void *)(long)ctx->data;
	if ((void *)frame + ETHERNET_SIZE > (void *)(long)ctx->data_end)
		return;		/* cannot be: for the verifier */
	frame[0] = mac0;
	frame[1] = mac1;
	frame[2] = mac2;
}

/* Puts it on again; false: there is no room in front of the frame. */
static __always_inline bool retag(struct xdp_md *ctx, const struct packet *p)
{
	u32 *frame;

	if (bpf_xdp_adjust_head(ctx, -TAG_SIZE))
		return false;
	frame = (void *)(long)ctx->data;
	if ((void *)frame + ETHERNET_SIZE + TAG_SIZE > (void *)(long)ctx->data_end)
		return false;	/* cannot be: for the verifier */
	frame[0] = frame[1];
	frame[1] = frame[2];
	frame[2] = frame[3];
	frame[3] = p->tag;
	return true;
}

#endif
