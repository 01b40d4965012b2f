"""What our tasks link to in Airflow's UI: reports and Data Docs, served by Airflow itself, after login."""

from pathlib import Path
from typing import Any, Final

from airflow.api_fastapi.core_api.security import get_user
from airflow.sdk import BaseOperatorLink
from fastapi import Depends, FastAPI, HTTPException
from fastapi.responses import FileResponse

from lakehouse.settings import load_settings

PREFIX: Final = "/reports"
DATA_DOCS: Final = f"{PREFIX}/data_docs"


def report_file(reports: Path, path: str) -> Path | None:
    """The file that `path` names below `reports`, a folder's ``index.html`` included; None if it isn't there."""
    root = reports.resolve()
    file = (root / path).resolve()
    if not file.is_relative_to(root):
        return None
    file = file / "index.html" if file.is_dir() else file
    return file if file.is_file() else None


def private_app(title: str) -> FastAPI:
    """An application whose every route asks for the login: Airflow serves a plugin's pages to anybody."""
    return FastAPI(title=title, dependencies=[Depends(get_user)], docs_url=None, redoc_url=None, openapi_url=None)


def reports_app() -> FastAPI:
    """The application below `PREFIX`."""
    app = private_app("Reports")

    @app.get("/{path:path}")
    def report(path: str) -> FileResponse:
        file = report_file(load_settings().home / "reports", path)
        if file is None:
            raise HTTPException(404, f"There is no report {path!r} yet: trigger the DAG that writes it.")
        return FileResponse(file)

    return app


class DataDocsLink(BaseOperatorLink):
    """Button of a `QualityOperator`'s task to the page of the table that it checked."""

    @property
    def name(self) -> str:
        return "Data Docs"

    def get_link(self, operator: Any, *, ti_key: Any) -> str:  # noqa: ARG002  the page shows the newest result
        settings = load_settings()
        return f"http://{settings.host}:{settings.airflow_port}{DATA_DOCS}/{operator.table}.html"
