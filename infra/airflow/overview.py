"""The pages Lakehouse and Explain in Airflow's UI, after login."""

from collections.abc import Iterator
from threading import Lock
from typing import TYPE_CHECKING, Annotated, Final

from fastapi import FastAPI, Query, Response
from fastapi.responses import HTMLResponse

from infra.airflow.pages import PREFIX as REPORTS
from infra.airflow.pages import private_app
from lakehouse.contracts.jobs import JOBS
from lakehouse.questions import Answers
from lakehouse.settings import Settings, load_settings

if TYPE_CHECKING:
    from lakehouse.overview import Overview
    from lakehouse.report import Link

PREFIX: Final = "/lakehouse"
_HEADERS: Final = {
    # What a page shows is true of the moment. It holds no script and loads nothing, whatever rows may say.
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; base-uri 'none'; "
    "frame-ancestors 'self'",
}
GATHER_SECONDS: Final = 10.0
"""So often a page that is open asks anew: each time costs the services and this process some work."""
_ANSWERS: Final = Answers(GATHER_SECONDS)
_EXPLAINING: Final = Lock()
"""One explanation at a time: each may read much, and Airflow's API server has other things to do."""


def overview_app() -> FastAPI:
    """The application below `PREFIX`: the overview, the same at ``status.json``, and ``explain``.

    The overview shows at once what was known last, and asks for newer; ``status.json``, which is asked once, waits for
    that a little.

    Modules that bring Polars are imported when somebody asks, as every process of Airflow's loads its plugins.
    """
    app = private_app("Lakehouse")

    @app.get("/")
    def lakehouse() -> Response:
        from lakehouse.overview import render_overview

        page = render_overview(_found(), list(_links(load_settings())), GATHER_SECONDS)
        return HTMLResponse(page, headers=_HEADERS)

    @app.get("/status.json")
    def status() -> Response:
        found = _found(load_settings().overview_seconds)
        return Response(found.to_json(), media_type="application/json", headers=_HEADERS)

    @app.get("/explain")
    def explain(table: str = "", key: Annotated[list[str] | None, Query()] = None) -> Response:
        page, code = explanation(load_settings(), table, key or [])
        return HTMLResponse(page, code, headers=_HEADERS)

    return app


def explanation(settings: Settings, table: str, key: list[str]) -> tuple[str, int]:
    """The page that explains the row, or says in a sentence why it can't, and the HTTP status.

    A form sends all its fields: what is left empty at a key's end is left out where it may be null.
    """
    from lakehouse.errors import explained
    from lakehouse.explain import EXPLAINED, BadKeyError, explain
    from lakehouse.explain.page import render_explanation, without_empty

    if not table or (table in EXPLAINED and not key):
        return render_explanation(table), 200
    try:
        with _EXPLAINING:
            found = explain(settings, table, without_empty(table, key))
    except Exception as error:
        problem = explained(error)
        if problem is None:
            raise
        code = 400 if isinstance(error, BadKeyError) else 404 if isinstance(error, LookupError) else 503
        return render_explanation(table, key, problem=problem), code
    return render_explanation(table, key, found), 200


def _found(wait_seconds: float = 0.0) -> "Overview":
    from lakehouse.overview import overview

    return overview(load_settings(), JOBS.values(), _ANSWERS, wait_seconds)


def _links(settings: Settings) -> Iterator["Link"]:
    """Reports that were written, and the engines' own pages; where they are Airflow's, relative to ours."""
    from lakehouse.report import Link

    for page in sorted((settings.home / "reports").glob("*/index.html")):
        yield Link(page.parent.name.replace("_", " ").capitalize(), f"..{REPORTS}/{page.parent.name}/index.html")
    yield Link("Flink", flink_url(settings), "jobs, checkpoints, back pressure")
    yield Link("Spark", spark_url(settings), "while spark_lakehouse runs")


def flink_url(settings: Settings) -> str:
    return f"http://{settings.host}:{settings.flink_port}"


def spark_url(settings: Settings) -> str:
    return f"http://{settings.host}:{settings.spark_ui_port}"
