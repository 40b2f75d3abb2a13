"""The application: every route over what it was given.

Owns the assembly. No business rule lives here or below; the OpenAPI document is made from the same models.

    uvicorn.run(create_app(dependencies), log_config=None)
"""

from fastapi import FastAPI

from api import containments, evidence, hosts, incidents, intake, meta, problems, stop, uploads
from api.dependencies import ApiDependencies
from api.middleware import Surroundings


def create_app(dependencies: ApiDependencies) -> FastAPI:
    """The ASGI application. The pages of /docs are left out: they would load scripts from elsewhere."""
    app = FastAPI(
        title="Firebreak",
        version="0.1.0",
        summary="Stops lateral movement: alerts in, decisions in, evidence out.",
        docs_url=None,
        redoc_url=None,
    )
    app.state.dependencies = dependencies
    problems.install(app)
    for room in (intake, incidents, containments, evidence, uploads, hosts, stop, meta):
        app.include_router(room.router)
    app.add_middleware(Surroundings, max_bytes=dependencies.limits.request_bytes)
    return app
