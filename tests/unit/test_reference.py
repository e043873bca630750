"""The reference: descriptions of the roles' inputs as Markdown."""

from __future__ import annotations

import pytest

from windlass import reference


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        ("C(geolocation=()) takes it (all).", "`geolocation=()` takes it (all)."),
        ("C(a()b(c)d) and C(e)", "`a()b(c)d` and `e`"),
        ("as C(module:callable). C(x) (y)", "as `module:callable`. `x` (y)"),
    ],
)
def test_code_in_a_description_ends_at_its_own_parenthesis(written: str, shown: str) -> None:
    assert reference._text(written) == shown
