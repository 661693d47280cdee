/* SPDX-License-Identifier: GPL-2.0 */
/*
 * ICMP and ICMPv6 to a VIP; touches no map.
 *
 * An error (RFC 792, RFC 4443) is about a packet that a real sent: it quotes that packet's headers and
 * is addressed to its source, the VIP.  Turned around, the quote is the client's flow, and the error
 * goes where that flow goes (RFC 7690 says what breaks otherwise: path MTU discovery).  The quote may
 * be as short as eight bytes behind its IP header.
 */
#ifndef REMORA_ICMP_H
#define REMORA_ICMP_H

#include <linux/types.h>
#include "lb_abi.h"
#include "packet.h"

#define ICMP_UNREACHABLE 3	/* code 4: fragmentation needed */
#define ICMP_TIME_EXCEEDED 11
#define ICMP_PARAMETER_PROBLEM 12
#define ICMPV6_UNREACHABLE 1	/* the four errors: 1 to 4 */
#define ICMPV6_PARAMETER_PROBLEM 4
#define FRAGMENT_OFFSET 0x1fff

struct icmp {
	u8 type;
	u8 code;
	u16 check;
	u32 be_rest;
};

struct quoted_ports {
	u32 be_ports;
	u32 rest;		/* eight bytes are quoted at least */
};

/* The quoted packet's ports, turned around, or REASON_ICMP_QUOTE. `behind`: what is in front of `at`. */
static __always_inline u32 turn_ports(const void *at, const void *end, u64 behind, u8 protocol,
				      struct packet *p)
{
	const struct quoted_ports *ports = at;

	if (protocol != PROTOCOL_TCP && protocol != PROTOCOL_UDP)
		return REASON_ICMP_QUOTE;
	if ((const void *)(ports + 1) > end || behind + sizeof(*ports) > p->ip_length)
		return REASON_ICMP_QUOTE;
	p->be_ports = ports->be_ports << 16 | ports->be_ports >> 16;
	p->to.be_port = p->be_ports >> 16;
	p->to.protocol = protocol;
	p->protocol = protocol;
	p->quoted = true;
	return REASON_NONE;
}

/* An error goes to the source of what it quotes: one that does not is no router's, and not ours. */
static __always_inline int parse_quote4(const struct ipv4 *quote, const void *end, u64 behind,
					struct packet *p)
{
	u64 header;

	p->odd = REASON_ICMP_QUOTE;
	if ((const void *)(quote + 1) > end)
		return GO_ON;
	if (quote->be_source != p->to.be_address[0])
		return LB_PASS;
	header = (quote->version_ihl & 15) * 4;
	if (quote->version_ihl >> 4 != 4 || header < sizeof(*quote))
		return GO_ON;
	if (quote->be_fragment & BE16(FRAGMENT_OFFSET))
		return GO_ON;
	p->be_source[0] = quote->be_destination;
	p->odd = turn_ports((const void *)quote + header, end, behind + header, quote->protocol, p);
	return GO_ON;
}

static __always_inline int parse_quote6(const struct ipv6 *quote, const void *end, u64 behind,
					struct packet *p)
{
	p->odd = REASON_ICMP_QUOTE;
	if ((const void *)(quote + 1) > end)
		return GO_ON;
#pragma unroll
	for (int i = 0; i < 4; i++)
		if (quote->be_source[i] != p->to.be_address[i])
			return LB_PASS;
	if (BE32(quote->be_first) >> 28 != 6)
		return GO_ON;
	__builtin_memcpy(p->be_source, quote->be_destination, sizeof(p->be_source));
	p->odd = turn_ports(quote + 1, end, behind + sizeof(*quote), quote->next, p);
	return GO_ON;
}

/* Whether an ICMP header is there, `behind` an IP header. */
static __always_inline u32 odd_icmp(const struct icmp *icmp, const void *end, u64 behind,
				    const struct packet *p)
{
	if (p->ip_length + ETHERNET_SIZE > p->length || p->ip_length < behind + sizeof(*icmp))
		return REASON_MALFORMED;
	return (const void *)(icmp + 1) > end ? REASON_MALFORMED : REASON_NONE;
}

static __always_inline int parse_icmp4(const struct ipv4 *ip, const void *end, struct packet *p)
{
	const struct icmp *icmp = (const void *)(ip + 1);
	u64 behind = sizeof(*ip) + sizeof(*icmp);

	if ((const void *)(ip + 1) > end)
		return LB_PASS;
	p->protocol = PROTOCOL_ICMP;
	p->tos = ip->tos;
	p->carried_as = PROTOCOL_IPIP;
	p->ip_length = BE16(ip->be_length);
	p->be_source[0] = ip->be_source;
	p->to.be_address[0] = ip->be_destination;
	p->to.version = 4;
	p->odd = odd_ipv4(ip);
	if (!p->odd)
		p->odd = odd_icmp(icmp, end, sizeof(*ip), p);
	if (p->odd)
		return GO_ON;
	if (icmp->type == ICMP_UNREACHABLE || icmp->type == ICMP_TIME_EXCEEDED ||
	    icmp->type == ICMP_PARAMETER_PROBLEM)
		return parse_quote4((const void *)(icmp + 1), end, behind, p);
	return LB_PASS;
}

static __always_inline int parse_icmp6(const struct ipv6 *ip, const void *end, struct packet *p)
{
	const struct icmp *icmp = (const void *)(ip + 1);
	u64 behind = sizeof(*ip) + sizeof(*icmp);

	if ((const void *)(ip + 1) > end)
		return LB_PASS;
	p->protocol = PROTOCOL_ICMPV6;
	p->tos = BE32(ip->be_first) >> 20;
	p->carried_as = PROTOCOL_IPV6;
	p->ip_length = sizeof(*ip) + BE16(ip->be_length);
	__builtin_memcpy(p->be_source, ip->be_source, sizeof(p->be_source));
	__builtin_memcpy(p->to.be_address, ip->be_destination, sizeof(p->to.be_address));
	p->to.version = 6;
	p->odd = BE32(ip->be_first) >> 28 == 6 ? odd_icmp(icmp, end, sizeof(*ip), p) :
						 REASON_MALFORMED;
	if (p->odd)
		return GO_ON;
	if (icmp->type >= ICMPV6_UNREACHABLE && icmp->type <= ICMPV6_PARAMETER_PROBLEM)
		return parse_quote6((const void *)(icmp + 1), end, behind, p);
	return LB_PASS;
}

/* For what parse() set ASIDE. An odd one has the address as its `to`, as in packet.h. */
static __always_inline int parse_icmp(struct xdp_md *ctx, struct packet *p)
{
	const void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	const struct ethernet *ethernet = data;

	if ((const void *)(ethernet + 1) > end)
		return LB_PASS;
	if (ethernet->be_type == BE16(ETHERTYPE_IPV4))
		return parse_icmp4((const void *)(ethernet + 1), end, p);
	return parse_icmp6((const void *)(ethernet + 1), end, p);
}

#endif
