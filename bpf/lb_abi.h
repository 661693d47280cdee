/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The map ABI: what the program and the agent both read and write.  Plain C types only, so that the
 * unit test can compile it with the host's C compiler and compare it with agent/dataplane/abi.py, field by field.
 *
 * Every map is a memory-mapped array unless it says otherwise: the agent reads and writes it with
 * numpy and without a system call.  Multi-byte network fields are kept in network byte order and
 * named `be_`; all else is in the host's order.  A change of any struct raises LB_ABI_VERSION, which
 * is part of the pin path: two versions share no map by mistake.  One takes over another's where both
 * read it alike (agent/dataplane/carry.py): who changes what a word means changes its name or constant, too.
 */
#ifndef REMORA_LB_ABI_H
#define REMORA_LB_ABI_H

#include "reasons.h"

#define LB_ABI_VERSION 6

#define LB_MAX_VIPS 512		/* vip_num 0 is none */
#define LB_MAX_REALS 4096	/* real_num 0 is none; a real behind two VIPs has two numbers */
#define LB_RING_SLOTS 65537	/* prime; the slot is (hash >> 32) * 65537 >> 32 */
#define LB_RING_ROW 65540	/* a row's length: the slots, padded to 16 bytes */
#define LB_RING_ROWS (LB_MAX_VIPS + 64)	/* one in force per VIP, the rest free or in quarantine; row 0 stays empty */
#define LB_FLOW_WAYS 4		/* entries of one flow set: one cache line */
#define LB_CAPTURE 160		/* bytes of a packet that an event carries: all headers of the largest encapsulation */
#define LB_PLACES 2048		/* of the tables of addresses and VIPs: a quarter full at most */
#define LB_QUEUES 64		/* receive queues that are counted; the last one counts all others as well */
#define LB_MAX_PREFIXES 511
#define LB_MAX_QUIC_IDS 65536

typedef unsigned char lb_u8;
typedef unsigned short lb_u16;
typedef unsigned int lb_u32;
typedef unsigned long long lb_u64;

/*
 * Time: a jiffy is the kernel's (its length is the machine's: clock_getres(CLOCK_MONOTONIC_COARSE)), a
 * tick is 1/65536 of one.  Reading jiffies costs one load, any clock of the kernel 15 ns or more.
 */

/* Settings of the node. Map `control`, one entry. */
struct lb_control {
	lb_u64 hash_key[2];		/* fleet-wide secret of the flow hash */
	lb_u32 be_outer_source;		/* network part of the outer IPv4 source address */
	lb_u32 be_outer_mask;		/* its host bits (inverted netmask): filled from the hash */
	lb_u32 be_outer_source6[2];	/* upper half of the outer IPv6 source; the lower one is from the hash */
	lb_u64 event_ahead;		/* ticks: how far a token bucket may run ahead (burst - 1 intervals) */
	lb_u32 event_interval;		/* ticks per drop event, CPU and reason; 0 = no drop events */
	lb_u32 underlay_mtu;		/* largest IP packet towards the reals */
	lb_u8 gateway_mac[6];		/* next hop of encapsulated packets: with own_mac the new frame's first 12 bytes */
	lb_u8 own_mac[6];
	lb_u16 flags;			/* enum lb_control_flag */
	lb_u16 be_gue_port;		/* UDP port on which the reals take GUE */
	lb_u64 icmp_ahead;		/* as event_ahead, for ICMP messages of our own */
	lb_u32 icmp_interval;		/* ticks per message, CPU and kind; 0 = none is sent */
	lb_u32 flow_interval;		/* ticks per CPU and stored flow that the ring alone would place alike; 0 = no limit */
	lb_u64 flow_ahead;
	lb_u64 nothing;			/* 0 */
	lb_u64 warm_at;			/* jiffies: from then on the flow table has seen every flow that lives */
};

enum lb_control_flag {
	LB_TRACE_ALL = 1,		/* an event for every packet to a VIP, without a limit (simulation) */
	LB_ANSWER_PING = 2,		/* pings to a VIP's address are answered; else they are the host's */
	LB_TRACING = 4,			/* the map `trace` holds a filter */
	LB_PREFIXES = 8,		/* the map `prefixes` is not empty */
};

/*
 * An address that packets are looked at for. Map `addresses`, one entry of LB_PLACES of these, each
 * in one of the two places that address_places() gives (cuckoo hashing, Pagh and Rodler 2004).
 */
struct lb_address {
	lb_u64 be_address[2];		/* IPv4 in the first four bytes */
	lb_u32 version;			/* 4 or 6; 0: the place is free */
	lb_u16 number;			/* of the address, in lb_vip.key */
	lb_u16 flags;			/* enum lb_address_flag */
	lb_u64 pad;
};

enum lb_address_flag {
	LB_ADDRESS_VIP = 1,		/* of at least one VIP: what comes without usable ports is dropped */
	LB_ADDRESS_ALL_PORTS = 2,	/* a VIP of it takes every port that no other one has */
	LB_ADDRESS_OWN = 4,		/* the node's own: what is encapsulated for it is decapsulated */
	LB_ADDRESS_PING = 8,		/* pings to it are answered */
};

struct lb_addresses {
	struct lb_address place[LB_PLACES];
};

/* Key of the trie `prefixes` (BPF_MAP_TYPE_LPM_TRIE): VIPs that are networks. Value: lb_address. */
struct lb_prefix {
	lb_u32 length;			/* bits that count: 32 and the prefix's own */
	lb_u32 be_version;		/* 4 or 6, in network order */
	lb_u32 be_address[4];
};

/* A VIP. Map `vips`, one entry of LB_PLACES of these; placed as addresses are, by vip_places(). */
struct lb_vip {
	lb_u32 vip_num;
	lb_u32 key;			/* address number << 17 | UDP << 16 | be_port; port 0: all; 0: the place is free */
};

struct lb_vips {
	struct lb_vip place[LB_PLACES];
};

/* What becomes of a VIP's packets. The first two words change together, by one store. */
struct lb_service {
	lb_u32 ring_row;		/* the row in force: one store flips the ring */
	lb_u32 flags;			/* enum lb_vip_flag */
	lb_u32 udp_idle;		/* jiffies after which a UDP flow is a new one; 0: never */
	lb_u8 quic_id_bytes;		/* of the server id in a QUIC-LB connection id: 1 to 8 */
	lb_u8 quic_config;		/* its config rotation: 0 to 6 */
	lb_u8 pad[2];
};

/* Map `services`, one entry of these. */
struct lb_services {
	struct lb_service of[LB_MAX_VIPS];	/* by vip_num */
};

enum lb_vip_flag {
	LB_VIP_ANY_SOURCE = 1,		/* what the placing hash leaves out: the source address, */
	LB_VIP_ANY_SOURCE_PORT = 2,
	LB_VIP_ANY_PORT = 4,		/* the destination port */
	LB_VIP_CHANGED = 8,		/* only flows that the ring alone would misplace are stored (TCP) */
	LB_VIP_COMPUTE = 16,		/* no flow is stored */
	LB_VIP_PRESSURE = 32,		/* too many new flows: as CHANGED, and UDP too */
	LB_VIP_KEEP = 64,		/* flows stay on a real that is down */
	LB_VIP_FAIL_OPEN = 128,		/* reals that are down take packets as if they were not */
	LB_VIP_QUIC_LB = 256,		/* QUIC with server ids as draft-ietf-quic-load-balancers, in the clear */
	LB_VIP_QUIC_CID = 512,		/* QUIC with server ids as Katran has them: versions 1 to 3 */
};

/* Key of the hash map `quic_ids`; the value is a real_num. */
struct lb_quic_id {
	lb_u64 server_id;
	lb_u64 vip_num;
};

struct lb_real {
	lb_u32 be_address[4];		/* IPv4 in the first word */
	lb_u16 vip_num;			/* owner; 0 = the number is free */
	lb_u8 generation;		/* goes up when the number gets a new owner: old flows miss */
	lb_u8 flags;			/* enum lb_real_flag */
	lb_u8 encap;			/* bits of enum lb_encap */
	lb_u8 pad[3];
};

/* Map `reals`, one entry of these. */
struct lb_reals {
	struct lb_real of[LB_MAX_REALS];	/* by real_num */
};

/* How packets travel to a real; 0 is the inner IP packet right behind an outer IPv4 header. */
enum lb_encap {
	LB_ENCAP_IPV6 = 1,		/* the outer header is IPv6: so is the real's address */
	LB_ENCAP_GUE = 2,		/* a UDP header between the two (GUE variant 1) */
};

enum lb_real_flag {
	LB_REAL_DOWN = 1,		/* checks fail: the next packet goes elsewhere, unless the VIP says otherwise */
	LB_REAL_DRAINING = 2,		/* its flows stay, a new one never comes */
	LB_REAL_DISABLED = 4,		/* no packet may go there */
};

/*
 * Map `rings`, one per row.  A slot's word: the real_num in force (0: none), 12 bits; the real_num to
 * which flows of the slot went that may not be in the flow table, 12 bits; LB_SLOT_EXCEPTIONS.
 * While the first two are equal and there are no exceptions the ring alone places every flow of the slot.
 */
#define LB_SLOT_BITS 12
#define LB_SLOT_REAL 0xfff
#define LB_SLOT_EXCEPTIONS 0x1000000	/* the flow table holds flows of this slot that are elsewhere */

struct lb_ring {
	lb_u32 slots[LB_RING_ROW];
};

/* One flow. Map `flows`, one *set* of LB_FLOW_WAYS per entry, index cpu * LB_FLOW_SETS + hash % LB_FLOW_SETS.
 * The loader passes LB_CPUS and LB_FLOW_SETS (sets per CPU, a power of two) to the compiler; to decap.c
 * LB_GUE_PORT. */
struct lb_flow {
	lb_u64 tag;			/* the 5-tuple's keyed hash */
	lb_u32 seen;			/* jiffies | 1 of its last packet; 0 = free entry */
	lb_u16 real_num;
	lb_u8 generation;		/* of the real when the flow was stored */
	lb_u8 state;			/* enum lb_flow_state */
};

enum lb_flow_state {
	LB_FLOW_OPENING = 0,		/* only SYNs so far */
	LB_FLOW_OPEN = 1,
	LB_FLOW_CLOSING = 2,		/* and above: the client sent FIN or RST (flows.h) */
};

struct lb_flow_set {
	struct lb_flow way[LB_FLOW_WAYS];
};

/* Totals of one CPU. Map `totals`, one entry per CPU. What every packet moves is on the first line.
 * rx = tx + pass + drop, in packets and in bytes; drop = sum of drops[]; hits + misses = lookups. */
struct lb_totals {
	lb_u64 rx_packets, rx_bytes;	/* all that the program saw */
	lb_u64 tx_packets, tx_bytes;	/* encapsulated and sent, or answered (bytes as received) */
	lb_u64 pass_packets, pass_bytes;	/* not for a VIP: left to the host */
	lb_u64 flow_hits;		/* found in the flow table */
	lb_u64 flow_untracked;		/* of tx: placed by the ring alone, without a lookup */
	lb_u64 drop_packets, drop_bytes;
	lb_u64 flow_miss_syn;		/* a new TCP connection */
	lb_u64 flow_miss_udp;		/* a new UDP flow */
	lb_u64 flow_miss_other;		/* a flow unknown here: evicted, moved here from a node, older than the table */
	lb_u64 flow_restart;		/* of flow_miss_other: while the table is so new that it cannot know */
	lb_u64 flow_stale;		/* of the misses: known, but its real is gone or down, or it is over */
	lb_u64 flow_moved;		/* fetched from another CPU's flow table, then a hit or stale */
	lb_u64 flow_previous;		/* of the misses: placed as before the ring changed */
	lb_u64 flow_unstored;		/* of the misses: the ring would place it alike, and too many came at once */
	lb_u64 flow_evictions;		/* a live entry made room */
	lb_u64 events;			/* of drops (LB_TRACE_ALL: of verdicts), written to the ring buffer */
	lb_u64 events_suppressed;	/* over the rate: counted, not written */
	lb_u64 events_lost;		/* the ring buffer was full */
	lb_u64 icmp_forwarded;		/* of tx: ICMP errors, to the real of the flow that they quote; no lookups */
	lb_u64 icmp_sent;		/* of tx: answered by an ICMP message of our own */
	lb_u64 icmp_too_big;		/* of icmp_sent: that the packet was too big; the others are answers to pings */
	lb_u64 icmp_suppressed;		/* of drop: would have been answered, but over the rate */
	lb_u64 quic_routed;		/* of tx: to the real that the connection id names */
	lb_u64 quic_initial;		/* opening a connection: the client chose the connection id */
	lb_u64 quic_unknown;		/* connection id of no known server, or its real takes no packets */
	lb_u64 decapsulated;		/* of pass: encapsulated for this node, which is a real itself */
	lb_u64 tagged;			/* of rx: with a VLAN tag */
	lb_u64 extended;		/* of rx: to a VIP, behind IPv6 extension headers */
	lb_u64 traced;			/* matched the filter, within its rate or not, written or lost */
	lb_u64 drops[REASON_COUNT];	/* packets, by enum lb_reason */
	lb_u64 queues[LB_QUEUES];	/* packets, by receive queue */
	lb_u64 pad[7];			/* to a multiple of the cache line */
};

/* Maps `vip_totals` [cpu * LB_MAX_VIPS + vip_num] and `real_totals` [cpu * LB_MAX_REALS + real_num]. */
struct lb_share {
	lb_u64 packets, bytes;		/* sent on */
	lb_u64 flows;			/* placed by the ring: new flows */
	lb_u64 drops;			/* (of a VIP) */
};

/* Token bucket of one (CPU, reason or other use), as a virtual schedule (GCRA, ITU-T I.371): one word
 * and no division. Map `buckets` [cpu * LB_BUCKETS + number]: of drop events by reason, then others. */
struct lb_bucket {
	lb_u64 due;			/* ticks: when the bucket is full again */
};

enum lb_bucket_number {
	LB_BUCKET_TOO_BIG = REASON_COUNT,
	LB_BUCKET_PING = REASON_COUNT + 1,
	LB_BUCKET_FLOWS = REASON_COUNT + 2,
	LB_BUCKET_TRACE = REASON_COUNT + 3,
	LB_BUCKETS = REASON_COUNT + 4,
};

/* Which packets are traced. Map `trace`, one entry; a mask of 0 takes any value, and so does a 0 below. */
struct lb_trace {
	lb_u64 be_source[2], be_source_mask[2];	/* the client's; of an ICMP error: of the flow that it quotes */
	lb_u64 be_destination[2], be_destination_mask[2];
	lb_u32 be_ports, be_ports_mask;	/* source in the lower half */
	lb_u16 vip_num, real_num;
	lb_u8 version, protocol;
	lb_u8 pad[2];
	lb_u32 one_in;			/* of so many packets one, by chance */
	lb_u32 interval;		/* ticks per traced packet and CPU */
	lb_u64 ahead;
	lb_u64 until;			/* ticks: over then, whether the agent lives or not */
};

enum lb_verdict {
	LB_PASS = 0,
	LB_SEND = 1,
	LB_DROP = 2,
	LB_ANSWER = 3,			/* an ICMP message of our own went back in its place */
};

enum lb_event_kind {
	LB_EVENT_CONCLUSION = 0,	/* a drop (with LB_TRACE_ALL: any verdict on a packet to a VIP) */
	LB_EVENT_ENTRY = 1,		/* a traced packet as it came, */
	LB_EVENT_EXIT = 2,		/* and as it left, or would have */
};

/* Ring buffer `events`, fixed size. */
struct lb_event {
	lb_u64 at;			/* CLOCK_MONOTONIC, ns */
	lb_u32 length;			/* of the frame as received; at exit: as it is now */
	lb_u32 slot;
	lb_u16 verdict;			/* enum lb_verdict; at entry: none yet */
	lb_u16 reason;			/* enum lb_reason */
	lb_u16 vip_num;
	lb_u16 real_num;
	lb_u16 cpu;
	lb_u16 rx_queue;
	lb_u8 kind;			/* enum lb_event_kind */
	lb_u8 flow_hit;			/* 1: placed by the flow table, 0: by the ring */
	lb_u16 captured;		/* bytes in head */
	lb_u32 packet;			/* entry and exit of one packet have the same, of one CPU */
	lb_u32 pad;
	lb_u8 head[LB_CAPTURE];		/* the frame as it is now, zero-padded */
};

/* Map `work`, one entry per CPU: rare.c's own, of no meaning behind a packet. */
struct lb_work {
	lb_u64 words[32];
};

/* Program array `jumps`. */
enum lb_jump {
	LB_JUMP_RARE = 0,
	LB_JUMPS = 1,
};

/* Totals of decap.c, which runs on a real. Map `decap_totals`, one entry per CPU. rx = decapsulated + pass + drop. */
struct lb_decap_totals {
	lb_u64 rx_packets, rx_bytes;
	lb_u64 decapsulated_packets, decapsulated_bytes;	/* bytes without the outer header */
	lb_u64 pass_packets;		/* not encapsulated */
	lb_u64 drop_packets;		/* an encapsulation that cannot be undone, or whose congestion mark would be lost */
	lb_u64 pad[2];
};

/*
 * The mark (SO_MARK) of a packet that probe.c sends to a real: LB_PROBE_MARK, the real's generation in
 * eight bits, its real_num in twelve.  All twelve upper bits must be these: other marks are left alone.
 */
#define LB_PROBE_MARK 0x52e00000
#define LB_PROBE_MARK_BITS 0xfff00000
#define LB_PROBE_GENERATION_SHIFT 12

/* Totals of probe.c. Map `probe_totals`, one entry per CPU: packets with its mark = sent + the others. */
struct lb_probe_totals {
	lb_u64 sent;			/* encapsulated, and passed on to the interface */
	lb_u64 stale;			/* dropped: the real_num is free, or somebody else's by now */
	lb_u64 odd;			/* dropped: neither TCP nor UDP, or a fragment */
	lb_u64 too_big;			/* dropped: over the underlay's MTU once encapsulated */
	lb_u64 failed;			/* dropped: no room for the outer header */
	lb_u64 pad[3];			/* to a cache line */
};

/*
 * The work of ring.c. Map `fill`, one entry.
 *
 * A slot is a fraction of the ring there, in units of 2^-64: its number times LB_FILL_UNIT, and LB_FILL_BIAS. Sums wrap
 * around as the ring does, each time one unit short, for 65537 divides 2^64 - 1; the bias is more than a walk can lose,
 * and no slot's fraction is so near to another place that it would matter.
 */
#define LB_FILL_UNIT 0x0000ffff0000ffff	/* (2^64 - 1) / LB_RING_SLOTS */
#define LB_FILL_BIAS 0x400000000000
#define LB_FILL_PLACE_BITS 17	/* so many first bits are like no other slot's */
#define LB_FILL_REST 128	/* so many slots are left when the members stop walking */

struct lb_fill_member {
	lb_u64 next;			/* where its permutation goes on */
	lb_u64 skip;
};

struct lb_fill {
	lb_u8 taken[1 << LB_FILL_PLACE_BITS];	/* place -> 1; while the members walk */
	lb_u32 turn;			/* turns taken so far; LB_RING_SLOTS: the ring is full */
	lb_u32 free_slots;		/* listed in `free`; 0 while the members walk */
	struct lb_fill_member members[LB_MAX_REALS];
	lb_u32 inverse[LB_MAX_REALS];	/* member -> 1 / skip, modulo the number of slots: for the rest only */
	lb_u32 free[LB_FILL_REST];	/* numbers of slots */
	lb_u16 order[LB_RING_ROW];	/* turn -> member */
	lb_u16 slots[LB_RING_ROW];	/* slot -> member */
};

enum lb_fill_result {
	LB_FILL_MORE = 0,		/* not done yet: run again */
	LB_FILL_DONE = 1,		/* walked till LB_FILL_REST slots were left, or full */
	LB_FILL_BROKEN = 2,		/* a next or skip that is no slot */
};

/* The maps: their numbers in the programs' code, their names in the pin directory. */
enum lb_map {
	LB_MAP_CONTROL = 1,
	LB_MAP_VIPS = 2,
	LB_MAP_SERVICES = 3,
	LB_MAP_REALS = 4,
	LB_MAP_RINGS = 5,
	LB_MAP_FLOWS = 6,
	LB_MAP_TOTALS = 7,
	LB_MAP_VIP_TOTALS = 8,
	LB_MAP_REAL_TOTALS = 9,
	LB_MAP_BUCKETS = 10,
	LB_MAP_EVENTS = 11,		/* ring buffer of lb_event */
	LB_MAP_DECAP_TOTALS = 12,
	LB_MAP_FILL = 13,
	LB_MAP_ADDRESSES = 14,
	LB_MAP_PREFIXES = 15,		/* trie lb_prefix -> lb_address */
	LB_MAP_QUIC_IDS = 16,		/* hash lb_quic_id -> u32 */
	LB_MAP_TRACE = 17,
	LB_MAP_WORK = 19,
	LB_MAP_JUMPS = 20,		/* program array */
	LB_MAP_PROBE_TOTALS = 21,
};

#endif
