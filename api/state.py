"""What a running API holds; made when it starts, and never at import."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from api.paging import Cursors
    from api.presenting import Presenting
    from api.security.audit import AuditLog
    from api.security.keys import KeyStore
    from api.security.limits import RateLimit
    from api.security.policy import Policy
    from api.security.tokens import TokenVerifier
    from api.serving.features import Features
    from api.serving.serving import Serving
    from api.serving.windows import StreamWindows
    from c360.live.store import LiveReader
    from c360.settings import Settings


@dataclass(frozen=True)
class State:
    """Kept as ``app.state.c360``."""

    settings: Settings
    serving: Serving
    live: LiveReader
    windows: StreamWindows
    features: Features
    policy: Policy
    keys: KeyStore
    tokens: TokenVerifier | None
    limits: RateLimit
    failures: RateLimit
    audit: AuditLog
    presenting: Presenting
    cursors: Cursors
    hash_key: bytes

    def close(self) -> None:
        """Let go of everything."""
        self.serving.close()
        self.live.close()
        self.windows.close()
        self.features.close()
        self.keys.close()
        self.audit.close()
