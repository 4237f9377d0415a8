"""The state process's end of its channel: it waits for one message at a time.

Invariants:
  * Its socket is descriptor CHANNEL_FD in every state process. Where the program has closed that, or the
    supervisor has gone, the process has no purpose left and ends.
"""

from __future__ import annotations

import _socket
import os
import threading

from stillframe.engine import protocol
from stillframe.engine._fork import is_readable
from stillframe.engine.protocol import CHANNEL_FD, FIRST, PACKET_BYTES, Message, ToProcess

BROKEN = 70  # sysexits.h: EX_SOFTWARE
_SPACE = _socket.CMSG_SPACE(4 * protocol.MAX_DESCRIPTORS)


class Channel:
    """Sends and receives messages, blocking."""

    def __init__(self, descriptor: int = CHANNEL_FD) -> None:
        self.is_muted = False
        """While it is, messages are made but not sent."""
        self._descriptor = descriptor
        # The plain C type: the class in `socket` goes through enums, and every page they are on is copied.
        self._socket = _socket.socket(_socket.AF_UNIX, _socket.SOCK_SEQPACKET, 0, descriptor)
        self._sending = threading.Lock()

    def renew(self) -> None:
        """In a fork: a thread that is not in it may have held the lock."""
        self._sending._at_fork_reinit()  # type: ignore[attr-defined]

    def send(self, message: Message | bytes) -> None:
        packets = protocol.packets(message)
        if self.is_muted:
            return
        try:
            with self._sending:
                for packet in packets:
                    self._socket.send(packet)
        except OSError:
            os._exit(BROKEN)

    def receive(self) -> tuple[ToProcess, list[int]]:
        """The next message and the descriptors that came with it. EOFError when the supervisor has gone."""
        assembly = None
        descriptors: list[int] = []
        while True:
            try:
                packet, ancillary, _, _ = self._socket.recvmsg(
                    PACKET_BYTES + 1, _SPACE, _socket.MSG_CMSG_CLOEXEC
                )
            except OSError:
                os._exit(BROKEN)
            if not packet:
                raise EOFError
            if ancillary:
                descriptors += protocol.received_rights(ancillary)
            if packet[0] == FIRST:
                return protocol.to_process_decoder.decode(memoryview(packet)[1:]), descriptors
            assembly = assembly or protocol.Assembly()
            body = assembly.add(packet)
            if body is not None:
                return protocol.to_process_decoder.decode(body), descriptors

    def is_idle(self) -> bool:
        """Whether no message waits."""
        return not is_readable(self._descriptor)
