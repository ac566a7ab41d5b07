"""Let a story that goes wrong show what it expected and what happened."""

import pytest

pytest.register_assert_rewrite("tests.domain.story")
