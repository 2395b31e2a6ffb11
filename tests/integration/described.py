"""The API as the OpenAPI file describes it, at each mount, and which answers break the description."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, MutableMapping, Sequence
from typing import Any

from drf_spectacular.generators import SchemaGenerator
from hypothesis import strategies as st
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

Description = dict[str, Any]

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
_ERROR = {"$ref": "#/components/schemas/Error"}


def description(mount: str = "") -> Description:
    """What the file says of the paths of this mount: under a compatibility mount a refusal has status 200."""
    described: Description = SchemaGenerator(urlconf="orders.api.urls").get_schema(request=None, public=True)
    if mount:
        described["paths"] = {f"{mount}{path}": operations for path, operations in described["paths"].items()}
        for operation in _operations(described):
            operation["responses"] = {"200": _answer_or_refusal(operation["responses"])}
    return described


def lsps1_description(mount: str = "/api/v1") -> Description:
    """What the file says of LSPS1's paths."""
    described: Description = SchemaGenerator(urlconf="lsps.rest.urls").get_schema(request=None, public=True)
    described["paths"] = {f"{mount}{path}": operations for path, operations in described["paths"].items()}
    return described


def _answer_or_refusal(responses: Description) -> Description:
    if list(responses) == ["200"]:  # LNURL has a manner of its own
        return dict(responses["200"])
    success = responses["200"]["content"]["application/json"]["schema"]
    return {"description": "", "content": {"application/json": {"schema": {"anyOf": [success, _ERROR]}}}}


def make_knowing(case: Any, known: Mapping[str, Sequence[Any]], draw: Callable[[Any], Any]) -> None:
    """Most fields of most requests get values that mean something to the server.

    Else hardly a request would get past the first look: nobody guesses the id of an order.
    """
    if draw(st.integers(0, 3)) == 0:
        return
    for place, names in _places(case):
        for name in sorted(known.keys() & {*place, *names}):
            dice = draw(st.integers(0, 9))
            if dice > (2 if name in place else 6):
                place[name] = draw(st.sampled_from(known[name]))
            elif dice:  # of what excludes each other there must be less than all
                place.pop(name, None)


def _places(case: Any) -> Iterator[tuple[Any, list[str]]]:
    """Where a request has fields, and which it may have there."""
    parameters = list(case.operation.iter_parameters())
    for place, where in ((case.query, "query"), (case.headers, "header")):
        if isinstance(place, MutableMapping):
            yield place, [parameter.name for parameter in parameters if parameter.location == where]
    if isinstance(case.body, MutableMapping):
        yield case.body, list(case.operation.body[0].definition["schema"]["properties"])


def _operations(described: Description) -> list[Description]:
    return [operation for operations in described["paths"].values() for operation in operations.values()]
