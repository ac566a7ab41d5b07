"""The reference of the HTTP API, drawn from its own OpenAPI document; no script and nothing from elsewhere."""

import json
from collections.abc import Iterator
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse

from api.common import MaybeCaller
from api.pages.rendering import page

router = APIRouter(include_in_schema=False, default_response_class=HTMLResponse)


@router.get("/docs")
def reference(request: Request, caller: MaybeCaller) -> HTMLResponse:
    """Every route with what it takes and an example of what it answers."""
    document = request.app.openapi()
    return page("reference.html", caller, description=document["info"]["description"], routes=list(routes(document)))


def routes(document: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield what the template needs of each route, in the order of the document."""
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            success: dict[str, Any] = next(
                (r for code, r in operation["responses"].items() if code.startswith("2")), {}
            )
            yield {
                "id": operation["operationId"],
                "method": method.upper(),
                "path": path,
                "summary": operation.get("summary", ""),
                "description": operation.get("description", ""),
                "parameters": operation.get("parameters", []),
                "request": example(operation.get("requestBody", {})),
                "answer": example(success),
            }


def example(body: dict[str, Any]) -> str | None:
    """Return the first worked example of a body, as people read it."""
    for content in body.get("content", {}).values():
        found = content.get("example")
        if found is None and content.get("examples"):
            found = next(iter(content["examples"].values())).get("value")
        if found is not None:
            return found if isinstance(found, str) else json.dumps(found, ensure_ascii=False, indent=2)
    return None
