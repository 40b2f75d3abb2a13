"""The application: every route over what it was given.

Owns the assembly. No business rule lives here or below; the OpenAPI document is made from the same models.

    uvicorn.run(create_app(dependencies), log_config=None)
"""

from fastapi import FastAPI

from api import (
    containments,
    custody,
    evidence,
    evidence_links,
    hosts,
    incidents,
    intake,
    meta,
    previews,
    problems,
    stop,
    timestamps,
    uploads,
)
from api.dependencies import ApiDependencies
from api.middleware import Surroundings


def create_app(dependencies: ApiDependencies) -> FastAPI:
    """The ASGI application. The pages of /docs are left out: they would load scripts from elsewhere."""
    app = problems.ProblemApi(
        title="Firebreak",
        version="0.1.0",
        summary="Stops lateral movement: alerts in, decisions in, evidence out.",
        docs_url=None,
        redoc_url=None,
    )
    app.state.dependencies = dependencies
    problems.install(app)
    for room in (
        intake,
        incidents,
        containments,
        evidence,
        custody,
        timestamps,
        previews,
        evidence_links,
        uploads,
        hosts,
        stop,
        meta,
    ):
        app.include_router(room.router)
    app.include_router(evidence.everywhere)
    app.add_middleware(Surroundings, max_bytes=dependencies.limits.request_bytes)
    return app
