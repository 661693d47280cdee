# SPDX-License-Identifier: Apache-2.0
"""Preflight's rules by table: one machine on which all is well, and one change at a time."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from agent.cli.main import main
from agent.config import file as config
from agent.preflight.findings import Finding, Level, as_json, as_text, exit_code
from agent.preflight.rules import judge_node, judge_real, service
from agent.preflight.rules_device import receives
from agent.preflight.surveyed import (
    Amount,
    Checked,
    Compiler,
    Device,
    Gateway,
    Irq,
    Kernel,
    Limits,
    Listener,
    Network,
    NodeSurvey,
    PeerAnswer,
    Pins,
    Place,
    Queues,
    Reached,
    RealSurvey,
    Rss,
    TunnelDevice,
    WayTo,
)
from tests.unit.world import ONE_VIP, REALS, TOML, vip


def irqs(*cpus: str) -> tuple[Irq, ...]:
    """Of a NIC with a queue for each, and one interrupt of its own."""
    return (Irq(39, "mlx5_async0@pci:0000:01:00.0", "0"), *(
        Irq(40 + i, f"mlx5_comp{i}@pci:0000:01:00.0", cpu) for i, cpu in enumerate(cpus)
    ))  # fmt: skip


CONFIG = config.parse(
    ONE_VIP.replace('interface = "eth0"', 'interface = "eth0"\nunderlay_mtu = 1600'), "test"
)
DEVICE = Device(
    name="eth0", up=True, carrier=True, mtu=1600, kind="", driver="mlx5_core", native=True,
    xdp="", xdp_ours=False, attach_error=None, features={"rx-lro": False, "rx-gro": True},
    queues=Queues("combined", 4, 64), rings={"rx": Amount(1024, 8192), "tx": Amount(1024, 8192)},
    irqs=irqs("0", "1", "2", "3"), near_cpus=(0, 1, 2, 3), rss=Rss(4, True, True),
    rps=False, rp_filter=2, arp_ignore=1,
)  # fmt: skip
KERNEL = Kernel("6.1.0-18-amd64", btf=True, jited=True, errors={"maps": "", "ring buffer": ""})
VIP = "10.200.0.1"
NETWORK = Network(
    addresses=(("lo", "127.0.0.1/8"), ("eth0", "10.2.1.2/24"), ("eth0", "fe80::1/64")),
    routes=(("eth0", "0.0.0.0/0"), ("eth0", "10.2.1.0/24"), ("eth0", "fe80::/64")),
    tunnels=(),
)
NODE = NodeSurvey(
    root=True,
    cpus=4,
    kernel=KERNEL,
    pins=Pins("/sys/fs/bpf", "bpf", default=True),
    compiler=Compiler("", 412.0),
    device=DEVICE,
    gateway=Gateway("10.2.1.1", "02:00:00:00:00:01", ""),
    network=NETWORK,
    paths={to: WayTo("eth0", "10.2.1.1", neighbour=True) for to in (*REALS, VIP)},
    checked=tuple(Checked("web", real, ok=True, detail="http 200") for real in REALS),
    reached=tuple(
        Reached(VIP, real, plain=True, spread=True, full=True, size=1520) for real in REALS
    ),
    irqbalance=False,
    exabgp="ExaBGP : 5.0.15",
    peers=(PeerAnswer("10.2.1.1", "10.2.1.2", ""),),
    places=(Place("run_dir", "/run/remora", ""), Place("state_dir", "/var/lib/remora", "")),
    clock=True,
    limits=Limits(files=65536, memlock=8 << 20),
)
REAL = RealSurvey(
    vip="10.200.0.1",
    interface="eth0",
    device=DEVICE._replace(xdp="decap, native", xdp_ours=True),
    network=NETWORK._replace(addresses=(("lo", "10.200.0.1/32"), ("eth0", "10.3.1.2/24"))),
    tunnel_rp_filter={},
    outer=4,
    gue_port=0,
    fou=False,
    listeners=(Listener("tcp", 80), Listener("udp", 53)),
)


def notable(findings: tuple[Finding, ...]) -> dict[tuple[str, str], Finding]:
    """(check, level) -> finding, of those that are not ok; each says why."""
    assert all(finding.why and finding.what for finding in findings)
    for finding in findings:
        assert finding.fix or finding.level in (Level.OK, Level.NOTE), finding
        assert not finding.fix or finding.level is not Level.OK
    return {(f.check, str(f.level)): f for f in findings if f.level is not Level.OK}


def device(**changed: Any) -> dict[str, Any]:  # noqa: ANN401
    return {"device": DEVICE._replace(**changed)}


def kernel(**changed: Any) -> dict[str, Any]:  # noqa: ANN401
    return {"kernel": KERNEL._replace(**changed)}


def failing(*reals: str) -> dict[str, Any]:
    return {
        "checked": tuple(
            Checked("web", r, r not in reals, "connection refused" if r in reals else "http 200")
            for r in REALS
        )
    }


def pings(**changed: Any) -> dict[str, Any]:  # noqa: ANN401
    """The second real's were answered otherwise."""
    first, second, *rest = NODE.reached
    return {"reached": (first, second._replace(**changed), *rest)}


def path(real: str, way: WayTo | None) -> dict[str, Any]:
    return {"paths": {**NODE.paths, real: way}}


UNLIMITED = Limits(files=65536, memlock=None)

NODE_TABLE: list[tuple[dict[str, Any], str, str, str, str]] = [
    ({"root": False}, "root", "fail", "not root", "sudo"),
    ({**kernel(release="5.4.0"), "limits": UNLIMITED}, "kernel", "fail", "5.4.0 cannot", "6.1"),
    (kernel(release="5.15.0"), "kernel", "fail", "5.15.0 cannot load the program", "6.1"),
    (kernel(release="5.18.0"), "kernel", "warn", "older than any that it is meant for", "6.1"),
    ({**kernel(release="odd"), "limits": UNLIMITED}, "kernel", "fail", "Linux odd", "6.1"),
    (kernel(errors={"maps": "", "ring buffer": "invalid argument"}), "bpf", "fail",
     "refuses it (invalid argument)", "6.1"),
    (kernel(jited=False), "jit", "warn", "interpreted", "net.core.bpf_jit_enable=1"),
    (kernel(jited=None), "jit", "note", "not known", ""),
    (kernel(btf=False), "btf", "note", "no type information", "CONFIG_DEBUG_INFO_BTF"),
    ({"pins": Pins("/srv/bpf", "ext4", default=False)}, "bpffs", "fail", "not a bpffs (ext4)",
     "mkdir -p /srv/bpf && mount -t bpf bpf /srv/bpf"),
    ({"pins": Pins("/sys/fs/bpf", "sysfs", default=True)}, "bpffs", "note", "agent mounts it",
     "mount -t bpf bpf /sys/fs/bpf"),
    ({"compiler": Compiler("bcc is missing (No module named 'bcc')\nmore", 0)}, "compiler", "fail",
     "bcc is missing", "apt-get install python3-bpfcc"),
    ({"compiler": Compiler("the kernel refused program pass:\nlog", 0)}, "compiler", "fail",
     "the kernel refused", "remora-agent run -c FILE"),
    ({"compiler": Compiler("", 0, tried=False)}, "compiler", "note", "not tried", "mount -t bpf"),
    ({"places": (Place("run_dir", "/run/x", "cannot be written: Read-only file system"),)},
     "directory", "fail", "Read-only", "install -d -m 0750 /run/x"),
    ({"limits": Limits(100, None)}, "nofile", "fail", "100 open files allowed, 131",
     "LimitNOFILE=262"),
    ({"clock": False}, "clock", "warn", "not synchronised", "chrony"),
    ({"clock": None}, "clock", "note", "not known", ""),
    ({"device": None}, "interface", "fail", "not in this network namespace", "ip -br link"),
    (device(up=False), "interface", "fail", "down", "ip link set dev eth0 up"),
    (device(carrier=False), "interface", "fail", "without carrier", "ethtool eth0"),
    (device(xdp="other, native"), "xdp", "fail", "somebody else's program already: other",
     "ip link set dev eth0 xdp off"),
    (device(xdp="program 7, native", xdp_ours=None), "xdp", "note", "only root may see", "sudo"),
    (device(xdp="lb, generic", xdp_ours=True), "xdp", "warn", "generic mode, a copy",
     'xdp_mode = "native"'),
    (device(native=False), "xdp", "fail", "no native XDP", 'xdp_mode = "generic"'),
    (device(native=None), "xdp", "note", "not known", "--probe"),
    (device(attach_error="operation not supported"), "xdp", "fail",
     "cannot be attached: operation not supported", 'xdp_mode = "generic"'),
    (device(features={"rx-lro": True}), "offload", "fail", "rx-lro is on",
     "ethtool -K eth0 rx-lro off"),
    (device(features={"rx-lro": True}, xdp="lb, native", xdp_ours=True), "offload", "warn",
     "rx-lro is on", "stop -c FILE --detach && ethtool -K eth0 rx-lro off"),
    (device(features={"rx-gro-hw": True}), "offload", "warn", "rx-gro-hw is on",
     "ethtool -K eth0 rx-gro-hw off"),
    (device(mtu=1500), "mtu", "fail", "1500, smaller than node.underlay_mtu (1600)",
     "ip link set dev eth0 mtu 1600"),
    (device(mtu=9000), "mtu", "warn", "most drivers refuse XDP above 3506", "mtu 1600"),
    (device(queues=Queues("combined", 1, 64)), "rx-queues", "warn", "1 receive queues for 4 CPUs",
     "ethtool -L eth0 combined 4"),
    (device(queues=Queues("rx", 1, 64)), "rx-queues", "warn", "it has up to 64",
     "ethtool -L eth0 rx 4"),
    (device(queues=Queues("rx", 1, 64), xdp="lb, native", xdp_ours=True), "rx-queues", "warn",
     "it has up to 64", "stop -c FILE --detach && ethtool -L eth0 rx 4; then start"),
    (device(queues=Queues("combined", 2, 2)), "rx-queues", "note", "it has no more", ""),
    (device(queues=None), "rx-queues", "note", "not known", ""),
    (device(driver="ena", queues=Queues("combined", 4, 7)), "xdp-queues", "fail",
     "at most half of its 7 queues, 4 are in use", "ethtool -L eth0 combined 3"),
    (device(driver="virtio_net", queues=Queues("combined", 4, 7)), "xdp-queues", "note",
     "7 queue pairs are no 4 and one more for each of 4 CPUs", "8 queue pairs"),
    (device(rings={"rx": Amount(256, 8192)}), "rx-ring", "note", "256 descriptors, up to 8192",
     "ethtool -G eth0 rx 1024"),
    (device(rings={"tx": Amount(256, 512)}), "tx-ring", "note", "256 descriptors, up to 512",
     "ethtool -G eth0 tx 512"),
    (device(irqs=irqs("0", "0", "2", "3")), "irq-affinity", "warn",
     "4 receive queues' interrupts on CPUs 0, 2, 3 only",
     "echo 0 > /proc/irq/40/smp_affinity_list && echo 1 > /proc/irq/41/smp_affinity_list"),
    ({"irqbalance": True}, "irqbalance", "note", "runs", "systemctl disable --now irqbalance"),
    (device(rss=Rss(2, True, True)), "rss", "warn", "leads to 2 of 4 receive queues",
     "ethtool -X eth0 default"),
    (pings(plain=False, spread=False, full=False), "encapsulated", "warn",
     "does not answer a ping of 10.200.0.1", "--role real --vip 10.200.0.1"),
    (pings(spread=False, full=False), "outer-source", "fail",
     "do not arrive at 1 reals (10.3.2.2); from this node's own address they do",
     "node.outer_source to a prefix that is routed"),
    (pings(full=False), "encap-mtu", "fail", "packets of 1520 bytes do not arrive",
     "tracepath -n 10.3.2.2"),
    (device(rps=True), "rps", "note", "steering is on", "rps_cpus"),
    (device(rp_filter=1), "rp_filter", "note", "strict", "net.ipv4.conf.eth0.rp_filter=2"),
    ({"gateway": Gateway("10.2.1.1", "", "gateway 10.2.1.1: does not answer ARP")}, "gateway",
     "fail", "does not answer ARP", "node.gateway"),
    ({"network": NETWORK._replace(addresses=(("eth1", "172.16.4.1/24"),))}, "outer-source",
     "fail", "172.16.4.1/24 on eth1 lies in it", "node.outer_source"),
    ({"network": NETWORK._replace(routes=(("eth1", "172.16.0.0/12"),))}, "outer-source", "warn",
     "a route to 172.16.0.0/12 by eth1", "node.outer_source"),
    (path(REALS[0], None), "route", "fail", "no route", "ip route add 10.3.1.2"),
    (path(REALS[0], WayTo("eth1", "10.9.9.1", neighbour=True)), "route", "warn", "by eth1",
     "ip route replace 10.3.1.2"),
    (path(REALS[0], WayTo("eth0", "10.2.1.9", neighbour=False)), "route", "fail",
     "next hop 10.2.1.9 does not answer", "ip neigh show 10.2.1.9"),
    (path(REALS[0], WayTo("eth0", "", neighbour=True)), "route", "note", "detour", "router"),
    (failing(REALS[1]), "check", "warn", "connection refused", "nc -vz 10.3.2.2 80"),
    (failing(*REALS), "check", "fail", "0 of 3 reals answer", "[vips.check]"),
    (path(VIP, None), "tunnel", "fail", "no route", "ip route add 10.200.0.1 via GATEWAY dev eth0"),
    (path(VIP, WayTo("eth1", "10.9.9.1", neighbour=True)), "tunnel", "fail",
     "route is by eth1, checks leave by eth0 only", 'via = "direct" in the check of web'),
    ({"network": NETWORK._replace(addresses=(("lo", "10.200.0.1/32"),))}, "tunnel", "fail",
     "is on lo of this node: answers from it would be martians", "ip addr del 10.200.0.1 dev lo"),
    (device(kind="veth", features={"tx-checksum-ip-generic": True}), "tunnel", "warn",
     "leaves checksums to whoever receives", "ethtool -K eth0 tx-checksum-ip-generic off"),
    ({"exabgp": ""}, "exabgp", "fail", "not found", "pip install 'exabgp>=5.0.15,<5.1'"),
    ({"exabgp": "ExaBGP : 4.2.25"}, "exabgp", "fail", "version 4.2.25", "exabgp>=5.0.15"),
    ({"peers": (PeerAnswer("10.2.1.1", "10.2.1.2", "refused", 1790),)}, "bgp-peer", "fail",
     "port 1790 from 10.2.1.2: refused", "nc -vz -s 10.2.1.2 10.2.1.1 1790"),
    ({"peers": (PeerAnswer("10.2.1.1", "10.2.1.2", "connection refused"),)}, "bgp-peer", "fail",
     "port 179 from 10.2.1.2: connection refused", "nc -vz -s 10.2.1.2 10.2.1.1 179"),
]  # fmt: skip


def test_a_good_node_has_nothing_to_say() -> None:
    findings = judge_node(CONFIG, NODE)
    assert notable(findings) == {}
    assert exit_code(findings) == 0
    assert len({(f.check, f.subject) for f in findings}) == len(findings), "each is said once"


@pytest.mark.parametrize(
    ("changed", "check", "level", "what", "fix"),
    NODE_TABLE,
    ids=[f"{check}-{level}-{i}" for i, (_, check, level, *_rest) in enumerate(NODE_TABLE)],
)
def test_node(changed: dict[str, Any], check: str, level: str, what: str, fix: str) -> None:
    findings = judge_node(CONFIG, NODE._replace(**changed))
    found = notable(findings)
    assert {key[0] for key in found} == {check}, "one cause, one check"
    finding = found[check, level]
    assert what in finding.what
    assert fix in finding.fix
    assert exit_code(findings) == int(level == "fail")


@pytest.mark.parametrize(
    ("names", "found"),
    [
        (("virtio2-config", "virtio2-input.0", "virtio2-output.0", "virtio2-input.1"), (1, 3)),
        (("eth0", "eth0-TxRx-1", "eth0-TxRx-0"), (2, 1)),
        (("mlx5_async0@pci:1", "mlx5_comp0@pci:1", "mlx5_comp1@pci:1"), (1, 2)),
        (("ena-mgmnt@pci:0000:00:05.0", "eth0-Tx-Rx-0", "eth0-Tx-Rx-1"), (1, 2)),
        (("eth0-rx-0", "eth0-tx-0", "eth0-rx-1", "eth0-event-2"), (0, 2)),
        (("", "eth0:misc"), ()),
    ],
)
def test_receive_queues_interrupts_by_their_drivers_names(
    names: tuple[str, ...], found: tuple[int, ...]
) -> None:
    each = tuple(Irq(number, name, "0") for number, name in enumerate(names))
    assert tuple(irq.number for irq in receives(DEVICE._replace(irqs=each))) == found


def test_interrupts_are_pinned_near_the_device_unless_irqbalance_would_undo_it() -> None:
    shared = device(irqs=irqs("0", "0", "0", "0"), near_cpus=(8, 9))
    found = notable(judge_node(CONFIG, NODE._replace(**shared)))["irq-affinity", "warn"]
    assert [(c.setting.where, c.value) for c in found.remedy] == [
        (f"/proc/irq/{irq}/smp_affinity_list", cpu)
        for irq, cpu in zip(range(40, 44), ("8", "9", "8", "9"), strict=True)
    ]
    moved = notable(judge_node(CONFIG, NODE._replace(irqbalance=True, **shared)))
    assert moved["irq-affinity", "warn"].remedy == ()
    assert moved["irq-affinity", "warn"].fix.startswith("systemctl disable --now irqbalance && ")


def test_udp_that_is_spread_by_addresses_only_is_said_where_there_is_udp() -> None:
    node = NODE._replace(**device(rss=Rss(4, False, True)))
    assert notable(judge_node(CONFIG, node)) == {}
    udp = TOML + vip("dns", "10.200.0.2", 53, REALS).replace(
        "port = 53", 'port = 53\nprotocol = "udp"'
    )
    text = udp.replace("[bgp]", "underlay_mtu = 1600\n[bgp]", 1)
    found = notable(judge_node(config.parse(text, "test"), node))
    assert found["rss", "note"].fix == "ethtool -N eth0 rx-flow-hash udp4 sdfn"


def test_locked_memory_counts_on_old_kernels_only() -> None:
    old = NODE._replace(**kernel(release="5.10.0"))
    found = notable(judge_node(CONFIG, old))
    assert "ulimit -l unlimited" in found["memlock", "fail"].fix
    assert "memlock" not in {
        key[0] for key in notable(judge_node(CONFIG, old._replace(limits=UNLIMITED)))
    }


@pytest.mark.parametrize(
    ("old", "new", "check", "level"),
    [
        ("[bgp]", 'xdp_mode = "generic"\n[bgp]', "xdp", "warn"),
        ("[bgp]", "underlay_mtu = 1500\n[bgp]", "encap-mtu", "warn"),
    ],
)
def test_node_config(old: str, new: str, check: str, level: str) -> None:
    text = TOML.replace(old, new, 1) + vip("web", "10.200.0.1", 80, REALS)
    if "underlay_mtu" not in new:
        text = text.replace("[bgp]", "underlay_mtu = 1600\n[bgp]", 1)
    found = notable(judge_node(config.parse(text, "test"), NODE))
    assert set(found) == {(check, level)}


def test_without_bgp_nothing_is_asked_of_it() -> None:
    text = ONE_VIP[: ONE_VIP.index("[bgp]")] + ONE_VIP[ONE_VIP.index("[[vips]]") :]
    findings = judge_node(config.parse(text, "test"), NODE._replace(exabgp="", peers=()))
    assert not {"exabgp", "bgp-peer"} & {finding.check for finding in findings}


def real_device(**changed: Any) -> dict[str, Any]:  # noqa: ANN401
    assert REAL.device is not None
    return {"device": REAL.device._replace(**changed)}


def through(kind: str, **changed: Any) -> dict[str, Any]:  # noqa: ANN401
    """By a tunnel device."""
    device = TunnelDevice("any", kind, up=True)
    return {**tunnel(up=True), **changed, "network": REAL.network._replace(tunnels=(device,))}


def tunnel(*, up: bool, **changed: Any) -> dict[str, Any]:  # noqa: ANN401
    return {
        "device": DEVICE._replace(**changed),
        "network": REAL.network._replace(tunnels=(TunnelDevice("tunl0", "ipip", up),)),
        "tunnel_rp_filter": {"tunl0": changed.get("rp_filter", 0)},
    }


REAL_TABLE: list[tuple[dict[str, Any], str, str, str, str]] = [
    ({"network": NETWORK}, "vip-address", "fail", "no interface", "ip addr add 10.200.0.1/32"),
    ({"network": NETWORK._replace(addresses=(("eth0", "10.200.0.1/32"),))}, "vip-address", "fail",
     "answers ARP for it", "ip addr del 10.200.0.1 dev eth0"),
    ({"device": None, "interface": ""}, "interface", "fail", "default route", "--interface"),
    (real_device(up=False), "interface", "fail", "down", "ip link set dev eth0 up"),
    (real_device(xdp="", xdp_ours=False), "decap", "fail", "neither", "modprobe ipip"),
    (real_device(xdp="program 7, native", xdp_ours=None), "decap", "note", "only root", "sudo"),
    (tunnel(up=False), "decap", "fail", "it is down", "ip link set dev tunl0 up"),
    (through("sit"), "decap", "fail", "nor an ipip device", "modprobe ipip"),
    (through("ipip", outer=6), "decap", "fail", "nor an ip6tnl device", "type ip6tnl mode any"),
    ({**tunnel(up=True), "gue_port": 9886}, "gue", "fail", "no socket takes it",
     "ip fou add port 9886 gue"),
    (tunnel(up=True, rp_filter=1), "rp_filter", "fail", "strict", "conf.tunl0.rp_filter=2"),
    (real_device(rp_filter=1), "rp_filter", "note", "works only while", "eth0.rp_filter=2"),
    ({**real_device(rp_filter=1), "network": REAL.network._replace(routes=())}, "rp_filter", "fail",
     "the way to clients is not by it", "eth0.rp_filter=2"),
    (real_device(mtu=1500), "mtu", "warn", "1500", "advmss 1440"),
    (real_device(arp_ignore=0), "arp", "note", "answers ARP", "eth0.arp_ignore=1"),
    ({"listeners": (Listener("udp", 80),)}, "service", "fail", "nothing listens on 80/tcp", "ss "),
]  # fmt: skip


def test_a_good_real_has_nothing_to_say() -> None:
    for survey in (REAL, REAL._replace(**tunnel(up=True))):
        assert notable(judge_real(survey, Listener("tcp", 80))) == {}
        assert notable(judge_real(survey, None)) == {}


@pytest.mark.parametrize(
    ("changed", "check", "level", "what", "fix"),
    REAL_TABLE,
    ids=[f"{check}-{level}-{i}" for i, (_, check, level, *_rest) in enumerate(REAL_TABLE)],
)
def test_real(changed: dict[str, Any], check: str, level: str, what: str, fix: str) -> None:
    findings = judge_real(REAL._replace(**changed), Listener("tcp", 80))
    found = notable(findings)
    assert {key[0] for key in found} == {check}
    finding = found[check, level]
    assert what in finding.what
    assert fix in finding.fix
    assert exit_code(findings) == int(level == "fail")


def test_nothing_at_all_listens() -> None:
    found = notable(judge_real(REAL._replace(listeners=()), None))
    assert found["service", "fail"].what == "nothing listens"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("10.200.0.1", ("10.200.0.1", None)),
        ("10.200.0.1:80", ("10.200.0.1", Listener("tcp", 80))),
        ("10.200.0.1:53/udp", ("10.200.0.1", Listener("udp", 53))),
        ("2001:db8::1", ("2001:db8::1", None)),
        ("[2001:db8::1]:443/tcp", ("2001:db8::1", Listener("tcp", 443))),
    ],
)
def test_vip_in_words(text: str, expected: tuple[str, Listener | None]) -> None:
    assert service(text) == expected


@pytest.mark.parametrize("text", ["", "web", "10.200.0.1:0", "10.200.0.1:80/sctp"])
def test_vip_in_wrong_words(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        service(text)


def test_text_and_json_say_the_same() -> None:
    findings = judge_node(CONFIG, NODE._replace(clock=False, exabgp=""))
    text, plain = as_text(findings), as_json("node", "lb1", findings)
    assert text.splitlines()[-1].startswith("1 fail, 1 warn, ")
    assert plain["ok"] is False
    assert plain["levels"] == {"fail": 1, "warn": 1, "note": 0, "ok": len(findings) - 2}
    for finding in findings:
        assert finding.what in text
        assert (finding.why in text) is (finding.level is not Level.OK), finding
    assert json.loads(json.dumps(plain))["findings"][0]["level"] == "ok"


@pytest.mark.parametrize(
    "words",
    [
        ("preflight",),
        ("preflight", "--role", "real"),
        ("preflight", "--role", "real", "--vip", "web"),
        ("preflight", "-c", "/nowhere.toml"),
    ],
)
def test_usage(words: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_every_check_is_in_the_docs() -> None:
    """docs/operating.md names each check: what scripts filter by."""
    page = (Path(__file__).parents[2] / "docs" / "operating.md").read_text()
    checks = {row[1] for row in (*NODE_TABLE, *REAL_TABLE)} | {"encap-mtu"}
    checks |= {"memlock"} | {f.check for f in (*judge_node(CONFIG, NODE), *judge_real(REAL, None))}
    for check in checks:
        assert f"`{check}`" in page, check


@pytest.mark.parametrize(
    ("keys", "tool"),
    [
        ('kind = "http"\npath = "/up"', "curl -vk http://10.3.2.2:80/up"),
        ('kind = "tls"\nsni = "web.test"\nport = 443', "openssl s_client -connect 10.3.2.2:443"),
        ('kind = "dns"\nquery = "a.test"\ntransport = "tcp"', "dig @10.3.2.2 -p 80 a.test A +tcp"),
        ('kind = "udp"\nsend = "x"', "nc -vuz 10.3.2.2 80"),
        ('kind = "exec"\ncommand = ["/bin/ask", "{real}:{port}"]', "/bin/ask 10.3.2.2:80"),
        ('kind = "file"\nfile = "/run/{real}"', "cat /run/10.3.2.2"),
    ],
)
def test_a_failing_check_comes_with_a_command_that_asks_the_same(keys: str, tool: str) -> None:
    text = ONE_VIP.replace("[vips.check]", f"[vips.check]\n{keys}").replace(
        "[node]", "[node]\nunderlay_mtu = 1600"
    )
    findings = judge_node(config.parse(text, "test"), NODE._replace(**failing(REALS[1])))
    assert tool in notable(findings)["check", "warn"].fix


def test_direct_checks_need_no_way_to_the_vip() -> None:
    text = ONE_VIP.replace("[vips.check]", '[vips.check]\nvia = "direct"')
    text = text.replace("[node]", "[node]\nunderlay_mtu = 1600")
    assert notable(judge_node(config.parse(text, "test"), NODE._replace(**path(VIP, None)))) == {}
