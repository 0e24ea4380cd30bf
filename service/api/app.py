"""The application from its parts."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from importlib.metadata import version

from fastapi import FastAPI
from fastapi_offline import FastAPIOffline

from service.api.cross_site import OwnOriginOnly
from service.api.errors import install_error_handlers
from service.api.middleware import HeadAsGet, Measured, RequestIds
from service.api.openapi import install_openapi
from service.api.routes import (
    datasets,
    exchange,
    health,
    index,
    jobs,
    metrics,
    models,
    predict,
    train,
    v2,
    v2_infer,
)
from service.api.state import AppState
from service.dashboard.files import load_page
from service.dashboard.routes import page_router

DESCRIPTION = """
Trains, versions and serves PyTorch regression models. `POST /train` fits a model in the background
and, if it is good enough, swaps it in; `POST /predict` answers with the active version, while
training runs, without a pause. Errors are `application/problem+json` with a stable `code`.
"""

MakeState = Callable[[], AbstractAsyncContextManager[AppState]]


def create_app(make_state: MakeState) -> FastAPI:
    """An application whose state is made by ``make_state`` when it starts and ended with it."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with make_state() as state:
            app.state.parts = state
            yield

    app = FastAPIOffline(
        title="Refit",
        version=version("refit"),
        summary="Train, version and serve PyTorch regression models over one API",
        description=DESCRIPTION,
        lifespan=lifespan,
        # A body without Content-Type is taken as JSON by our own reader, which is strict.
        redirect_slashes=False,
    )
    install_error_handlers(app)
    for noun in (
        index,
        predict,
        v2_infer,
        train,
        jobs,
        datasets,
        models,
        exchange,
        health,
        v2,
        metrics,
    ):
        app.include_router(noun.router)
    app.router.routes.insert(0, v2_infer.StraightRoute())
    app.state.page = load_page()
    app.include_router(page_router(app.state.page))
    install_openapi(app)
    app.add_middleware(HeadAsGet)
    app.add_middleware(OwnOriginOnly)
    app.add_middleware(RequestIds)
    app.add_middleware(Measured)
    return app
