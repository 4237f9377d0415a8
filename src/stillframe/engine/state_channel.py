"""The state process's end of its channel: it waits for one message at a time.

Invariants:
  * Its socket is descriptor CHANNEL_FD in every state process. Where the program has closed that, or the
    supervisor has gone, the process has no purpose left and ends.
"""

from __future__ import annotations

import os
import threading
from os import write  # as it is now, whatever a program makes of os.write

from stillframe.engine import protocol
from stillframe.engine._fork import is_readable, receive
from stillframe.engine.protocol import CHANNEL_FD, FIRST, Message, ToProcess

BROKEN = 70  # sysexits.h: EX_SOFTWARE


class Channel:
    """Sends and receives messages, blocking."""

    def __init__(self, descriptor: int = CHANNEL_FD) -> None:
        self.is_muted = False
        """While it is, messages are made but not sent."""
        self._descriptor = descriptor
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
                    write(self._descriptor, packet)
        except OSError:
            os._exit(BROKEN)

    def receive(self) -> tuple[ToProcess, list[int]]:
        """The next message and the descriptors that came with it. EOFError when the supervisor has gone."""
        assembly = None
        descriptors: list[int] = []
        while True:
            try:
                packet, rights = receive(self._descriptor)
            except OSError:
                os._exit(BROKEN)
            if not packet:
                raise EOFError
            descriptors += rights
            if packet[0] == FIRST:
                return protocol.to_process_decoder.decode(memoryview(packet)[1:]), descriptors
            assembly = assembly or protocol.Assembly()
            body = assembly.add(packet)
            if body is not None:
                return protocol.to_process_decoder.decode(body), descriptors

    def is_idle(self) -> bool:
        """Whether no message waits."""
        return not is_readable(self._descriptor)
