/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A QUIC packet -> the server id in its connection id; touches no map.
 *
 * Where header and connection id are is the same in all versions (RFC 8999).  Behind an Initial or 0-RTT
 * packet the client chose the connection id, so it says nothing (RFC 9000 section 7.2); the types'
 * numbers differ in version 2 (RFC 9369).  A server that wants its packets wherever its client
 * wanders puts its id into the connection ids that it gives out:
 *  - QUIC-LB (draft-ietf-quic-load-balancers section 5.2), unencrypted: three bits config rotation,
 *    five of no meaning here, the id;
 *  - as Katran reads it: two bits version; 1: the next 16 bits, 2: bytes 1 to 3, 3: bytes 1 to 4.
 */
#ifndef REMORA_QUIC_H
#define REMORA_QUIC_H

#include <linux/types.h>
#include "lb_abi.h"
#include "packet.h"

#define QUIC_LONG 0x80
#define QUIC_READ 16		/* bytes that are looked at: no QUIC packet is shorter (RFC 9001 5.4.2) */
#define QUIC_VERSION_1 1
#define QUIC_VERSION_2 0x6b3343cf
#define QUIC_HANDSHAKE 2	/* type of a long header, in version 1; in version 2 one more */
#define SHORT_ID 1		/* where the connection id begins */
#define LONG_ID 6
#define MOST_BEHIND 0x3fff	/* to the verifier: four extension headers end before */
#define LEAST_CID 8		/* of Katran's kind */

enum quic { QUIC_OPENING, QUIC_NAMED, QUIC_UNNAMED };

/* Whether the client has not seen a connection id of the server yet. */
static __always_inline bool opens_quic(const u8 *at)
{
	u32 version = (u32)at[1] << 24 | (u32)at[2] << 16 | (u32)at[3] << 8 | at[4];
	u32 type = at[0] >> 4 & 3;

	if (version == QUIC_VERSION_1)
		return type != QUIC_HANDSHAKE;
	return version != QUIC_VERSION_2 || type != QUIC_HANDSHAKE + 1;
}

static __always_inline u32 quic_lb_id(const u8 *cid, u64 length, const struct lb_service *service,
				      u64 *server_id)
{
	u64 bytes = service->quic_id_bytes;
	u64 id = (u64)cid[1] << 56 | (u64)cid[2] << 48 | (u64)cid[3] << 40 | (u64)cid[4] << 32 |
		 (u64)cid[5] << 24 | (u64)cid[6] << 16 | (u64)cid[7] << 8 | cid[8];

	if (cid[0] >> 5 != service->quic_config || length <= bytes)
		return QUIC_UNNAMED;
	*server_id = id >> (64 - 8 * bytes & 63);
	return QUIC_NAMED;
}

static __always_inline u32 quic_cid(const u8 *cid, u64 length, u64 *server_id)
{
	if (length < LEAST_CID)
		return QUIC_UNNAMED;
	switch (cid[0] >> 6) {
	case 1:
		*server_id = (u64)(cid[0] & 0x3f) << 10 | (u64)cid[1] << 2 | cid[2] >> 6;
		return QUIC_NAMED;
	case 2:
		*server_id = (u64)cid[1] << 16 | (u64)cid[2] << 8 | cid[3];
		return QUIC_NAMED;
	case 3:
		*server_id = (u64)cid[1] << 24 | (u64)cid[2] << 16 | (u64)cid[3] << 8 | cid[4];
		return QUIC_NAMED;
	}
	return QUIC_UNNAMED;
}

/* What the packet says of its server: enum quic, and the id if it names one. */
static __always_inline u32 read_quic(struct xdp_md *ctx, const struct packet *p,
				     const struct lb_service *service, u32 flags, u64 *server_id)
{
	u64 offset = ETHERNET_SIZE + (p->behind & MOST_BEHIND) + sizeof(struct udp);
	const u8 *at = (void *)(long)ctx->data + offset;
	const u8 *cid = at + SHORT_ID;
	u64 length = ~0ULL;	/* a short header does not say: the server knows */

	if ((const void *)(at + QUIC_READ) > (void *)(long)ctx->data_end)
		return QUIC_UNNAMED;
	if (at[0] & QUIC_LONG) {
		if (opens_quic(at))
			return QUIC_OPENING;
		length = at[LONG_ID - 1];
		cid = at + LONG_ID;
	}
	if (flags & LB_VIP_QUIC_LB)
		return quic_lb_id(cid, length, service, server_id);
	return quic_cid(cid, length, server_id);
}

#endif
