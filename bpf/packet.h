/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Bytes -> struct packet: plain TCP and UDP over IP, with every bounds check that this needs; touches no
 * map.  What concerns no balancer is LB_PASS at once.  What is rare is ASIDE: aside.h reads on.  What
 * may be TCP or UDP, but has no ports that one can trust, gets its `odd` reason here: whether that
 * matters is find_vip()'s to say.
 *
 * The families part here and meet again behind it: struct packet is the same for both.
 */
#ifndef REMORA_PACKET_H
#define REMORA_PACKET_H

#include <linux/types.h>
#include "lb_abi.h"

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "words are taken apart as such");

#define BE16(x) ((u16)__builtin_bswap16(x))
#define BE32(x) ((u32)__builtin_bswap32(x))

#define ETHERTYPE_IPV4 0x0800
#define ETHERTYPE_IPV6 0x86dd
#define ETHERTYPE_VLAN 0x8100	/* 802.1Q */
#define ETHERTYPE_SERVICE_VLAN 0x88a8	/* 802.1ad */
#define PROTOCOL_ICMP 1
#define PROTOCOL_IPIP 4
#define PROTOCOL_TCP 6
#define PROTOCOL_UDP 17
#define PROTOCOL_IPV6 41
#define PROTOCOL_ICMPV6 58

/* Fields of IP headers. */
#define BARE_IPV4 0x45		/* the first byte: version 4, five words, so no options */
#define CLASS_SHIFT 20		/* of the traffic class in an IPv6 header's first word */
#define DONT_FRAGMENT 0x4000
#define FRAGMENT_OFFSET 0x1fff
#define FRAGMENT_BITS 0x3fff	/* more-fragments and the offset; not DF, not the reserved bit */

/* Next headers behind which TCP or UDP may come (RFC 7045; ESP hides what it carries). */
#define HEADER_HOP_BY_HOP 0
#define HEADER_ROUTING 43
#define HEADER_FRAGMENT 44
#define HEADER_AUTHENTICATION 51
#define HEADER_DESTINATION 60
#define HEADER_MOBILITY 135
#define HEADER_HIP 139
#define HEADER_SHIM6 140

#define TCP_FIN 0x01
#define TCP_SYN 0x02
#define TCP_RST 0x04
#define TCP_ACK 0x10

/* Verdicts of a stage: none yet; none yet, and off the straight way; for this node, to be unwrapped. */
enum { GO_ON = LB_ANSWER + 1, ASIDE, UNWRAP };

struct ethernet {
	u8 destination[6];
	u8 source[6];
	u16 be_type;
};

struct ipv4 {
	u8 version_ihl;
	u8 tos;
	u16 be_length;
	u16 be_id;
	u16 be_fragment;
	u8 ttl;
	u8 protocol;
	u16 check;
	u32 be_source;
	u32 be_destination;
};

struct ipv6 {
	u32 be_first;		/* version, traffic class, flow label */
	u16 be_length;		/* of what is behind this header */
	u8 next;
	u8 hop_limit;
	u32 be_source[4];
	u32 be_destination[4];
};

struct tcp {
	u32 be_ports;		/* source in the lower half, destination in the upper one */
	u32 be_sequence;
	u32 be_acknowledged;
	u8 offset;		/* of the payload: words, in the upper four bits */
	u8 flags;
	u16 be_window;
	u16 check;
	u16 be_urgent;
};

struct udp {
	u32 be_ports;
	u16 be_length;
	u16 check;
};

#define ETHERNET_SIZE sizeof(struct ethernet)

/* Words of eight bytes even where one would do: in BPF's first instruction set, which BCC emits, every
 * smaller one costs two shifts. */
struct packet {
	u64 received;		/* bytes of the frame as it came */
	u64 length;		/* of the frame without its VLAN tag */
	u64 ip_length;
	u64 behind;		/* of the IP headers: where TCP or UDP begins, from the start of IP */
	u64 be_source[2];	/* IPv4 in the lower half of the first */
	u64 be_destination[2];
	u64 be_ports;		/* source in the lower half; 0 if odd */
	u64 odd;		/* enum lb_reason: why its ports are unknown; plain: REASON_NONE */
	u64 tag;		/* VLAN: the four bytes that vlan.h took off the frame; 0: none */
	u64 version;		/* of IP: 4, 6 */
	u64 protocol;
	u64 tos;		/* or traffic class */
	u64 tcp_flags;		/* 0 for UDP */
	bool quoted;		/* an ICMP error: ports and addresses are of the client's flow it is about */
	bool extended;		/* IPv6 with extension headers */
};

/* `behind`: size of the IP header in front of it. */
static __always_inline u64 parse_tcp(const void *at, const void *end, u64 behind, struct packet *p)
{
	const struct tcp *tcp = at;
	u64 header;

	if ((const void *)(tcp + 1) > end || p->ip_length < behind + sizeof(*tcp))
		return REASON_MALFORMED;
	header = (tcp->offset >> 4) * 4;
	if (header < sizeof(*tcp) || header > p->ip_length - behind)
		return REASON_MALFORMED;
	p->be_ports = tcp->be_ports;
	p->tcp_flags = tcp->flags;
	return REASON_NONE;
}

static __always_inline u64 parse_udp(const void *at, const void *end, u64 behind, struct packet *p)
{
	const struct udp *udp = at;
	u64 length;

	if ((const void *)(udp + 1) > end || p->ip_length < behind + sizeof(*udp))
		return REASON_MALFORMED;
	length = BE16(udp->be_length);
	if (length < sizeof(*udp) || length > p->ip_length - behind)
		return REASON_MALFORMED;
	p->be_ports = udp->be_ports;
	return REASON_NONE;
}

static __always_inline u64 parse_ports(const void *at, const void *end, u64 behind,
				       struct packet *p)
{
	if (p->ip_length + ETHERNET_SIZE > p->length)
		return REASON_MALFORMED;
	p->behind = behind;
	if (p->protocol == PROTOCOL_TCP)
		return parse_tcp(at, end, behind, p);
	return parse_udp(at, end, behind, p);
}

/* What the header says about itself: everything but REASON_NONE ends the search for ports. */
static __always_inline u64 odd_ipv4(const struct ipv4 *ip)
{
	if (ip->version_ihl > BARE_IPV4 && ip->version_ihl < 0x50)
		return REASON_IP_OPTIONS;
	if (ip->version_ihl != BARE_IPV4)
		return REASON_MALFORMED;
	if (ip->be_fragment & BE16(FRAGMENT_BITS))
		return REASON_FRAGMENT;
	return REASON_NONE;
}

static __always_inline u64 parse_behind_ipv4(const struct ipv4 *ip, const void *end,
					     struct packet *p)
{
	u64 odd = odd_ipv4(ip);

	if (odd)
		return odd;
	p->ip_length = BE16(ip->be_length);
	return parse_ports(ip + 1, end, sizeof(*ip), p);
}

static __always_inline u64 parse_ipv4(const struct ipv4 *ip, const void *end, struct packet *p)
{
	if ((const void *)(ip + 1) > end)
		return LB_PASS;
	if (ip->protocol != PROTOCOL_TCP && ip->protocol != PROTOCOL_UDP)
		return ASIDE;
	p->protocol = ip->protocol;
	p->tos = ip->tos;
	p->version = 4;
	p->be_source[0] = ip->be_source;
	p->be_destination[0] = ip->be_destination;
	p->odd = parse_behind_ipv4(ip, end, p);
	return GO_ON;
}

static __always_inline bool says_ipv6(const struct ipv6 *ip)
{
	return BE32(ip->be_first) >> 28 == 6;
}

static __always_inline u8 traffic_class(const struct ipv6 *ip)
{
	return BE32(ip->be_first) >> CLASS_SHIFT;
}

static __always_inline u64 parse_behind_ipv6(const struct ipv6 *ip, const void *end,
					     struct packet *p)
{
	if (!says_ipv6(ip))
		return REASON_MALFORMED;
	p->ip_length = sizeof(*ip) + BE16(ip->be_length);
	return parse_ports(ip + 1, end, sizeof(*ip), p);
}

static __always_inline void copy_address(u64 *to, const void *be_address)
{
	const u64 *words = be_address;

	to[0] = words[0];
	to[1] = words[1];
}

/* What every IPv6 packet has. */
static __always_inline void read_ipv6(const struct ipv6 *ip, struct packet *p)
{
	p->protocol = ip->next;
	p->tos = traffic_class(ip);
	p->version = 6;
	copy_address(p->be_source, ip->be_source);
	copy_address(p->be_destination, ip->be_destination);
}

static __always_inline u64 parse_ipv6(const struct ipv6 *ip, const void *end, struct packet *p)
{
	if ((const void *)(ip + 1) > end)
		return LB_PASS;
	if (ip->next != PROTOCOL_TCP && ip->next != PROTOCOL_UDP)
		return ASIDE;
	read_ipv6(ip, p);
	p->odd = parse_behind_ipv6(ip, end, p);
	return GO_ON;
}

static __always_inline u64 parse(struct xdp_md *ctx, struct packet *p)
{
	const void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	const struct ethernet *ethernet = data;

	p->length = end - data;
	if ((const void *)(ethernet + 1) > end)
		return LB_PASS;
	if (ethernet->be_type == BE16(ETHERTYPE_IPV4))
		return parse_ipv4((const void *)(ethernet + 1), end, p);
	if (ethernet->be_type == BE16(ETHERTYPE_IPV6))
		return parse_ipv6((const void *)(ethernet + 1), end, p);
	if (ethernet->be_type == BE16(ETHERTYPE_VLAN) ||
	    ethernet->be_type == BE16(ETHERTYPE_SERVICE_VLAN))
		return ASIDE;
	return LB_PASS;
}

static __always_inline bool is_encapsulated(u64 protocol)
{
	return protocol == PROTOCOL_IPIP || protocol == PROTOCOL_IPV6;
}

/* What an outer header calls the packet. */
static __always_inline u8 carried_as(const struct packet *p)
{
	return p->version == 6 ? PROTOCOL_IPV6 : PROTOCOL_IPIP;
}

static __always_inline u16 be_port(const struct packet *p)
{
	return p->be_ports >> 16;
}

/* A client's first packet. SYN with ACK is nothing that a client sends: not a first packet. */
static __always_inline bool opens(const struct packet *p)
{
	return (p->tcp_flags & (TCP_SYN | TCP_ACK)) == TCP_SYN;
}

static __always_inline bool closes(const struct packet *p)
{
	return p->tcp_flags & (TCP_FIN | TCP_RST);
}

#endif
