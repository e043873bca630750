"""The one error of the release program: it becomes the result that ends every action."""

from __future__ import annotations


class Failure(Exception):  # noqa: N818 - it is the end of an action, and not only errors end one
    """Something that the caller is told in one line, with what to do about it and the log's tail."""

    def __init__(
        self,
        code: str,
        message: str,
        hint: str = "",
        *,
        log: list[str] | None = None,
        lock: dict[str, object] | None = None,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.hint = hint
        self.log = log or []
        self.lock = lock
        self.phase = ""
        self.switched = False

    def __str__(self) -> str:
        """Return the message as it is now: what the app printed may have been added."""
        return self.message

    def as_result(self) -> dict[str, object]:
        """Return the `result` event that tells this failure."""
        error: dict[str, object] = {
            "code": self.code,
            "phase": self.phase,
            "message": " ".join(self.message.split()),
            "hint": self.hint,
            "log": self.log,
        }
        if self.lock is not None:
            error["lock"] = self.lock
        return {"event": "result", "ok": False, "switched": self.switched, "error": error}
