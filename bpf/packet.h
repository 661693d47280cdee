/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Bytes -> struct packet.  The only place that reads a received frame, with every bounds check
 * that this needs; touches no map.  What is no TCP or UDP over IPv4 is LB_PASS at once.  What is,
 * but has no ports that one can trust, gets its `odd` reason here: whether that matters is
 * find_vip()'s to say.
 */
#ifndef REMORA_PACKET_H
#define REMORA_PACKET_H

#include <linux/types.h>
#include "lb_abi.h"

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "words are taken apart as such");

#define BE16(x) ((u16)__builtin_bswap16(x))

#define ETHERTYPE_IPV4 0x0800
#define PROTOCOL_IPIP 4
#define PROTOCOL_TCP 6
#define PROTOCOL_UDP 17
#define FRAGMENT_BITS 0x3fff	/* more-fragments and the offset; not DF, not the reserved bit */

#define TCP_FIN 0x01
#define TCP_SYN 0x02
#define TCP_RST 0x04
#define TCP_ACK 0x10

enum { GO_ON = LB_DROP + 1 };	/* a stage's verdict: none yet */

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

struct packet {
	u64 length;		/* of the frame */
	u64 ip_length;
	u32 be_source;
	u32 be_destination;
	u32 be_ports;		/* 0 if odd */
	u32 odd;		/* enum lb_reason: why its ports are unknown; plain: REASON_NONE */
	u8 protocol;
	u8 tos;
	u8 tcp_flags;		/* 0 for UDP */
};

static __always_inline u32 parse_tcp(const void *at, const void *end, struct packet *p)
{
	const struct tcp *tcp = at;
	u64 header;

	if ((const void *)(tcp + 1) > end || p->ip_length < sizeof(struct ipv4) + sizeof(*tcp))
		return REASON_MALFORMED;
	header = (tcp->offset >> 4) * 4;
	if (header < sizeof(*tcp) || header > p->ip_length - sizeof(struct ipv4))
		return REASON_MALFORMED;
	p->be_ports = tcp->be_ports;
	p->tcp_flags = tcp->flags;
	return REASON_NONE;
}

static __always_inline u32 parse_udp(const void *at, const void *end, struct packet *p)
{
	const struct udp *udp = at;
	u64 length;

	if ((const void *)(udp + 1) > end || p->ip_length < sizeof(struct ipv4) + sizeof(*udp))
		return REASON_MALFORMED;
	length = BE16(udp->be_length);
	if (length < sizeof(*udp) || length > p->ip_length - sizeof(struct ipv4))
		return REASON_MALFORMED;
	p->be_ports = udp->be_ports;
	return REASON_NONE;
}

/* What the header says about itself: everything but REASON_NONE ends the search for ports. */
static __always_inline u32 parse_ports(const struct ipv4 *ip, const void *end, struct packet *p)
{
	if (ip->version_ihl > 0x45 && ip->version_ihl < 0x50)
		return REASON_IP_OPTIONS;
	if (ip->version_ihl != 0x45)
		return REASON_MALFORMED;
	if (ip->be_fragment & BE16(FRAGMENT_BITS))
		return REASON_FRAGMENT;
	p->ip_length = BE16(ip->be_length);
	if (p->ip_length + ETHERNET_SIZE > p->length)
		return REASON_MALFORMED;
	return p->protocol == PROTOCOL_TCP ? parse_tcp(ip + 1, end, p) : parse_udp(ip + 1, end, p);
}

static __always_inline int parse(struct xdp_md *ctx, struct packet *p)
{
	const void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	const struct ethernet *ethernet = data;
	const struct ipv4 *ip = (const void *)(ethernet + 1);

	p->length = end - data;
	if ((const void *)(ip + 1) > end || ethernet->be_type != BE16(ETHERTYPE_IPV4))
		return LB_PASS;
	if (ip->protocol != PROTOCOL_TCP && ip->protocol != PROTOCOL_UDP)
		return LB_PASS;
	p->protocol = ip->protocol;
	p->tos = ip->tos;
	p->be_source = ip->be_source;
	p->be_destination = ip->be_destination;
	p->odd = parse_ports(ip, end, p);
	return GO_ON;
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
