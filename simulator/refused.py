"""What the simulator answers instead of doing it, in LND's words."""

from __future__ import annotations

import grpc


class Refused(Exception):
    """LND's sentence; nearly always with the status UNKNOWN."""

    def __init__(self, text: str, code: grpc.StatusCode = grpc.StatusCode.UNKNOWN) -> None:
        super().__init__(text)
        self.text = text
        self.code = code
