/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Push the outer header: IPv4 or IPv6, and for GUE a UDP header behind it.  Touches no map; the inner
 * packet, of either family, stays as it is.
 *
 * The traffic class is copied whole: the DSCP because the underlay should treat the packet alike,
 * ECN as RFC 6040's normal mode says.  IPv4: DF is set and the id is 0 (RFC 6864: an atomic datagram
 * needs none).  IPv6: the flow label is the flow's (RFC 6438).  GUE: variant 1, that is no header
 * of its own (draft-ietf-intarea-gue section 6); its UDP checksum is 0, over IPv6 too (RFC 6935:
 * what it carries has its own, and XDP would have to read the whole packet).
 */
#ifndef REMORA_ENCAP_H
#define REMORA_ENCAP_H

#include <linux/types.h>
#include "lb_abi.h"
#include "packet.h"

/* Every packet that is sent has this much behind Ethernet: 28 bytes of its own, 20 of ours. */
#define LARGEST_OUTER (sizeof(struct ipv6) + sizeof(struct udp))
#define OUTER_TTL 64
#define LOWEST_HOST 0x01000000	/* the last byte is 1, in network order */
#define EPHEMERAL 0xc000	/* UDP source ports from 49152 on: 14 bits of the hash */

/* What an encapsulation (bits of enum lb_encap) adds to a packet. */
static __always_inline u64 overhead(u64 encap)
{
	u64 size = encap & LB_ENCAP_IPV6 ? sizeof(struct ipv6) : sizeof(struct ipv4);

	return encap & LB_ENCAP_GUE ? size + sizeof(struct udp) : size;
}

/* The flow's source address in the configured prefix: receivers spread flows over queues by it. */
static __always_inline u32 outer_source(const struct lb_control *control, u64 hash)
{
	u32 host = hash & control->be_outer_mask;

	if (host == 0 || host == control->be_outer_mask)	/* network, broadcast */
		host = control->be_outer_mask & LOWEST_HOST;
	return control->be_outer_source | host;
}

/* The header's five words, checksum included: one's complement sums do not mind the byte order. */
static __always_inline void write_ipv4(u32 *word, u64 length, u8 tos, u8 protocol, u32 source,
				       u32 destination)
{
	u64 first = BARE_IPV4 | (u64)tos << 8 | (u64)BE16(length) << 16;
	u64 second = (u64)BE16(DONT_FRAGMENT) << 16;
	u64 third = OUTER_TTL | (u64)protocol << 8;
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

/* Label: 19 bits of the hash and a 1, for 0 means none.  The 1 in the source address keeps it from
 * being the subnet-router anycast address (RFC 4291 section 2.6.1). */
static __always_inline void write_ipv6(u32 *word, u64 length, u8 class, u8 next,
				       const struct lb_control *control, u64 hash,
				       const u32 *destination)
{
	word[0] = BE32(6u << 28 | (u32)class << CLASS_SHIFT | (hash & 0xfffff) | 1);
	word[1] = BE16(length) | (u32)next << 16 | (u32)OUTER_TTL << 24;
	word[2] = control->be_outer_source6[0];
	word[3] = control->be_outer_source6[1];
	word[4] = hash;
	word[5] = hash >> 32 | LOWEST_HOST;
	word[6] = destination[0];
	word[7] = destination[1];
	word[8] = destination[2];
	word[9] = destination[3];
}

static __always_inline void write_udp(u32 *word, u64 length, u16 be_port, u64 hash)
{
	word[0] = BE16(EPHEMERAL | (hash & 0x3fff)) | (u32)be_port << 16;
	word[1] = BE16(length);
}

/* Where the frame goes next. Words: a copy of twelve bytes becomes fifty instructions. */
static __always_inline void write_macs(u32 *frame, const struct lb_control *control)
{
	const u32 *macs = (const u32 *)control->gateway_mac;

	frame[0] = macs[0];
	frame[1] = macs[1];
	frame[2] = macs[2];
}

/*
 * Ethernet and outer headers of a frame that has room for LARGEST_OUTER behind Ethernet.  `real` names
 * the destination; `encap` is its encapsulation as it was when the packet was placed.
 */
static __always_inline void write_outer(void *data, const struct packet *p,
					const struct lb_control *control, u64 hash,
					const struct lb_real *real, u64 encap)
{
	u64 carried = p->ip_length;
	u8 protocol = carried_as(p);
	u32 *frame = data;

	write_macs(frame, control);
	data += ETHERNET_SIZE;
	if (encap & LB_ENCAP_GUE) {
		void *udp = data + (overhead(encap) - sizeof(struct udp));

		carried += sizeof(struct udp);
		protocol = PROTOCOL_UDP;
		write_udp(udp, carried, control->be_gue_port, hash);
	}
	if (encap & LB_ENCAP_IPV6) {
		*(u16 *)(frame + 3) = BE16(ETHERTYPE_IPV6);
		write_ipv6(data, carried, p->tos, protocol, control, hash, real->be_address);
	} else {
		*(u16 *)(frame + 3) = BE16(ETHERTYPE_IPV4);
		write_ipv4(data, carried + sizeof(struct ipv4), p->tos, protocol,
			   outer_source(control, hash), real->be_address[0]);
	}
}

static __always_inline bool push_outer(struct xdp_md *ctx, const struct packet *p,
				       const struct lb_control *control, u64 hash,
				       const struct lb_real *real, u64 encap)
{
	void *data, *end;

	if (bpf_xdp_adjust_head(ctx, -(int)overhead(encap)))
		return false;
	data = (void *)(long)ctx->data;
	end = (void *)(long)ctx->data_end;
	if (data + ETHERNET_SIZE + LARGEST_OUTER > end)	/* cannot be: for the verifier */
		return false;
	write_outer(data, p, control, hash, real, encap);
	return true;
}

#endif
