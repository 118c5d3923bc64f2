"""What all routes have in common: HEAD beside GET, and no unknown query fields."""

from __future__ import annotations

import copy

from fastapi import APIRouter, Request
from fastapi.routing import APIRoute

from spleeter_microservice.errors import InvalidFieldsError
from spleeter_microservice.web.auth import Caller


def heads_of(router: APIRouter) -> APIRouter:
    """Return routes that answer HEAD wherever a router answers GET; the server omits the bodies.

    The OpenAPI document leaves them out, as HTTP promises them for every resource.
    """
    heads = APIRouter()
    for route in router.routes:
        if isinstance(route, APIRoute) and route.methods == {"GET"}:
            head = copy.copy(route)
            vars(head).update(methods={"HEAD"}, include_in_schema=False)
            heads.routes.append(head)
    return heads


async def refuse_unknown_query(request: Request, _: Caller) -> None:
    """Check that the route knows every query field of a request with a key.

    Raises:
        InvalidFieldsError: naming those that it does not know.
    """
    route: APIRoute = request.scope["route"]
    known = [field.alias for field in route.dependant.query_params]
    hint = f"The query may have {', '.join(known)}." if known else "This call has no query fields."
    if request.method == "POST":
        hint = "Send it in the form, or in the JSON body."
    unknown = {name: f"Unknown query field. {hint}" for name in request.query_params if name not in known}
    if unknown:
        raise InvalidFieldsError(unknown)
