/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Take the outer header off; touches no map.  Either family in either, right behind each other or with UDP
 * between them (GUE variant 1; its checksum is not looked at).
 *
 * ECN follows RFC 6040: a congestion mark of the outer header is carried over, and a packet that
 * cannot carry it (not ECN-capable) is dropped, which is the mark's other meaning.
 */
#ifndef REMORA_DECAP_H
#define REMORA_DECAP_H

#include <linux/types.h>
#include "packet.h"

#define ECN_MASK 3
#define ECN_CE 3

/* Both MAC addresses, as words, to move them over the outer header. */
struct macs {
	u32 word[3];
};

struct outer {
	u64 size;		/* with the UDP header, if there is one */
	u8 tos;
	u8 protocol;
};

static __always_inline bool parse_outer_ipv4(const struct ipv4 *ip, const void *end,
					     struct outer *outer)
{
	if ((const void *)(ip + 1) > end || ip->version_ihl != BARE_IPV4 ||
	    ip->be_fragment & BE16(FRAGMENT_BITS))
		return false;
	*outer = (struct outer){ sizeof(*ip), ip->tos, ip->protocol };
	return true;
}

static __always_inline bool parse_outer_ipv6(const struct ipv6 *ip, const void *end,
					     struct outer *outer)
{
	if ((const void *)(ip + 1) > end || BE32(ip->be_first) >> 28 != 6)
		return false;
	*outer = (struct outer){ sizeof(*ip), BE32(ip->be_first) >> CLASS_SHIFT, ip->next };
	return true;
}

static __always_inline bool is_gue(const struct udp *udp, const void *end, u16 be_gue_port)
{
	return (const void *)(udp + 1) <= end && udp->be_ports >> 16 == be_gue_port;
}

/* The inner packet's IP version, its header being whole; 0: this is no encapsulation. */
static __always_inline u32 inner_version(const void *at, const void *end, u8 protocol)
{
	const struct ipv4 *ip = at;
	u32 version;

	if ((const void *)(ip + 1) > end)
		return 0;
	version = ip->version_ihl >> 4;
	if (version == 4)
		return protocol == PROTOCOL_IPV6 ? 0 : 4;
	if (version != 6 || at + sizeof(struct ipv6) > end)
		return 0;
	return protocol == PROTOCOL_IPIP ? 0 : 6;
}

/* The encapsulated packet's version, 0 if there is none. */
static __always_inline u32 parse_encapsulated(const struct ethernet *ethernet, const void *end,
					      u16 be_gue_port, struct outer *outer)
{
	const void *at = ethernet + 1;

	if (at > end)
		return 0;
	if (ethernet->be_type == BE16(ETHERTYPE_IPV4)) {
		if (!parse_outer_ipv4(at, end, outer))
			return 0;
	} else if (ethernet->be_type != BE16(ETHERTYPE_IPV6) || !parse_outer_ipv6(at, end, outer)) {
		return 0;
	}
	if (outer->protocol == PROTOCOL_UDP) {
		if (!is_gue(at + outer->size, end, be_gue_port))
			return 0;
		outer->size += sizeof(struct udp);
	} else if (outer->protocol != PROTOCOL_IPIP && outer->protocol != PROTOCOL_IPV6) {
		return 0;
	}
	return inner_version(at + outer->size, end, outer->protocol);
}

/* Marks the header, its checksum updated as RFC 1624 says; false: it cannot carry the mark. */
static __always_inline bool mark_ipv4(struct ipv4 *inner)
{
	u32 old = inner->version_ihl | (u32)inner->tos << 8;
	u32 new = old | ECN_CE << 8;
	u32 sum = (u16)~inner->check + (u16)~old + new;

	if (!(inner->tos & ECN_MASK))
		return false;
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	inner->tos |= ECN_CE;
	inner->check = ~sum;
	return true;
}

static __always_inline bool mark_ipv6(struct ipv6 *inner)
{
	if (!(inner->be_first & BE32(ECN_MASK << CLASS_SHIFT)))
		return false;
	inner->be_first |= BE32(ECN_CE << CLASS_SHIFT);
	return true;
}

/* True: the frame now starts with an Ethernet header in front of the inner packet. */
static __always_inline bool pop_outer(struct xdp_md *ctx, struct macs macs, u64 size, u32 version)
{
	void *data, *end;

	if (bpf_xdp_adjust_head(ctx, size))
		return false;
	data = (void *)(long)ctx->data;
	end = (void *)(long)ctx->data_end;
	if (data + ETHERNET_SIZE > end)
		return false;
	*(struct macs *)data = macs;
	((struct ethernet *)data)->be_type =
		version == 4 ? BE16(ETHERTYPE_IPV4) : BE16(ETHERTYPE_IPV6);
	return true;
}

/* False: the packet has to be dropped. */
static __always_inline bool undo(struct xdp_md *ctx, const struct outer *outer, u32 version)
{
	void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	void *inner = data + ETHERNET_SIZE + outer->size;

	if (inner + sizeof(struct ipv4) > end)	/* cannot be: for the verifier */
		return false;
	if ((outer->tos & ECN_MASK) == ECN_CE &&
	    !(version == 4 ? mark_ipv4(inner) : mark_ipv6(inner)))
		return false;
	return pop_outer(ctx, *(struct macs *)data, outer->size, version);
}

#endif
