/* SPDX-License-Identifier: GPL-2.0 */
/* Written by `python3 -m shared.reasons`: edit shared/reasons.py instead. */
#ifndef REMORA_REASONS_H
#define REMORA_REASONS_H

enum lb_reason {
	REASON_NONE = 0,
	REASON_FRAGMENT = 1,	/* a fragment addressed to a VIP */
	REASON_IP_OPTIONS = 2,	/* an IPv4 packet with options addressed to a VIP */
	REASON_MALFORMED = 3,	/* a header of a packet to a VIP contradicts itself or the frame's length */
	REASON_NO_REAL = 4,	/* the VIP's ring has no usable real */
	REASON_TOO_BIG = 5,	/* the packet does not fit the underlay's MTU once it is encapsulated */
	REASON_ENCAP_FAILED = 6,	/* the outer header could not be put in front of the packet */
	REASON_INTERNAL = 7,	/* a map had no entry where the program needs one */
	REASON_EXTENSION_HEADER = 8,	/* an IPv6 packet to a VIP with more than four extension headers, or one that is not walked */
	REASON_ICMP_QUOTE = 9,	/* an ICMP error to a VIP that does not quote the ports of a TCP or UDP packet */
	REASON_PING_LIMIT = 10,	/* a ping to a VIP over the rate at which pings are answered */
	REASON_CONGESTION = 11,	/* an encapsulated packet for this node whose congestion mark the inner one cannot carry */
	REASON_COUNT = 32,	/* room to grow: sizes the counters, not the list */
};

#endif
