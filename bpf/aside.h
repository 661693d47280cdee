/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What is not plain TCP or UDP: IPv6 extension headers, ICMP, packets that are encapsulated already.
 * Ends in struct packet, as packet.h; touches no map.
 */
#ifndef REMORA_ASIDE_H
#define REMORA_ASIDE_H

#include <linux/types.h>
#include "lb_abi.h"
#include "packet.h"
#include "icmp.h"

#define MOST_EXTENSIONS 4
#define WHOLE_PACKET 0xfff9	/* of a fragment header: neither an offset nor more to come (RFC 6946) */

struct extension {
	u8 next;
	u8 length;		/* in units of its kind; of a fragment header: reserved */
	u16 be_fragment;	/* of a fragment header; of a routing header: type, segments left */
	u32 rest;		/* eight bytes at least */
};

static __always_inline bool is_extension(u8 next)
{
	switch (next) {
	case HEADER_HOP_BY_HOP:
	case HEADER_ROUTING:
	case HEADER_FRAGMENT:
	case HEADER_AUTHENTICATION:
	case HEADER_DESTINATION:
	case HEADER_MOBILITY:
	case HEADER_HIP:
	case HEADER_SHIM6:
		return true;
	}
	return false;
}

/* Size of a header behind which the search may go on; 0, and p->odd says why, if it may not. */
static __always_inline u64 size_of_extension(const struct extension *header, u8 kind,
					     struct packet *p)
{
	p->odd = REASON_EXTENSION_HEADER;
	switch (kind) {
	case HEADER_ROUTING:
		if (header->be_fragment >> 8)	/* segments left: this is not the last destination */
			return 0;
		return 8 + header->length * 8;
	case HEADER_HOP_BY_HOP:
	case HEADER_DESTINATION:
		return 8 + header->length * 8;
	case HEADER_AUTHENTICATION:	/* RFC 4302: in words, without the first two */
		return 8 + header->length * 4;
	case HEADER_FRAGMENT:
		if (!(header->be_fragment & BE16(WHOLE_PACKET)))
			return 8;
		p->odd = REASON_FRAGMENT;
	}
	return 0;
}

static __always_inline u32 parse_extensions(const struct ipv6 *ip, const void *end,
					    struct packet *p)
{
	u64 behind = sizeof(*ip), size;
	u8 next = ip->next;

	p->ip_length = sizeof(*ip) + BE16(ip->be_length);
#pragma unroll
	for (int i = 0; i < MOST_EXTENSIONS; i++) {
		const struct extension *header = (const void *)ip + behind;

		if (next == PROTOCOL_TCP || next == PROTOCOL_UDP)
			break;
		if ((const void *)(header + 1) > end)
			return is_extension(next) ? REASON_MALFORMED : REASON_EXTENSION_HEADER;
		size = size_of_extension(header, next, p);
		if (!size)
			return p->odd;
		next = header->next;
		behind += size;
	}
	if (next != PROTOCOL_TCP && next != PROTOCOL_UDP)
		return REASON_EXTENSION_HEADER;
	p->protocol = next;
	p->extended = true;
	if (behind > p->ip_length)
		return REASON_MALFORMED;
	return parse_ports((const void *)ip + behind, end, behind, p);
}

static __always_inline u64 parse_aside4(const struct ipv4 *ip, const void *end, struct packet *p)
{
	if ((const void *)(ip + 1) > end)
		return LB_PASS;
	if (ip->protocol == PROTOCOL_ICMP)
		return parse_icmp4(ip, end, p);
	if (!is_encapsulated(ip->protocol))
		return LB_PASS;
	p->protocol = ip->protocol;
	p->version = 4;
	p->be_destination[0] = ip->be_destination;
	return GO_ON;
}

static __always_inline u64 parse_aside6(const struct ipv6 *ip, const void *end, struct packet *p)
{
	if ((const void *)(ip + 1) > end)
		return LB_PASS;
	if (ip->next == PROTOCOL_ICMPV6)
		return parse_icmp6(ip, end, p);
	if (is_encapsulated(ip->next)) {
		read_ipv6(ip, p);
		return GO_ON;
	}
	if (!is_extension(ip->next))
		return LB_PASS;
	read_ipv6(ip, p);
	p->odd = says_ipv6(ip) ? parse_extensions(ip, end, p) : REASON_MALFORMED;
	return GO_ON;
}

static __always_inline u64 parse_aside(struct xdp_md *ctx, struct packet *p)
{
	const void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	const struct ethernet *ethernet = data;

	if ((const void *)(ethernet + 1) > end)
		return LB_PASS;
	if (ethernet->be_type == BE16(ETHERTYPE_IPV4))
		return parse_aside4((const void *)(ethernet + 1), end, p);
	if (ethernet->be_type == BE16(ETHERTYPE_IPV6))
		return parse_aside6((const void *)(ethernet + 1), end, p);
	return LB_PASS;		/* a second VLAN tag */
}

#endif
