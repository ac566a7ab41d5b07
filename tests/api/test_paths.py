"""Addresses as they are really sent: odd references, NUL, bytes that are no UTF-8, names that are too long."""

from urllib.parse import quote

import pytest

from tests.api.conftest import Api

ROUTES = [
    "/campaigns/{}",
    "/chapters/{}",
    "/officials/{}",
    "/policies/{}",
    "/partnerships/{}",
    "/recognitions/{}",
    "/recognitions?recipient={}",
    "/leaderboards/movement/entries/{}",
    "/leaderboards/campaigns/{}",
    "/leaderboards/chapters/{}/entries/anna",
    "/history?stream={}",
    "/history?topic={}",
    "/history?correlation={}",
]


BROKEN = ["%00", "a%00b", "%FF", "%C3", "%ED%A0%80", "x" * 201, "%0A", "%7F", "%C2%85"]


def test_references_that_cannot_be(api: Api) -> None:
    for path in (route.format(reference) for route in ROUTES for reference in BROKEN):
        answer = api.client.get("/api/v1" + path)
        assert answer.status_code in ({200, 400, 422} if "=" in path else {400, 422}), path
        if answer.status_code != 200:
            assert answer.headers["content-type"] == "application/problem+json"
            assert answer.json()["code"]


@pytest.mark.parametrize(
    ("reference", "code"),
    [
        ("%00", "request.nul"),
        ("%FF", "request.invalid_utf8"),
        ("x" * 201, "reference.wrong_length"),
        ("%0A", "reference.control_character"),
    ],
)
def test_what_is_wrong_has_a_code(sqlite_api: Api, reference: str, code: str) -> None:
    assert sqlite_api.client.get(f"/api/v1/chapters/{reference}").json()["code"] == code


def test_every_reference_works_in_a_path(api: Api) -> None:
    for reference in ["a/b", "/", "..", ".", "a%2Fb", "ü", "日本", "a b", "a+b", "?x=1", "#", "%", "x" * 200]:
        api.run("chapters.found", chapter=reference, name="C")
        encoded = quote(reference, safe="").replace(".", "%2E")
        found = api.client.get(f"/api/v1/chapters/{encoded}")
        assert (found.status_code, found.json()["reference"]) == (200, reference)
        explained = api.client.get(f"/api/v1/leaderboards/chapters/{encoded}/entries/{encoded}")
        assert explained.json()["code"] == "entry.unknown"
        assert reference in explained.json()["detail"]


@pytest.mark.parametrize(
    "path", ["/api/v1/chapters/a%2Fb/", "/%2F", "/api/v1/%2F/", "/log/tile/%2F", "/log/tile/..%2F..%2Fetc"]
)
def test_slashes_where_none_are_expected(sqlite_api: Api, path: str) -> None:
    answer = sqlite_api.client.get(path, follow_redirects=False)
    assert answer.status_code == 404


def test_other_methods_are_refused(sqlite_api: Api) -> None:
    answer = sqlite_api.client.delete("/api/v1/chapters")
    assert (answer.status_code, answer.json()["code"]) == (405, "route.method_not_allowed")
