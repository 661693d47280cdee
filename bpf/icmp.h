/* SPDX-License-Identifier: GPL-2.0 */
/*
 * ICMP and ICMPv6 to a VIP -> struct packet; touches no map.
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

#define ICMP_ECHO_REPLY 0
#define ICMP_UNREACHABLE 3
#define ICMP_ECHO_REQUEST 8
#define ICMP_TIME_EXCEEDED 11
#define ICMP_PARAMETER_PROBLEM 12
#define ICMPV6_UNREACHABLE 1	/* the four errors: 1 to 4 */
#define ICMPV6_PARAMETER_PROBLEM 4
#define ICMPV6_ECHO_REQUEST 128
#define ICMPV6_ECHO_REPLY 129
#define ICMPV6_TOO_BIG 2

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
	p->protocol = protocol;
	p->quoted = true;
	return REASON_NONE;
}

/* An error goes to the source of what it quotes: one that does not is no router's, and not ours. */
static __always_inline u64 parse_quote4(const struct ipv4 *quote, const void *end, u64 behind,
					struct packet *p)
{
	u64 header;

	p->odd = REASON_ICMP_QUOTE;
	if ((const void *)(quote + 1) > end)
		return GO_ON;
	if (quote->be_source != p->be_destination[0])
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

static __always_inline u64 parse_quote6(const struct ipv6 *quote, const void *end, u64 behind,
					struct packet *p)
{
	u64 from[2];

	p->odd = REASON_ICMP_QUOTE;
	if ((const void *)(quote + 1) > end)
		return GO_ON;
	copy_address(from, quote->be_source);
	if (from[0] != p->be_destination[0] || from[1] != p->be_destination[1])
		return LB_PASS;
	if (!says_ipv6(quote))
		return GO_ON;
	copy_address(p->be_source, quote->be_destination);
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

/* A ping is odd as well: the drop that it is heading for is what the limit leaves of its answer. */
static __always_inline u64 parse_icmp4(const struct ipv4 *ip, const void *end, struct packet *p)
{
	const struct icmp *icmp = (const void *)(ip + 1);
	u64 behind = sizeof(*ip) + sizeof(*icmp);

	if ((const void *)(ip + 1) > end)
		return LB_PASS;
	p->protocol = PROTOCOL_ICMP;
	p->tos = ip->tos;
	p->ip_length = BE16(ip->be_length);
	p->be_source[0] = ip->be_source;
	p->be_destination[0] = ip->be_destination;
	p->version = 4;
	p->odd = odd_ipv4(ip);
	if (!p->odd)
		p->odd = odd_icmp(icmp, end, sizeof(*ip), p);
	if (p->odd)
		return GO_ON;
	if (icmp->type == ICMP_UNREACHABLE || icmp->type == ICMP_TIME_EXCEEDED ||
	    icmp->type == ICMP_PARAMETER_PROBLEM)
		return parse_quote4((const void *)(icmp + 1), end, behind, p);
	p->odd = REASON_PING_LIMIT;
	return icmp->type == ICMP_ECHO_REQUEST ? GO_ON : LB_PASS;
}

static __always_inline u64 parse_icmp6(const struct ipv6 *ip, const void *end, struct packet *p)
{
	const struct icmp *icmp = (const void *)(ip + 1);
	u64 behind = sizeof(*ip) + sizeof(*icmp);

	if ((const void *)(ip + 1) > end)
		return LB_PASS;
	p->protocol = PROTOCOL_ICMPV6;
	p->tos = traffic_class(ip);
	p->ip_length = sizeof(*ip) + BE16(ip->be_length);
	copy_address(p->be_source, ip->be_source);
	copy_address(p->be_destination, ip->be_destination);
	p->version = 6;
	p->odd = says_ipv6(ip) ? odd_icmp(icmp, end, sizeof(*ip), p) : REASON_MALFORMED;
	if (p->odd)
		return GO_ON;
	if (icmp->type >= ICMPV6_UNREACHABLE && icmp->type <= ICMPV6_PARAMETER_PROBLEM)
		return parse_quote6((const void *)(icmp + 1), end, behind, p);
	p->odd = REASON_PING_LIMIT;
	return icmp->type == ICMPV6_ECHO_REQUEST ? GO_ON : LB_PASS;
}

#endif
