/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Push the outer IPv4 header (IPIP, RFC 2003).  Touches no map; the inner packet stays as it is.
 *
 * TOS is copied whole: the DSCP because the underlay should treat the packet alike, ECN as RFC
 * 6040's normal mode says.  DF is set and the id is 0 (RFC 6864: an atomic datagram needs none).
 */
#ifndef REMORA_ENCAP_H
#define REMORA_ENCAP_H

#include <linux/types.h>
#include "lb_abi.h"
#include "packet.h"

#define OUTER_SIZE sizeof(struct ipv4)
#define OUTER_TTL 64
#define OUTER_DF 0x4000
#define LOWEST_HOST 0x01000000	/* 0.0.0.1 in network order */

/* The flow's source address in the configured prefix: receivers spread flows over queues by it. */
static __always_inline u32 outer_source(const struct lb_control *control, u64 hash)
{
	u32 host = hash & control->be_outer_mask;

	if (host == 0 || host == control->be_outer_mask)	/* network, broadcast */
		host = control->be_outer_mask & LOWEST_HOST;
	return control->be_outer_source | host;
}

/* The header's five words, checksum included: one's complement sums do not mind the byte order. */
static __always_inline void write_outer(u32 *word, u64 length, u8 tos, u32 source,
					u32 destination)
{
	u64 first = 0x45 | (u64)tos << 8 | (u64)BE16(length) << 16;
	u64 second = (u64)BE16(OUTER_DF) << 16;
	u64 third = OUTER_TTL | PROTOCOL_IPIP << 8;
	u64 sum = first + second + third + source + destination;

	sum = (sum & 0xffffffff) + (sum >> 32);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	word[0] = first;
	word[1] = second;
	word[2] = third | (~sum & 0xffff) << 16;
	word[3] = source;
	word[4] = destination;
}

static __always_inline bool push_outer(struct xdp_md *ctx, const struct packet *p,
				       const struct lb_control *control, u64 hash, u32 be_real)
{
	const u32 *macs = (const u32 *)control->gateway_mac;
	void *data, *end;
	u32 *frame;

	if (bpf_xdp_adjust_head(ctx, -(int)OUTER_SIZE))
		return false;
	data = (void *)(long)ctx->data;
	end = (void *)(long)ctx->data_end;
	if (data + ETHERNET_SIZE + OUTER_SIZE > end)	/* cannot be: for the verifier */
		return false;
	frame = data;
	frame[0] = macs[0];	/* words: a copy of twelve bytes becomes fifty instructions */
	frame[1] = macs[1];
	frame[2] = macs[2];
	*(u16 *)(frame + 3) = BE16(ETHERTYPE_IPV4);
	write_outer(data + ETHERNET_SIZE, p->ip_length + OUTER_SIZE, p->tos,
		    outer_source(control, hash), be_real);
	return true;
}

#endif
