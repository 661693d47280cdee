# SPDX-License-Identifier: Apache-2.0
"""Whether a driver has native XDP: asked of the kernel (generic netlink `netdev`, Linux 6.3).

Standard library only; nothing is attached to find out.
"""

from __future__ import annotations

import socket
import struct

from agent.host.rtnetlink import attribute, attributes

_GENERIC, _CONTROL, _REQUEST, _ERROR = 16, 16, 1, 2
_GET_FAMILY, _FAMILY_ID, _FAMILY_NAME = 3, 1, 2
_GET_DEVICE, _IFINDEX, _XDP_FEATURES = 1, 1, 3
_BASIC = 1
"""NETDEV_XDP_ACT_BASIC: XDP_ABORTED, DROP, PASS and TX."""


def has_native_xdp(ifindex: int) -> bool | None:
    """None: this kernel does not say."""
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _GENERIC) as kernel:
        family = _ask(kernel, _CONTROL, _GET_FAMILY, _FAMILY_NAME, b"netdev\0").get(_FAMILY_ID)
        if family is None:
            return None
        (number,) = struct.unpack("=H", family)
        device = _ask(kernel, number, _GET_DEVICE, _IFINDEX, struct.pack("=I", ifindex))
    features = device.get(_XDP_FEATURES)
    return None if features is None else bool(struct.unpack("=Q", features)[0] & _BASIC)


def _ask(
    kernel: socket.socket, family: int, command: int, kind: int, value: bytes
) -> dict[int, bytes]:
    """One question; the answer's attributes, none on an error."""
    body = struct.pack("=BBH", command, 1, 0) + attribute(kind, value)
    kernel.send(struct.pack("=IHHII", 16 + len(body), family, _REQUEST, 1, 0) + body)
    reply = kernel.recv(1 << 16)
    (answered,) = struct.unpack_from("=H", reply, 4)
    return {} if answered == _ERROR else attributes(reply[20:])
