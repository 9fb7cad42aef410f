"""The decoder of recorded sessions (protocol/test/decode_session.py) as a module: formats of bytes stand there, once."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "protocol" / "test"))

from decode_session import *  # noqa: E402, F403
