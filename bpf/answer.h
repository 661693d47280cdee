/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What we say ourselves, by ICMP and ICMPv6: that a packet is too big, and answers to pings; touches no map.
 *
 * A packet that does not fit is answered with the MTU that would: the VIP tells the client, as a
 * router would (RFC 1191, RFC 8201).  The answer leaves, like everything, by the gateway: a MAC address
 * that a stranger put into a frame is not worth an answer to it.
 */
#ifndef REMORA_ANSWER_H
#define REMORA_ANSWER_H

#include <linux/types.h>
#include "lb_abi.h"
#include "packet.h"
#include "icmp.h"
#include "encap.h"

#define FRAGMENTATION_NEEDED 4	/* code of ICMP_UNREACHABLE */
#define INTERNETWORK_CONTROL 0xc0	/* traffic class of an ICMPv4 error: RFC 1812 section 4.3.2.5 */
#define LEAST_MTU6 1280

/*
 * What an answer quotes, IP header included: fixed, and there is always so much in a packet that is
 * too big.  IPv4: at most 576 bytes in all (RFC 1812), and an ICMP message of 512 is one checksum
 * call.  IPv6: 1,280 in all (RFC 4443).
 */
#define CHECKED_AT_ONCE 512	/* bpf_csum_diff() takes no more on older kernels */
#define QUOTED4 (CHECKED_AT_ONCE - sizeof(struct icmp))
#define QUOTED6 (LEAST_MTU6 - sizeof(struct ipv6) - sizeof(struct icmp))

/* One machine's address, to which something may be said (RFC 1122 section 3.2.2, RFC 4443 2.4 e). */
static __always_inline bool from_one_host(const struct packet *p)
{
	u8 first = p->be_source[0];

	if (p->version == 6)	/* not multicast; ::, ::1, ::ffff:0:0 and their like */
		return first != 0xff && p->be_source[0];
	return first != 0 && first != 127 && first < 224;
}

/* What came to many is nobody's to answer, nor is an error. */
static __always_inline bool answerable(struct xdp_md *ctx, const struct packet *p)
{
	const struct ethernet *ethernet = (void *)(long)ctx->data;

	if ((const void *)(ethernet + 1) > (void *)(long)ctx->data_end)
		return false;
	return !p->quoted && from_one_host(p) && !(ethernet->destination[0] & 1);
}

/* Whether the sender of a packet that is too big learns it. */
static __always_inline bool wants_to_know(struct xdp_md *ctx, const struct packet *p)
{
	const struct ethernet *ethernet = (void *)(long)ctx->data;
	const struct ipv4 *ip = (const void *)(ethernet + 1);

	if ((const void *)(ip + 1) > (void *)(long)ctx->data_end || !answerable(ctx, p))
		return false;
	if (p->version == 6)
		return p->ip_length > LEAST_MTU6;
	return ip->be_fragment & BE16(DONT_FRAGMENT);
}

/* An IPv6 header of the VIP's own, back to the client. */
static __always_inline void turn_ipv6(struct ipv6 *ip, const struct packet *p)
{
	ip->hop_limit = OUTER_TTL;
	__builtin_memcpy(ip->be_source, p->be_destination, sizeof(ip->be_source));
	__builtin_memcpy(ip->be_destination, p->be_source, sizeof(ip->be_destination));
}

static __always_inline u16 folded(u32 sum)
{
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return ~sum;
}

/* Of an IPv6 answer: the pseudo-header's addresses and the message lie in one piece. */
static __always_inline u16 check6(void *addresses, u64 length)
{
	u64 rest = 2 * sizeof(((struct ipv6 *)0)->be_source) + length - 2 * CHECKED_AT_ONCE;
	u32 sum = BE16(length) + BE16(PROTOCOL_ICMPV6);

	sum = bpf_csum_diff(NULL, 0, addresses, CHECKED_AT_ONCE, sum);
	sum = bpf_csum_diff(NULL, 0, addresses + CHECKED_AT_ONCE, CHECKED_AT_ONCE, sum);
	return folded(bpf_csum_diff(NULL, 0, addresses + 2 * CHECKED_AT_ONCE, rest, sum));
}

/* A frame of `header` bytes to write and `quoted` of the packet behind Ethernet: its data, or NULL. */
static __always_inline void *quote(struct xdp_md *ctx, const struct packet *p,
				   const struct lb_control *control, u64 header, u64 quoted)
{
	u32 *frame;

	if (p->ip_length < quoted)	/* cannot be: such a packet fits */
		return NULL;
	if (bpf_xdp_adjust_tail(ctx, (int)(ETHERNET_SIZE + quoted) - (int)p->length))
		return NULL;
	if (bpf_xdp_adjust_head(ctx, -(int)header))
		return NULL;
	frame = (void *)(long)ctx->data;
	if ((void *)frame + ETHERNET_SIZE + header + quoted > (void *)(long)ctx->data_end)
		return NULL;
	write_macs(frame, control);
	return frame;
}

static __always_inline bool too_big4(struct xdp_md *ctx, const struct packet *p,
				     const struct lb_control *control, u64 mtu)
{
	u64 header = sizeof(struct ipv4) + sizeof(struct icmp);
	void *frame = quote(ctx, p, control, header, QUOTED4);
	struct icmp *icmp;

	if (!frame)
		return false;
	icmp = frame + ETHERNET_SIZE + sizeof(struct ipv4);
	((struct ethernet *)frame)->be_type = BE16(ETHERTYPE_IPV4);
	write_ipv4(frame + ETHERNET_SIZE, header + QUOTED4, INTERNETWORK_CONTROL, PROTOCOL_ICMP,
		   p->be_destination[0], p->be_source[0]);
	icmp->type = ICMP_UNREACHABLE;
	icmp->code = FRAGMENTATION_NEEDED;
	icmp->check = 0;
	icmp->be_rest = BE32((u32)mtu);
	icmp->check = folded(bpf_csum_diff(NULL, 0, (void *)icmp, CHECKED_AT_ONCE, 0));
	return true;
}

static __always_inline bool too_big6(struct xdp_md *ctx, const struct packet *p,
				     const struct lb_control *control, u64 mtu)
{
	u64 header = sizeof(struct ipv6) + sizeof(struct icmp);
	void *frame = quote(ctx, p, control, header, QUOTED6);
	struct icmp *icmp;
	struct ipv6 *ip;

	if (!frame)
		return false;
	ip = frame + ETHERNET_SIZE;
	icmp = (void *)(ip + 1);
	((struct ethernet *)frame)->be_type = BE16(ETHERTYPE_IPV6);
	ip->be_first = BE32(6u << 28);
	ip->be_length = BE16(sizeof(*icmp) + QUOTED6);
	ip->next = PROTOCOL_ICMPV6;
	turn_ipv6(ip, p);
	icmp->type = ICMPV6_TOO_BIG;
	icmp->code = 0;
	icmp->check = 0;
	icmp->be_rest = BE32((u32)mtu);
	icmp->check = check6(ip->be_source, sizeof(*icmp) + QUOTED6);
	return true;
}

/* Makes the packet the answer that it is too big; `room`: what the encapsulation leaves of the MTU. */
static __always_inline bool write_too_big(struct xdp_md *ctx, const struct packet *p,
					  const struct lb_control *control, u64 room)
{
	if (p->version == 6)
		return too_big6(ctx, p, control, room < LEAST_MTU6 ? LEAST_MTU6 : room);
	return too_big4(ctx, p, control, room);
}

/* The type changes, the code does not: the checksum by its difference (RFC 1624, equation 3). */
static __always_inline void reply(struct icmp *icmp, u8 type)
{
	icmp->check = folded((u16)~icmp->check + (u16)~icmp->type + type);
	icmp->type = type;
}

/* In place; the pseudo-header's checksum does not mind that the addresses change places. */
static __always_inline bool write_echo_reply(struct xdp_md *ctx, const struct packet *p,
					     const struct lb_control *control)
{
	u32 *frame = (void *)(long)ctx->data;
	void *data = (void *)frame + ETHERNET_SIZE;
	struct ipv6 *ip = data;

	/* The smallest of both families; a ping over IPv6 is longer and checked below. */
	if (data + sizeof(struct ipv4) + sizeof(struct icmp) > (void *)(long)ctx->data_end)
		return false;
	if (p->version == 4) {
		write_ipv4(data, p->ip_length, p->tos, PROTOCOL_ICMP, p->be_destination[0],
			   p->be_source[0]);
		reply(data + sizeof(struct ipv4), ICMP_ECHO_REPLY);
	} else {
		if ((void *)(ip + 1) + sizeof(struct icmp) > (void *)(long)ctx->data_end)
			return false;
		turn_ipv6(ip, p);
		reply((void *)(ip + 1), ICMPV6_ECHO_REPLY);
	}
	write_macs(frame, control);
	return true;
}

#endif
